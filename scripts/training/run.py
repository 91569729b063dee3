"""One training of an experiment with `caffe train`, in a folder of its own.

A run's folder, runs/mnist/row_0.7 say, holds net.prototxt and solver.prototxt
as used, log.txt (Caffe's), metrics.json (kept up to date while it trains),
Caffe's snapshot and, when it is finished, `done`.
"""

import dataclasses
import datetime
import json
import math
import os
import re
import shlex
import shutil
import sys
import time

from tqdm import tqdm

from nets.text import net_text, solver_text
from project import (
    ROOT,
    commit,
    machine,
    shown,
    whole_lines,
    write_whole,
    writing,
)
from training import caffe_process, lock
from training.caffe_log import (
    NOT_LOGGED,
    CaffeLog,
    listed,
    missing,
    progress,
    tested,
)
from training.drop_rates import drop_rates, read_state

CAFFE = ROOT / "build/bin/caffe"
CUDA_CAFFE = ROOT / "build/bin/caffe-cuda"
LOG_LINES_SHOWN = 20
SESSION_FIELDS = ("machine", "commit", "command", "date")


class TrainingError(Exception):
    """A run that cannot start or did not end well, with what to do."""


def data_source(experiment):
    """What the prepared data is: its source.json. TrainingError if it is not
    there as it was prepared."""
    folder = ROOT / experiment.data
    path = folder / "source.json"
    remedy = f"prepare the data with {experiment.prepared_by}"
    if not path.exists():
        raise TrainingError(f"{shown(path)} is missing: {remedy}")
    try:
        source = json.loads(path.read_text())
        sizes = source.get("bytes", {}).items()
        found = {name: size_of(folder / name) for name, _ in sizes}
        source["used"], source["counts"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise TrainingError(
            f"{shown(path)} is damaged ({error!r}): {remedy}"
        ) from None
    for name, size in sizes:
        if found[name] != size:
            raise TrainingError(
                f"{shown(folder / name)} has {found[name]} bytes, not the "
                f"{size} that were written: {remedy}"
            )
    return source


def size_of(path):
    """Bytes of a file, 0 if it is missing."""
    return path.stat().st_size if path.exists() else 0


def caffe_command(gpu):
    """The tool `caffe` to train with and its options for the device.

    gpu: number of the GPU, None for the CPU. The solvers' mode is the CPU's;
    --gpu wins over it.
    """
    if gpu is None:
        program, options, target = CAFFE, [], "caffe"
    else:
        program, options, target = CUDA_CAFFE, [f"--gpu={gpu}"], "cuda"
    if not program.exists():
        reason = "" if gpu is None else f", and --gpu {gpu} needs CUDA"
        raise TrainingError(
            f"{shown(program)} is missing{reason}: `make {target}` builds it"
        )
    return [shown(program), "train", *options]


def is_whole(state):
    """Whether Caffe, if it was killed, had written a solver state and the
    weights before."""
    try:
        read_state(state)
    except ValueError:
        return False
    return size_of(state) > 0 and size_of(state.with_suffix(".caffemodel")) > 0


def without_comments(text):
    """A prototxt without the lines that are comments: no settings."""
    lines = text.splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith("#"))


class Run:
    """One training of an experiment in its folder.

    caffe: the command that the solver and the snapshot are added to.
    """

    def __init__(self, experiment, folder, source, caffe):
        self.experiment = experiment
        self.folder = folder
        self.caffe = caffe
        self.solver = folder / "solver.prototxt"
        net = folder / "net.prototxt"
        self.settings = {
            net: net_text(experiment),
            self.solver: solver_text(
                experiment, shown(net), shown(folder / "snapshot")
            ),
        }
        self.log_file = folder / "log.txt"
        self.metrics_file = folder / "metrics.json"
        self.done_file = folder / "done"
        self.facts = {
            "experiment": dataclasses.asdict(experiment),
            "key": experiment.key,
            "family": experiment.family,
            "epoch_iterations": experiment.epoch_iterations,
            "data": {field: source[field] for field in ("used", "counts")},
            "machine": machine(),
            "commit": commit(),
        }
        self.earlier_wall_s = 0.0

    def has_same_settings(self):
        return all(
            path.exists()
            and without_comments(path.read_text()) == without_comments(text)
            for path, text in self.settings.items()
        )

    def files_of_snapshots(self):
        """(iteration, path) of all states and models."""
        for path in self.folder.glob("snapshot_iter_*"):
            if match := re.match(r"snapshot_iter_(\d+)\.", path.name):
                yield int(match[1]), path

    def snapshots(self, log):
        """Solver states to go on from, {iteration: path}, latest last. The
        log must have all of the iterations before: a training that ended at
        once may have logged less than Caffe had done."""
        return {
            i: path
            for i, path in sorted(self.files_of_snapshots())
            if path.suffix == ".solverstate" and not self.missing(log, i)
        }

    def missing(self, log, before):
        tests = tested(self.experiment, log)
        return missing(self.experiment, log.losses, tests, before)

    def tell_of_holes(self, log, newest, goes_on):
        """Says why the newest state, of that iteration, is not gone on from,
        if it is not.

        A training that was killed may have logged less than Caffe had done,
        and starts again if that was at its first epoch's end. TrainingError
        if more would be lost.
        """
        if not (holes := self.missing(log, newest)):
            return
        said = f"snapshot_iter_{newest} is not used, since {listed(holes)}"
        if not goes_on and newest >= 2 * self.experiment.epoch_iterations:
            raise TrainingError(
                f"{shown(self.folder)}: {said}; --force (make: FORCE=1) "
                "removes the run and trains anew"
            )
        tqdm.write(f"{self.experiment.key}: {said}")

    def remove_snapshots(self, log):
        """Removes those before the last one to go on from, states and models.

        Caffe logs an iteration after it has written that iteration's
        snapshot, so later ones may be half done. A pair's state goes
        first, its model then: no state is ever without one.
        """
        files = sorted(self.files_of_snapshots(), reverse=True)
        if len({i for i, _ in files}) < 2:
            return
        states = [i for i in self.snapshots(log) if i <= log.iteration]
        for i, path in files:
            if states and i < states[-1]:
                path.unlink()

    def clear(self):
        """Empties the folder, but for its lock."""
        for path in self.folder.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            elif path.name != lock.NAME:
                path.unlink()

    def prepare(self):
        """Makes the folder ready; returns the state to go on from and the log
        so far, or None and an empty one after removing what a run without a
        snapshot left."""
        log = CaffeLog(whole_lines(self.log_file))
        whole = {
            i: path
            for i, path in sorted(self.files_of_snapshots())
            if path.suffix == ".solverstate" and is_whole(path)
        }
        states = [path for i, path in whole.items() if not self.missing(log, i)]
        if any(self.files_of_snapshots()) and not self.has_same_settings():
            raise self.other_settings("an unfinished")
        self.tell_of_holes(log, max(whole, default=0), goes_on=bool(states))
        if states:
            metrics = self.read_metrics()
            self.earlier_wall_s = metrics["wall_s"]
            session = {field: metrics[field] for field in SESSION_FIELDS}
            self.facts["earlier"] = [*metrics.get("earlier", ()), session]
            return states[-1], log
        self.clear()
        for path, text in self.settings.items():
            write_whole(path, text)
        return None, CaffeLog()

    def read_metrics(self):
        """What metrics.json holds; TrainingError if it is damaged."""
        try:
            metrics = json.loads(self.metrics_file.read_text())
            for field in (*SESSION_FIELDS, "wall_s", "train", "tests"):
                metrics[field]
        except (ValueError, KeyError, TypeError, OSError) as error:
            raise TrainingError(
                f"{shown(self.metrics_file)} is damaged ({error!r}); --force "
                "removes the run and trains anew"
            ) from None
        return metrics

    def other_settings(self, what):
        return TrainingError(
            f"{shown(self.folder)} holds {what} run with another net or "
            "solver; --force (make: FORCE=1) removes it and trains anew"
        )

    def write_metrics(self, log, status, wall_s, drop_rate=None):
        epoch = self.experiment.epoch_iterations
        weight = self.experiment.loss_weight
        metrics = {
            **self.facts,
            "status": status,
            "diverged": log.diverged,
            "wall_s": round(self.earlier_wall_s + wall_s, 2),
            "drop_rate": drop_rate,
            "timing": log.timing(),
            "tests": [
                {"iteration": i, "epoch": i / epoch, "net": net, **values}
                for (i, net), values in tested(self.experiment, log).items()
            ],
            "train": [
                {"iteration": i, "loss": loss / weight}
                for i, loss in sorted(log.losses.items())
            ],
        }
        for row in metrics["tests"] + metrics["train"]:
            for name, value in row.items():  # JSON has no NaN
                if isinstance(value, float) and not math.isfinite(value):
                    row[name] = None
        write_whole(self.metrics_file, json.dumps(metrics, indent=1) + "\n")

    def train(self, held):
        """Runs Caffe to the end; TrainingError says why it did not get there.

        Ctrl-C and SIGTERM are handed on to Caffe, which then ends. Metrics
        name the session that wrote them, and in `earlier` those that a
        resumed run had before, oldest first. Caffe shares the folder's lock:
        it may need a while to end after this process.
        """
        state, log = self.prepare()
        command = [*self.caffe, f"--solver={shown(self.solver)}"]
        if state:
            command.append(f"--snapshot={shown(state)}")
            tqdm.write(f"{self.experiment.key}: goes on from {state.name}")
        self.facts["command"] = shlex.join(command)
        now = datetime.datetime.now(datetime.timezone.utc)
        self.facts["date"] = now.isoformat(timespec="seconds")
        start = time.monotonic()
        self.write_metrics(log, "running", 0)
        with caffe_process.started(command, ROOT, [held.descriptor]) as process:
            held.write(os.getpid(), process.pid)
            for change in self.follow(process.stdout, log):
                if change:
                    elapsed = time.monotonic() - start
                    self.write_metrics(log, "running", elapsed)
                    self.remove_snapshots(log)
        self.finish(log, process.returncode, time.monotonic() - start)

    def finish(self, log, status, wall_s):
        """Writes what the run left, with `done` if nothing is missing."""
        if status not in (0, -caffe_process.STOP):
            self.write_metrics(log, "failed", wall_s)
            raise TrainingError(self.failure(status))
        last = self.experiment.max_iter
        last_net = len(self.experiment.splits) - 1
        if (last, last_net) not in log.tests:
            self.write_metrics(log, "interrupted", wall_s)
            raise TrainingError(self.interruption("was interrupted", log))
        if holes := self.missing(log, last + 1):
            self.write_metrics(log, "failed", wall_s)
            what = f"came to its end, but {listed(holes)}"
            raise TrainingError(self.interruption(what, log))
        state = self.folder / f"snapshot_iter_{last}.solverstate"
        rates = drop_rates(self.experiment, state)
        self.write_metrics(log, "finished", wall_s, rates)
        write_whole(self.done_file, self.facts["date"] + "\n")
        if log.diverged:
            tqdm.write(f"{self.experiment.key}: DIVERGED, a loss is not finite")

    def follow(self, lines, log):
        """Stores Caffe's log and shows progress; yields for every line
        whether it changed a loss or a test's value."""
        shown_every_s = 0.2 if sys.stderr.isatty() else 30
        with (
            open(self.log_file, "ab", buffering=0) as file,
            tqdm(
                desc=self.experiment.key,
                total=self.experiment.max_iter,
                initial=log.iteration,
                unit="it",
                mininterval=shown_every_s,
            ) as bar,
        ):
            for line in lines:
                if NOT_LOGGED not in line:
                    self.write_line(file, line.encode())
                changed = log.feed(line)
                if changed:
                    values = progress(self.experiment, log)
                    bar.set_postfix(values, refresh=False)
                    bar.update(log.iteration - bar.n)
                yield changed

    def write_line(self, file, rest):
        with writing(self.log_file):
            while rest:
                rest = rest[file.write(rest) :]

    def interruption(self, what, log):
        states = [path.name for path in self.snapshots(log).values()]
        where = f"goes on from {states[-1]}" if states else "starts again"
        return f"{self.experiment.key} {what}; the same command {where}"

    def finished_before(self):
        """The metrics; TrainingError if the folder holds another run."""
        if not self.has_same_settings():
            raise self.other_settings("a finished")
        metrics = self.read_metrics()
        losses = {row["iteration"] for row in metrics["train"]}
        tests = {(row["iteration"], row["net"]) for row in metrics["tests"]}
        end = self.experiment.max_iter + 1
        if holes := missing(self.experiment, losses, tests, end):
            raise TrainingError(
                f"{shown(self.metrics_file)}: {listed(holes)}; --force removes "
                "the run and trains anew"
            )
        tqdm.write(f"{self.experiment.key}: finished before, nothing to do")
        return metrics

    def failure(self, status):
        with open(self.log_file, errors="replace") as file:
            last = "".join(file.readlines()[-LOG_LINES_SHOWN:])
        return (
            f"{last}{self.experiment.key}: caffe ended with status {status}; "
            f"its last lines are above, all of them in {shown(self.log_file)}"
        )


def train(experiment, folder=None, force=False, gpu=None):
    """Trains one experiment unless it is finished; returns its metrics.

    folder: where the run is kept, the registry's by default.
    force: remove what the folder holds and train anew.
    gpu: number of the GPU that trains, None for the CPU.
    Raises TrainingError, and LockedError if another process trains there.
    """
    folder = folder or ROOT / experiment.run_folder
    caffe = caffe_command(gpu)
    source = data_source(experiment)
    experiment = experiment.fitted(source)
    run = Run(experiment, folder, source, caffe)
    with lock.locked(folder) as held:
        if force:
            run.clear()
        if run.done_file.exists():
            return run.finished_before()
        run.train(held)
        return run.read_metrics()
