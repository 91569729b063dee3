"""The parts of gpu_check.sh, one JSON and one log; see there."""

import argparse
import contextlib
import datetime
import functools
import json
import os
import platform
import signal
import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path

from gpu import cxx_tests, step_times, trainings
from training.caffe_process import end_with

ROOT = Path(__file__).resolve().parents[2]  # the bundle's folder
PARTS = {
    "tests": cxx_tests.tests_part,
    "sanitizer": cxx_tests.sanitizer_part,
    "bench": step_times.bench_part,
    "train": trainings.train_part,
}

# Runs a command, and on SIGTERM kills its process group, itself included.
END_TOGETHER = 'trap "kill -KILL 0" TERM; "$@" & wait $!'


class Check:
    """What the parts share: options, time, log and the verdict on a part.

    root: the bundle's folder; folder: where results go; cpu: no GPU is used;
    jobs: test programs at a time; cases: cases.json of the bundle.
    """

    cuda_home = os.environ.get("CUDA_HOME", "/usr/local/cuda")

    def __init__(self, options, root=ROOT):
        self.root = root
        self.folder = options.output.resolve()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.cpu = options.cpu
        self.jobs = max(1, min(4, (os.cpu_count() or 1) // 2))
        self.cases = json.loads((self.root / "cases.json").read_text())
        self.deadline = time.monotonic() + options.limit
        self.log = open(self.folder / "gpu_check.log", "a", buffering=1)
        self.failures, self.skipped = [], None
        self.processes = []
        timer = threading.Timer(options.limit, self.stop)
        timer.daemon = True
        timer.start()

    def left_s(self):
        """Seconds until the time limit."""
        return self.deadline - time.monotonic()

    def stop_in_time(self, process):
        """Has a process, one that hangs too, killed when no time is left, and
        all that it started: it leads a session of its own."""
        self.processes.append(process)
        if self.left_s() <= 0:
            self.stop()

    def started(self, command):
        """A process that stop_in_time stops, with all that it says as its
        stdout. It also ends when this one does, however that is, and so does
        all that it has started: compute-sanitizer's programs."""
        process = subprocess.Popen(
            ["sh", "-c", END_TOGETHER, "sh", *command], text=True,
            errors="replace", stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, start_new_session=True,
            preexec_fn=functools.partial(
                end_with, os.getpid(), signal.SIGTERM))
        self.stop_in_time(process)
        return process

    def stop(self, *_):
        """Ends the time, and what runs, now; may serve as signal handler."""
        self.deadline = min(self.deadline, time.monotonic())
        for process in self.processes:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):  # just ended
                    os.killpg(process.pid, signal.SIGKILL)

    def say(self, text):
        print(text, flush=True)
        self.log.write(text + "\n")

    def fail(self, why):
        """The part has failed; it may go on."""
        self.say(f"  FAILED: {why}")
        self.failures.append(why)

    def is_ours(self, name):
        """Whether a C++ test or suite is this project's, not Caffe's own."""
        return cxx_tests.is_ours(name, self.cases["our_suites"])

    def skip(self, why):
        """The part cannot run here, which is no failure."""
        self.say(f"  skipped: {why}")
        self.skipped = why
        return {}

    def program(self, name, stock):
        """A program of the bundle, ours or stock Caffe's."""
        return self.root / "bin" / (name + ("-stock" if stock else ""))

    def device_options(self):
        return [] if self.cpu else ["--gpu=0"]

    def run(self, part):
        """Runs one part; its entry in the JSON."""
        self.say(f"== {part}")
        self.failures, self.skipped = [], None
        start, result = time.monotonic(), {}
        try:
            result = PARTS[part](self)
        except Exception as error:
            self.log.write(traceback.format_exc())
            self.fail(f"{type(error).__name__}: {error}")
        status = "failed" if self.failures else "passed"
        if self.skipped and not self.failures:
            status = "skipped: " + self.skipped
        return {
            "status": status,
            "failures": self.failures,
            "date": datetime.datetime.now(datetime.timezone.utc).isoformat(
                timespec="seconds"),
            "seconds": round(time.monotonic() - start, 1),
            **result,
        }


def output_of(command):
    """What a command prints, or None if it is missing or fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True,
                              check=False)
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def device(check):
    """What the GPU is; RuntimeError if Caffe cannot use it."""
    if check.cpu:
        return "none: --cpu"
    query = subprocess.run(
        [check.program("caffe", False), "device_query", "--gpu=0"],
        capture_output=True, text=True, check=False,
    )
    check.log.write(query.stderr)
    if query.returncode:
        reason = [line for line in query.stderr.splitlines()
                  if "Check failed" in line or "CUDA's" in line]
        raise RuntimeError(
            "Caffe finds no GPU that it can use: "
            + (reason or query.stderr.splitlines() or ["no message"])[-1]
        )
    fields = "name,driver_version,memory.total,compute_cap,clocks.max.sm"
    found = output_of(["nvidia-smi", f"--query-gpu={fields}",
                       "--format=csv,noheader", "--id=0"])
    if found is None:
        # Without times and process numbers, the same in every call.
        return {"query": [line.split("] ", 1)[-1]
                          for line in query.stderr.splitlines()]}
    return dict(zip(fields.split(","), found.split(", ")))


def host():
    """The machine but for its GPU."""
    model = [line.split(":", 1)[1].strip()
             for line in open("/proc/cpuinfo") if line.startswith("model name")]
    return {
        "cpu": (model or ["unknown"])[0],
        "cores": os.cpu_count(),
        "libc": " ".join(platform.libc_ver()),
        "system": platform.platform(),
        "python": platform.python_version(),
    }


def earlier_parts(path, same):
    """The parts of an earlier call, if made with the same bundle and GPU."""
    if not path.exists():
        return {}
    earlier = json.loads(path.read_text())
    alike = all(earlier.get(key) == value for key, value in same.items())
    return earlier["parts"] if alike else {}


def write(path, report):
    """Writes the JSON, which is never seen half-written."""
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps(report, indent=1) + "\n")
    part.replace(path)


def parse_arguments():
    parser = argparse.ArgumentParser(
        prog="gpu_check.sh", description="Checks the bundle on a GPU.")
    parser.add_argument("parts", nargs="*", metavar="PART",
                        help="of " + " ".join(PARTS) + "; all by default")
    parser.add_argument("--output", type=Path, default=Path("gpu_check"),
                        help="folder for the results (%(default)s)")
    parser.add_argument("--limit", type=float, default=570, metavar="SECONDS",
                        help="for all parts together (%(default)s)")
    parser.add_argument("--cpu", action="store_true",
                        help="use no GPU: to try this check itself")
    options = parser.parse_args()
    for part in options.parts:
        if part not in PARTS:
            parser.error(f"no part {part!r}; there are: {' '.join(PARTS)}")
    return options


def main():
    options = parse_arguments()
    os.environ["GLOG_logtostderr"] = "1"
    check = Check(options)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, check.stop)
    os.chdir(ROOT)  # paths in nets and tests begin there
    path = check.folder / "gpu_check.json"
    report = {"commit": check.cases["commit"], "data": check.cases["data"]}
    try:
        report["device"] = device(check)
    except RuntimeError as error:
        check.say(f"gpu_check: {error}")
        write(path, report | {"device": None, "failures": [str(error)],
                              "parts": {}})
        return 1
    report |= {"parts": earlier_parts(path, report), "host": host(),
               "command": " ".join(sys.argv)}
    check.say(f"{report['device']}, commit {report['commit']}")
    failed = False
    for part in options.parts or PARTS:
        report["parts"][part] = check.run(part)
        failed = failed or bool(check.failures)
        write(path, report)
    check.say("results: " + ", ".join(
        f"{part} {result['status']}"
        for part, result in report["parts"].items()))
    check.say(f"written: {path}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
