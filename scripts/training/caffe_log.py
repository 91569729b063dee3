"""What a training's log says of an experiment."""

import itertools

from approx_dropout.caffe_log import CaffeLog

__all__ = ["NOT_LOGGED", "CaffeLog", "listed", "missing", "progress", "tested"]

NOT_LOGGED = "Gradient clipping: scaling down gradients"  # every iteration


def tested(experiment, log):
    """{(iteration, number of the test net): values} of all tests, values
    with the split's name if there are several; a test that Caffe is still
    printing is left out."""
    values = {}
    for (iteration, net), outputs in sorted(log.tests.items()):
        split = experiment.splits[net]
        if experiment.outputs <= outputs.keys():
            several = {"split": split} if len(experiment.splits) > 1 else {}
            scores = experiment.scores(split, outputs)
            values[iteration, net] = {**several, **scores}
    return values


def missing(experiment, losses, tests, before):
    """What a log of a training up to an iteration, `before`, should hold of
    earlier ones and does not, as phrases; [] if it is whole.

    losses: the iterations that it has a loss for; tests: the iterations and
    numbers of the test nets that it has a test for.
    """
    nets = range(len(experiment.splits))
    shown = set(range(0, before, experiment.display))
    interval = experiment.test_interval
    ends = set(itertools.product(range(interval, before, interval), nets))
    return [
        *(f"the loss of iteration {i}" for i in sorted(shown - set(losses))),
        *(
            f"the test of net {net} at iteration {i}"
            for i, net in sorted(ends - set(tests))
        ),
    ]


def listed(holes):
    """What a log lacks, in a few words."""
    more = f" and {len(holes) - 1} more" if holes[1:] else ""
    return f"its log lacks {holes[0]}{more}"


def progress(experiment, log):
    """The last loss and the first test net's last accuracy or perplexity,
    for the progress bar."""
    values = {}
    if log.losses:
        loss = log.losses[max(log.losses)] / experiment.loss_weight
        values["loss"] = f"{loss:.3f}"
    tests = [
        outputs
        for (_, net), outputs in tested(experiment, log).items()
        if net == 0
    ]
    for name in ("accuracy", "perplexity"):
        if tests and name in tests[-1]:
            values[name] = f"{tests[-1][name]:.5g}"
    return values
