"""Nets checked against the dense oracle, then timed in turn.

Each net of a group trains in a process of its own; they take turns, some steps
at a time, so that a machine that slows down slows all of them.
"""

import contextlib
import multiprocessing
import os
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from tqdm import tqdm

import nets.solver
from measure import oracle, references, sweeps, timer, worker
from measure.bound import bound
from measure.timing import WARM_UP_STEPS, compared
from nets.text import net_text, to_text
from project import ROOT
from training.run import data_source

CHECK_STEPS = 3
OTHERS_TOLERATED = 0.1  # cores that other processes may keep busy


class BenchError(Exception):
    """A net that ended early or computes the wrong thing."""


def process(*solver):
    """A pool of one new process, none of whose state is ours, with the solver
    of a build and a file, if given."""
    return ProcessPoolExecutor(
        1, multiprocessing.get_context("spawn"), worker.start, solver
    )


def call(pool, name, function, *arguments):
    """Calls a function in the pool's process, which works on what name says."""
    try:
        return pool.submit(function, *arguments).result()
    except BrokenProcessPool:
        raise BenchError(
            f"{name}: its process ended; if Caffe said why, that is above"
        ) from None


def solver_file(experiment, folder):
    """Writes net and solver, without tests and snapshots; the solver."""
    net, solver = folder / "net.prototxt", folder / "solver.prototxt"
    net.write_text(net_text(experiment))
    fields = nets.solver.timed_solver(experiment) | {"net": str(net)}
    solver.write_text(to_text(fields))
    return solver


class Worker:
    """One net, in a process that is looked into and in one that is timed.

    pool: the first, with pycaffe; timer: the second, None until it is started.
    """

    def __init__(self, case, folder):
        self.case, self.folder = case, folder
        self.timer, self.profile, self.error = None, {}, None
        folder.mkdir()
        self.solver = solver_file(case.experiment, folder)
        self.pool = process(case.build, self.solver)

    def call(self, function, *arguments):
        """Calls a function of worker.py there."""
        return call(self.pool, self.case.name, function, *arguments)

    def start_timer(self, log):
        """Starts the process that is timed, which log tells about."""
        self.timer = timer.start(
            self.case.name,
            self.case.build,
            self.solver,
            log,
            self.case.steps_per_call,
        )

    def take_profile(self, passes):
        """Times its layers one by one."""
        self.profile = self.call(worker.profile, passes)

    def check(self, pool, build):
        """Takes the first steps and holds them against the oracle's, which
        works with that build in the pool's process; BenchError names what
        differs."""
        before, after = self.folder / "before.npz", self.folder / "after.npz"
        self.call(worker.save, before)
        loss = self.call(worker.step, CHECK_STEPS)
        self.call(worker.save, after)
        errors = call(
            pool,
            f"the oracle of {self.case.name}",
            oracle.compare,
            build,
            self.case.experiment,
            before,
            after,
            CHECK_STEPS,
            loss,
        )
        before.unlink()
        after.unlink()
        self.error = max(errors.values())
        wrong = {key: error for key, error in errors.items() if not error <= 1}
        if wrong:
            raise BenchError(
                f"{self.case.name}: not what the dense oracle computes; "
                f"errors as multiples of what is tolerated: {wrong}"
            )


def checked(group, folder, stack, bar):
    """Workers of the cases, ours checked."""
    workers = []
    with process() as pool:
        for i, case in enumerate(group):
            bar.set_postfix_str(f"checks {case.name}", refresh=False)
            if case.is_caffe:
                workers.append(Worker(case, folder / str(i)))
            else:
                workers.append(references.Reference(case))
            stack.enter_context(workers[-1].pool)
            if case.is_caffe and case.experiment.pattern:
                workers[-1].check(pool, group[0].build)
            bar.update()
    return workers


def step(one, count, record=True):
    """Takes steps of a worker's process that is timed."""
    try:
        one.timer.step(count, record)
    except RuntimeError as error:
        raise BenchError(str(error)) from None


def busy_seconds():
    """What all processors have worked since the machine started."""
    with open("/proc/stat") as lines:
        fields = next(lines).split()[1:9]
    user, nice, system, _, _, irq, softirq, steal = map(int, fields)
    ticks = user + nice + system + irq + softirq + steal
    return ticks / os.sysconf("SC_CLK_TCK")


def used_seconds():
    """What this process and its finished children have worked."""
    return sum(os.times()[:4])


def measure(group, rounds, steps, bar):
    """Checks and times a group's cases; their workers, and how many cores
    other processes kept busy meanwhile."""
    start_s, busy_s, used_s = time.monotonic(), busy_seconds(), used_seconds()
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        workers = checked(group, Path(folder), stack, bar)
        log = stack.enter_context(open(Path(folder, "log"), "w"))
        for one in workers:
            one.start_timer(log)
            stack.callback(one.timer.end)
            step(one, WARM_UP_STEPS, record=False)
        for _ in range(rounds):
            for one in workers:
                bar.set_postfix_str(f"times {one.case.name}", refresh=False)
                step(one, steps)
                bar.update()
        for one in workers:
            bar.set_postfix_str(f"profiles {one.case.name}", refresh=False)
            one.take_profile(max(steps // 5, 1))
            bar.update()
    busy_s = busy_seconds() - busy_s - (used_seconds() - used_s)
    return workers, busy_s / (time.monotonic() - start_s)


def warn_of_others(name, cores):
    """Warns if a measurement of that name did not have the machine alone."""
    if cores > OTHERS_TOLERATED:
        tqdm.write(
            f"{name}: WARNING: other processes kept up to {cores:.2f} cores "
            "busy; these times are of a machine that was shared",
            file=sys.stderr,
        )


def held_against(one, ours):
    """How many times as fast as this one ours is, in the same rounds."""
    found = compared(
        ours.timer.wall_ms, ours.timer.processor_ms, one.timer.wall_ms
    )
    return {
        f"our_{name}": value
        for name, value in found.items()
        if name.startswith("speed_up")
    }


def row(one, baseline, ours=None):
    """A line of the results: medians, and the ratio to stock of each round.

    ours: the net of ours that is held against this one, or None.
    error: the largest found by the check, as a multiple of what is tolerated.
    profile: [forward, backward] of each layer; "rest" is the step's time less
    theirs: updating parameters and clearing their gradients.
    """
    times = compared(
        one.timer.wall_ms, one.timer.processor_ms, baseline.timer.wall_ms
    )
    experiment = one.case.experiment
    allowed = bound(experiment)
    return {
        "case": one.case.name,
        "build": one.case.build,
        "reference": one.case.is_reference,
        "steps_per_call": one.case.steps_per_call,
        "net": one.case.net,
        "method": one.case.method,
        "family": experiment.family,
        "rate": one.case.rate,
        "rates": list(experiment.rates),
        "batch": experiment.batch_size,
        "groups": experiment.groups,
        "solver": experiment.solver,
        "weight_decay": experiment.weight_decay,
        **times,
        **(held_against(one, ours) if ours else {}),
        "bound": allowed,
        "share": times["speed_up"] / allowed,
        "peak_bytes": one.timer.peak_bytes,
        "error": one.error,
        "profile": {
            "layers": one.profile,
            "rest": times["wall_ms"] - sum(map(sum, one.profile.values())),
        },
    }


def rows_of(workers):
    """The lines of a group's workers, the baseline first."""
    ours = workers[1] if len(workers) > 1 else None
    return [
        row(one, workers[0], ours if one.case.is_reference else None)
        for one in workers
    ]


def run(sweep, rounds, steps):
    """Measures a sweep; its results, to be written as JSON.

    steps: {workload: steps in a call of Solver::Step}.
    """
    rows, others = [], 0
    total = sum(len(group) * (rounds + 2) for group in sweep.groups)
    shown_every_s = 0.2 if sys.stderr.isatty() else 30
    with tqdm(desc=sweep.name, total=total, mininterval=shown_every_s) as bar:
        for group in sweep.groups:
            workload = group[0].experiment.workload
            workers, cores = measure(group, rounds, steps[workload], bar)
            rows += rows_of(workers)
            others = max(others, cores)
    warn_of_others(sweep.name, others)
    return {"others_busy_cores": others, "rows": rows}


def data_used(sweep):
    """What the sweep's nets read, {folder: name of the data}; BenchError
    says what has to be built or prepared first."""
    used = {}
    for case in sweep.cases():
        if (
            case.is_caffe
            and not (
                ROOT / "build" / case.build / "python/caffe/_caffe.so"
            ).exists()
        ):
            raise BenchError(
                f"build/{case.build} is not built: run "
                "scripts/setup/build_caffe.sh"
                + (" --stock" if case.build == sweeps.STOCK else "")
            )
        experiment = case.experiment
        if experiment.data not in used:
            used[experiment.data] = data_source(experiment)["used"]
    return used
