#!/usr/bin/python3
"""Times whole training steps of our nets beside stock Caffe's.

A sweep is a list of groups of nets, see measure/sweeps.py. Each net of a group
trains in a process of its own; they take turns, some steps at a time, so that a
machine that slows down slows all of them. Before anything is timed, the first
steps of each of our nets are held against a dense oracle, see
measure/oracle.py; the program ends if they differ. After it, each net's layers
are timed one by one.

A finished sweep is written as JSON, {"command", "machine", "commit", "date",
"sweep", "rows": [...]}, and with all others there as a table and a picture.
It is skipped when it is asked for again with the same commit (a clean one),
machine and settings.
"""

import argparse
import datetime
import json
import os
import sys

from measure import references, sweeps, timer, turns
from measure.command_line import add_options, chosen_names
from project import (
    ROOT,
    command_line,
    commit,
    is_clean,
    machine,
    read_json,
    write_whole,
)
from training.run import TrainingError

STEPS = {"mnist": 50, "ptb": 20}  # in one call of Solver::Step
QUICK_STEPS, QUICK_ROUNDS = {"mnist": 3, "ptb": 3}, 2


def steps(options):
    """{workload: steps in a turn}."""
    return {name: options.steps or count for name, count in STEPS.items()}


def settings(options):
    """What a sweep's results depend on, beside the sweep."""
    return {
        "machine": machine(),
        "commit": commit(),
        "rounds": QUICK_ROUNDS if options.quick else options.rounds,
        "steps": QUICK_STEPS if options.quick else steps(options),
        "quick": options.quick,
    }


def is_done(path, current):
    """Whether the file holds a sweep with the same settings."""
    if not path.exists() or not is_clean(current["commit"]):
        return False
    earlier = read_json(path)
    return all(earlier.get(name) == value for name, value in current.items())


def write(sweep, options):
    """Measures a sweep and writes its JSON, unless it is there."""
    for why in filter(None, map(references.missing, sweep.cases())):
        print(f"{sweep.name}: {why}; nothing is timed")
        return
    path = options.output / f"{sweep.name}.json"
    current = settings(options)
    if is_done(path, current):
        print(f"{sweep.name}: measured before, nothing to do")
        return
    now = datetime.datetime.now(datetime.timezone.utc)
    results = {
        "command": command_line(),
        **current,
        "date": now.isoformat(timespec="seconds"),
        "sweep": sweep.name,
        "varied": sweep.varied,
        "data": turns.data_used(sweep),
        **turns.run(sweep, current["rounds"], current["steps"]),
    }
    write_whole(path, json.dumps(results, indent=1) + "\n")


def main(arguments=None):
    """Runs the command line."""
    timer.let_waiting_threads_sleep()
    timer.use_blas_kernels()
    os.environ["GLOG_minloglevel"] = "2"
    from measure import report  # each net's process imports this file

    known = list(sweeps.sweeps())
    parser = argparse.ArgumentParser(description=__doc__)
    add_options(parser, "sweep", known, ROOT / "runs/bench")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--steps", type=int, default=0, help="in a turn (50; of LSTMs 20)"
    )
    options = parser.parse_args(arguments)
    names = chosen_names(parser, options, "sweep", known)
    if options.rounds < 1:
        parser.error(f"--rounds is {options.rounds}, must be at least 1")
    if options.steps < 0:
        parser.error(f"--steps is {options.steps}, must be at least 0")
    try:
        options.output.mkdir(parents=True, exist_ok=True)
        for name in names:
            write(sweeps.sweeps(options.quick)[name], options)
            report.write(options.output, known)
    except (
        turns.BenchError, TrainingError, ValueError, OSError,
    ) as error:
        print(f"measure_steps.py: {error}", file=sys.stderr)
        return 1
    print((options.output / "table.md").read_text())
    return 0


if __name__ == "__main__":
    sys.exit(main())
