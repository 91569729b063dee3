"""One training of an experiment with `caffe train`, in a folder of its own.

A run's folder, runs/mnist/row_0.7 say, holds net.prototxt and solver.prototxt
as used, log.txt (Caffe's), metrics.json (kept up to date while it trains),
Caffe's snapshot and, when it is finished, `done`.
"""

import dataclasses
import datetime
import json
import math
import shlex
import shutil
import sys
import time

from tqdm import tqdm

from nets.text import net_text, solver_text
from project import ROOT, commit, machine, shown, write_whole
from training import caffe_process
from training.caffe_log import NOT_LOGGED, CaffeLog, progress, tested
from training.drop_rates import drop_rates, read_state

CAFFE = ROOT / "build/bin/caffe"
CUDA_CAFFE = ROOT / "build/bin/caffe-cuda"
LOG_LINES_SHOWN = 20
SESSION_FIELDS = ("machine", "commit", "command", "date")


class TrainingError(Exception):
    """A run that cannot start or did not end well, with what to do."""


def data_source(experiment):
    """What the prepared data is: its source.json."""
    path = ROOT / experiment.data / "source.json"
    if not path.exists():
        raise TrainingError(
            f"{shown(path)} is missing: prepare the data with "
            + experiment.prepared_by
        )
    return json.loads(path.read_text())


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
    """Whether Caffe, if it was killed, had written a solver state before."""
    try:
        read_state(state)
    except ValueError:
        return False
    return state.stat().st_size > 0


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

    def snapshots(self):
        """Solver states to go on from, {iteration: path}, latest last."""
        found = {
            int(path.stem.rsplit("_", 1)[1]): path
            for path in self.folder.glob("snapshot_iter_*.solverstate")
        }
        goes_on_from = self.experiment.goes_on_from
        return {i: found[i] for i in sorted(found) if goes_on_from(i)}

    def remove_snapshots(self, reached):
        """Removes those before the last one to go on from, states and models.

        reached: the last iteration logged. Caffe logs an iteration after it
        has written that iteration's snapshot, so later ones may be half done.
        """
        last = max((i for i in self.snapshots() if i <= reached), default=0)
        for path in self.folder.glob("snapshot_iter_*"):
            if int(path.stem.rsplit("_", 1)[1]) < last:
                path.unlink()

    def prepare(self):
        """Makes the folder ready; returns the state to go on from, or None
        after removing what a run without a snapshot left."""
        states = [*filter(is_whole, self.snapshots().values())]
        if states and not self.has_same_settings():
            raise self.other_settings("an unfinished")
        if states:
            metrics = json.loads(self.metrics_file.read_text())
            self.earlier_wall_s = metrics["wall_s"]
            session = {field: metrics[field] for field in SESSION_FIELDS}
            self.facts["earlier"] = [*metrics.get("earlier", ()), session]
            return states[-1]
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        for path, text in self.settings.items():
            path.write_text(text)
        return None

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

    def train(self):
        """Runs Caffe to the end; TrainingError says why it did not get there.

        Ctrl-C and SIGTERM are handed on to Caffe, which then ends. Metrics
        name the session that wrote them, and in `earlier` those that a
        resumed run had before, oldest first.
        """
        state = self.prepare()
        command = [*self.caffe, f"--solver={shown(self.solver)}"]
        if state:
            command.append(f"--snapshot={shown(state)}")
            tqdm.write(f"{self.experiment.key}: goes on from {state.name}")
        self.facts["command"] = shlex.join(command)
        now = datetime.datetime.now(datetime.timezone.utc)
        self.facts["date"] = now.isoformat(timespec="seconds")
        log = CaffeLog(self.log_file.read_text() if state else "")
        start = time.monotonic()
        self.write_metrics(log, "running", 0)
        with caffe_process.started(command, ROOT) as process:
            for change in self.follow(process.stdout, log):
                if change:
                    elapsed = time.monotonic() - start
                    self.write_metrics(log, "running", elapsed)
                    self.remove_snapshots(log.iteration)
        wall_s = time.monotonic() - start
        if process.returncode:
            self.write_metrics(log, "failed", wall_s)
            raise TrainingError(self.failure(process.returncode))
        last_net = len(self.experiment.splits) - 1
        if (self.experiment.max_iter, last_net) not in log.tests:
            self.write_metrics(log, "interrupted", wall_s)
            raise TrainingError(self.interruption())
        last = self.experiment.max_iter
        state = self.folder / f"snapshot_iter_{last}.solverstate"
        rates = drop_rates(self.experiment, state)
        self.write_metrics(log, "finished", wall_s, rates)
        self.done_file.write_text(self.facts["date"] + "\n")
        if log.diverged:
            tqdm.write(f"{self.experiment.key}: DIVERGED, a loss is not finite")

    def follow(self, lines, log):
        """Stores Caffe's log and shows progress; yields for every line
        whether it changed a loss or a test's value."""
        shown_every_s = 0.2 if sys.stderr.isatty() else 30
        with (
            open(self.log_file, "a", buffering=1) as file,
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
                    file.write(line)
                changed = log.feed(line)
                if changed:
                    values = progress(self.experiment, log)
                    bar.set_postfix(values, refresh=False)
                    bar.update(log.iteration - bar.n)
                yield changed

    def interruption(self):
        states = [path.name for path in self.snapshots().values()]
        where = f"goes on from {states[-1]}" if states else "starts again"
        return (
            f"{self.experiment.key} was interrupted; the same command {where}"
        )

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
    Raises TrainingError.
    """
    folder = folder or ROOT / experiment.run_folder
    caffe = caffe_command(gpu)
    source = data_source(experiment)
    experiment = experiment.fitted(source)
    run = Run(experiment, folder, source, caffe)
    if force:
        shutil.rmtree(folder, ignore_errors=True)
    if not run.done_file.exists():
        run.train()
    elif run.has_same_settings():
        tqdm.write(f"{experiment.key}: finished before, nothing to do")
    else:
        raise run.other_settings("a finished")
    return json.loads(run.metrics_file.read_text())
