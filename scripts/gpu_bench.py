"""Step times: stock Caffe's conventional dropout, ours, PyTorch's dense net."""

import importlib.util
import os
import sys
from pathlib import Path

import step_workers

# A GPU's losses after CHECKED_STEPS may differ from the CPU's by this share
# of how far those have moved, and by this share of the loss itself.
MOVED_TOLERANCE = 0.02
LOSS_TOLERANCE = 1e-4
CHECKED_STEPS = 10
TORCH = Path(__file__).with_name("torch_steps.py")


def start(check, case, run, cpu=False):
    """A worker on a run of a case."""
    device = [] if cpu else check.device_options()
    worker = step_workers.Worker(
        run["label"],
        [check.program("step_times", run["stock"]), *device,
         f"--solver={run['solver']}", f"--inputs={case['inputs']}"],
        check.log,
        env={**os.environ, "GLOG_minloglevel": "2"},
    )
    check.stop_in_time(worker.process)
    return worker


def start_torch(check, case):
    """PyTorch's worker on the same net."""
    torch = {**case["torch"], "device": "cpu" if check.cpu else "cuda"}
    options = [f"--{field}={value}" for field, value in torch.items()]
    worker = step_workers.Worker(
        "PyTorch", [sys.executable, TORCH, *options], check.log
    )
    check.stop_in_time(worker.process)
    return worker


def same_losses(check, case, run, worker):
    """Whether the device trains as the CPU does: both draw the same patterns.

    Takes the worker's first steps. Returns the losses, the device's and the
    CPU's, after one step and after CHECKED_STEPS.
    """
    reference = start(check, case, run, cpu=True)
    try:
        losses = [
            [each.step(1, record=False),
             each.step(CHECKED_STEPS - 1, record=False)]
            for each in (worker, reference)
        ]
    finally:
        reference.end()
    (first, last), (cpu_first, cpu_last) = losses
    allowed = (MOVED_TOLERANCE * abs(cpu_first - cpu_last)
               + LOSS_TOLERANCE * abs(cpu_last))
    if max(abs(first - cpu_first), abs(last - cpu_last)) > allowed:
        check.fail(f"{case['name']}, {run['label']}: losses {losses[0]} on "
                   f"the device, {losses[1]} on the CPU; they may differ by "
                   f"{allowed:.2g}")
    return {"device": losses[0], "cpu": losses[1]}


def time_case(check, case):
    """Checks the case's runs, then times them in turns."""
    workers, losses = [], {}
    try:
        for run in case["runs"]:
            workers.append(start(check, case, run))
        for run, worker in zip(case["runs"], workers):
            if not run["stock"]:
                losses[run["label"]] = same_losses(check, case, run, worker)
        if importlib.util.find_spec("torch"):
            workers.append(start_torch(check, case))
        step_workers.take_turns(workers, case["rounds"], case["steps"])
    finally:
        for worker in workers:
            worker.end()
    rows, baseline = [], None
    for worker in workers:
        if worker.label.startswith("stock"):
            baseline = worker
        # PyTorch's is held against the first rate's, as which it was made.
        against = workers[0] if worker.label == "PyTorch" else baseline
        rows.append(step_workers.row(worker, against))
    check.say(f"\n### {case['name']}, {case['steps']} steps a turn, "
              f"{case['rounds']} rounds\n\n{step_workers.table(rows)}\n")
    return {"case": case["name"], "rounds": case["rounds"],
            "steps": case["steps"], "losses": losses, "rows": rows}


def bench_part(check):
    """All cases; one that fails does not keep the others from running."""
    results = []
    for case in check.cases["steps"]:
        if check.left_s() <= 0:
            check.fail(f"{case['name']}: no time was left")
            continue
        try:
            results.append(time_case(check, case))
        except RuntimeError as error:
            check.fail(f"{case['name']}: {error}")
    return {"cases": results}
