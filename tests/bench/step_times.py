#!/usr/bin/env python3
"""Times whole training steps of several nets side by side.

Each net trains in a process of its own; they take turns, some steps at a
time, so that a machine that slows down slows all of them. "stock" is Caffe
without our changes (scripts/build_caffe.sh --stock), with its own Dropout and
layers; the others are the patched build's. Prints a table and writes JSON.
"""

import argparse
import dataclasses
import datetime
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tqdm import tqdm

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

import experiments  # noqa: E402
import make_prototxt  # noqa: E402
import step_workers  # noqa: E402
import train  # noqa: E402


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
    solver.write_text(make_prototxt.timed_solver_text(experiment, str(net)))
    return solver


def worker(label, build, solver):
    """The worker of a build on a solver; it steps on request."""
    return step_workers.Worker(
        label,
        [ROOT / "build" / build / "build/tools/step_times",
         f"--solver={solver}"],
        subprocess.DEVNULL, cwd=ROOT,
        env={**os.environ, "GLOG_minloglevel": "2",
             "PYTHONPATH":
                 f"{ROOT}/python_layers:{ROOT}/build/{build}/python",
             # The interpreter inside Caffe finds its library by it.
             "PATH": "/usr/bin:" + os.environ["PATH"]})


def measure(chosen, rounds, steps):
    """Workers of the cases, with their timings."""
    with tempfile.TemporaryDirectory() as folder:
        workers = [
            worker(label, build, solver_file(experiment, Path(folder) / str(i)))
            for i, (label, build, experiment) in enumerate(chosen)]
        try:
            step_workers.take_turns(workers, rounds, steps, tqdm)
        finally:
            for each in workers:
                each.end()
    return workers


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
    for each in workers:
        if each.label.startswith("stock"):
            baseline = each
        rows.append(step_workers.row(each, baseline))
    print(step_workers.table(rows))
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
