#!/usr/bin/env python3
"""Times whole training steps of several nets side by side.

Each net trains in a process of its own; they take turns, some steps at a
time, so that a machine that slows down slows all of them. "stock" is Caffe
without our changes (scripts/build_caffe.sh --stock), with its own Dropout and
layers; the others are the patched build's. Prints a table and writes JSON.
"""

import argparse
import contextlib
import dataclasses
import datetime
import json
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from tqdm import tqdm

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

import experiments  # noqa: E402
import make_prototxt  # noqa: E402
import train  # noqa: E402

WARM_UP_STEPS = 5


def cases(workload, rates):
    """[(label, build, experiment)], the stock baseline of a rate first."""
    prefix = {"mlp": "mnist/", "lstm": "ptb/medium_"}[workload]
    chosen = []
    for rate in rates:
        for method in ("conventional", "row", "tile"):
            some = experiments.find(f"{prefix}{method}_0.5")
            experiment = dataclasses.replace(
                some, rates=(rate,) * len(some.rates))
            if method == "conventional":
                if rate == 0:
                    experiment = dataclasses.replace(
                        some, method="none", rates=())
                chosen.append((f"stock {rate:g}", "caffe-stock", experiment))
            else:
                chosen.append((f"{method} {rate:g}", "caffe", experiment))
    return chosen


def solver_file(experiment, folder):
    """Writes net and solver, without tests and snapshots; the solver."""
    folder.mkdir()
    net, solver = folder / "net.prototxt", folder / "solver.prototxt"
    net.write_text(make_prototxt.net_text(experiment))
    text = make_prototxt.solver_text(experiment, str(net), str(folder / "s"))
    text = re.sub(r"test_state \{[^}]*\}\n", "", text)
    text = re.sub(r"(test_\w+|snapshot\w*|display): .*\n", "", text)
    solver.write_text(text)
    return solver


class Worker:
    """One net in its process."""

    def __init__(self, label, build, solver):
        self.label = label
        self.wall_ms, self.processor_ms, self.peak_bytes = [], [], 0
        self.process = subprocess.Popen(
            [sys.executable, Path(__file__).with_name("worker.py"),
             ROOT / "build" / build / "python", solver],
            cwd=ROOT, text=True, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            env={**train.os.environ, "GLOG_minloglevel": "2",
                 "PYTHONPATH": str(ROOT / "python_layers")})

    def step(self, count, record=True):
        """Takes steps; raises RuntimeError if the process died."""
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(f"{count}\n")
            self.process.stdin.flush()
        answer = self.process.stdout.readline().split()
        if not answer or answer[0] != "seconds":
            raise RuntimeError(f"{self.label}: its process ended")
        if record:
            self.wall_ms.append(float(answer[1]) / count * 1e3)
            self.processor_ms.append(float(answer[2]) / count * 1e3)
            self.peak_bytes = int(answer[3])


def measure(chosen, rounds, steps):
    """Workers of the cases, with their timings."""
    with tempfile.TemporaryDirectory() as folder:
        workers = [
            Worker(label, build, solver_file(experiment, Path(folder) / str(i)))
            for i, (label, build, experiment) in enumerate(chosen)]
        try:
            for worker in tqdm(workers, desc="warm-up"):
                worker.step(WARM_UP_STEPS, record=False)
            for _ in tqdm(range(rounds), desc="rounds"):
                for worker in workers:
                    worker.step(steps)
        finally:
            for worker in workers:
                worker.process.kill()
    return workers


def row(worker, baseline):
    """A line of the table: medians, and the ratio to stock of each round."""
    ratios = [a / b for a, b in zip(baseline.wall_ms, worker.wall_ms)]
    return {
        "case": worker.label,
        "wall_ms": statistics.median(worker.wall_ms),
        "wall_ms_all": worker.wall_ms,
        "processor_ms": statistics.median(worker.processor_ms),
        "speed_up": statistics.median(ratios),
        "speed_up_min": min(ratios),
        "speed_up_max": max(ratios),
        "peak_bytes": worker.peak_bytes,
    }


def main():
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workload", choices=("mlp", "lstm"))
    parser.add_argument("--rates", type=float, nargs="+",
                        default=[0, 0.3, 0.5, 0.7])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=50,
                        help="in one call of Solver::Step")
    parser.add_argument("-o", "--output", type=Path, help="JSON file")
    options = parser.parse_args()
    workers = measure(cases(options.workload, options.rates), options.rounds,
                      options.steps)
    rows, baseline = [], None
    for worker in workers:
        if worker.label.startswith("stock"):
            baseline = worker
        rows.append(row(worker, baseline))
    print("| case | ms a step | speed-up (min–max of rounds) | peak MB |")
    print("| --- | ---: | ---: | ---: |")
    for line in rows:
        print(f"| {line['case']} | {line['wall_ms']:.1f} | "
              f"{line['speed_up']:.2f} ({line['speed_up_min']:.2f}–"
              f"{line['speed_up_max']:.2f}) | "
              f"{line['peak_bytes'] / 1e6:.0f} |")
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        train.write_whole(options.output, json.dumps({
            "command": " ".join(sys.argv), "machine": train.machine(),
            "commit": train.commit(),
            "date": datetime.datetime.now(datetime.UTC).isoformat(
                timespec="seconds"),
            "rounds": options.rounds, "steps": options.steps, "rows": rows,
        }, indent=1) + "\n")


if __name__ == "__main__":
    main()
