"""Step times: stock Caffe's conventional dropout, ours, PyTorch's dense net."""

import importlib.util
import os
import statistics
import sys

from measure import step_workers

# A GPU's losses after CHECKED_STEPS may differ from the CPU's by this share
# of how far those have moved, and by this share of the loss itself.
MOVED_TOLERANCE = 0.02
LOSS_TOLERANCE = 1e-4
CHECKED_STEPS = 10
# How many times as fast as another run the faster of ROW and TILE should be:
# case, rate, the other run, times.
GOALS = (
    ("MLP 4096 batch 1024", 0.5, "stock 0.5", 2.5),
    ("MLP 4096 batch 1024", 0.7, "stock 0.7", 5),
    ("LSTM 2x1500", 0.5, "stock 0.5", 3),
    ("LSTM 2x1500", 0.7, "stock 0.7", 4),
    ("LSTM 2x1500", 0.7, "PyTorch", 1),
)
TORCH = [sys.executable, "-m", "measure.torch_steps"]


def start(check, case, run, cpu=False):
    """A worker on a run of a case."""
    device = [] if cpu else check.device_options()
    worker = step_workers.StepProcess(
        run["label"],
        [check.program("step_times", run["stock"]), *device,
         f"--solver={run['solver']}", f"--inputs={case['inputs']}"],
        check.log,
        env={**os.environ, "GLOG_minloglevel": "2"},
        start_new_session=True,
    )
    check.stop_in_time(worker.process)
    return worker


def add_torch(check, case, workers):
    """Adds PyTorch's worker on the same net; says why it could not, or None.
    """
    if not importlib.util.find_spec("torch"):
        return "PyTorch is not installed"
    torch = {**case["torch"], "device": "cpu" if check.cpu else "cuda"}
    options = [f"--{field}={value}" for field, value in torch.items()]
    worker = step_workers.StepProcess(
        "PyTorch", [*TORCH, *options], check.log,
        start_new_session=True,
    )
    check.stop_in_time(worker.process)
    try:
        worker.step(1, record=False)
    except RuntimeError as error:
        worker.end()
        return str(error)
    workers.append(worker)
    return None


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
        without_torch = add_torch(check, case, workers)
        if without_torch:
            check.say(f"  {case['name']}: {without_torch}, not timed")
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
    check.say(f"\n### {case['name']}, {case['steps']} steps per turn, "
              f"{case['rounds']} rounds\n\n{step_workers.table(rows)}\n")
    return {"case": case["name"], "rounds": case["rounds"],
            "steps": case["steps"], "losses": losses, "rows": rows,
            "without_torch": without_torch}


def judge(results):
    """The goals whose runs were timed, and whether they were met."""
    times = {(case["case"], row["case"]): row["wall_ms_all"]
             for case in results for row in case["rows"]}
    judged = []
    for case, rate, other, wanted in GOALS:
        runs = [(case, f"{method} {rate}") for method in ("row", "tile")]
        if not {(case, other), *runs} <= times.keys():
            continue
        measured = max(
            statistics.median(theirs / ours for theirs, ours
                              in zip(times[case, other], times[run]))
            for run in runs)
        judged.append({"goal": f"{case} at rate {rate} against {other}",
                       "wanted": wanted, "measured": measured,
                       "met": measured >= wanted})
    return judged


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
    goals = judge(results)
    for goal in goals:
        check.say(f"  {goal['goal']}: {goal['measured']:.2f} times as fast, "
                  f"wanted {goal['wanted']}: "
                  f"{'met' if goal['met'] else 'missed'}")
    return {"cases": results, "goals": goals}
