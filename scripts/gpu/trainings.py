"""Short real trainings with `caffe train`: it learns, on the GPU too."""

import math

from training.caffe_log import NOT_LOGGED, CaffeLog


def train(check, training):
    """Runs one training; its log as a CaffeLog. RuntimeError if it ends
    early."""
    command = [
        check.program("caffe", training["stock"]), "train",
        f"--solver={training['solver']}", *check.device_options(),
    ]
    log = CaffeLog()
    with check.started(command) as process:
        for line in process.stdout:
            if NOT_LOGGED not in line:
                check.log.write(line)
            log.feed(line)
    if check.left_s() <= 0:
        raise RuntimeError("no time was left")
    if process.returncode:
        raise RuntimeError(f"caffe ended with status {process.returncode}")
    return log


def last_scores(training, log):
    """{split: {what was measured: value}} of the last tests."""
    last = log.tested_iteration
    results = {}
    for net, split in enumerate(training["splits"]):
        values = log.tests[last, net]
        if training["positions_a_word"]:
            positions = training["positions_a_word"][net]
            loss = values["loss"] * positions
            values = {
                "perplexity": math.exp(loss) if loss < 700 else math.inf,
                "accuracy": values["correct"] * positions,
            }
        results[split] = values
    return results


def judge(check, training, result, stock):
    """Whether a training did as well as stock's, but for the tolerance."""
    split = training["splits"][-1]
    for name, sign in (("perplexity", -1), ("accuracy", 1)):
        if name not in result[split]:
            continue
        value, other = result[split][name], stock[split][name]
        worst = (other * training["tolerance"] if sign < 0
                 else other - training["tolerance"])
        if not sign * value >= sign * worst:
            check.fail(f"{training['name']}: {name} {value:.5g} is worse than "
                       f"{worst:.5g}, stock's being {other:.5g}")
        return


def train_part(check):
    """All trainings; each workload's first is stock's."""
    results, stock = [], {}
    for training in check.cases["trainings"]:
        workload = training["name"].split("/")[0]
        try:
            log = train(check, training)
        except RuntimeError as error:
            check.fail(f"{training['name']}: {error}")
            continue
        result = last_scores(training, log)
        if log.diverged:
            check.fail(f"{training['name']}: a loss is not a finite number")
        if training["stock"]:
            stock[workload] = result
        judge(check, training, result, stock.get(workload, result))
        shown = ", ".join(
            f"{split} {name} {value:.5g}"
            for split, values in result.items()
            for name, value in values.items())
        timing = log.timing()
        check.say(f"  {training['name']}: {shown}; ms/iteration: "
                  f"{timing['median_ms']}")
        results.append({"name": training["name"], "tests": result,
                        "median_ms": timing["median_ms"],
                        "quartiles_ms": timing["quartiles_ms"]})
    return {"trainings": results}
