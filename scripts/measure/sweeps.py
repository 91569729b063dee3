"""What is timed: cases, held against stock Caffe, in sweeps.

A sweep is a list of groups. A group's first case is its baseline, Caffe
without our changes (scripts/setup/build_caffe.sh --stock) with its own layers
and conventional dropout, or none at rate 0; the others are the patched build's
nets of the same size at the same rate. What follows a build's net in a group
may be no Caffe, see references.py, or be asked for one step at a time: that is
held against the first net of ours.
"""

import dataclasses

from nets import registry
from nets.experiment import Experiment

OURS, STOCK = "caffe", "caffe-stock"  # folders in build/
PRODUCTS = "kept products"
TORCH, TORCH_ROWS = "PyTorch", "PyTorch, rows picked"
METHODS = ("row", "tile", "row_period", "tile_period")
# "tile_before" is "tile" with Perceptron.tiles "before".
MLP_METHODS = (*METHODS, "tile_before")
RATES = (0, 0.3, 0.5, 0.7)
ALL_RATES = tuple(i / 10 for i in range(10))
SIZES = ((1024, 64), (1024, 1024), (2048, 2048), (4096, 4096))
BATCHES = (32, 64, 128, 256, 512)
# base_lr and momentum of each solver; AdaGrad and RMSProp refuse a momentum.
SOLVERS = {
    "SGD": (0.01, 0.9),
    "Nesterov": (0.01, 0.9),
    "AdaGrad": (0.01, 0),
    "RMSProp": (0.001, 0),
    "AdaDelta": (1, 0.95),
    "Adam": (0.001, 0.9),
}
WEIGHT_DECAYS = (0, 5e-4)


@dataclasses.dataclass(frozen=True)
class Case:
    """One net in one build, or in what else is timed.

    steps_per_call: of Solver::Step; 0: a turn's.
    """

    build: str
    experiment: Experiment
    steps_per_call: int = 0

    @property
    def is_caffe(self):
        return self.build in (OURS, STOCK)

    @property
    def is_reference(self):
        """Whether the group's first net of ours is held against it."""
        return not self.is_caffe or self.steps_per_call > 0

    @property
    def rate(self):
        return max(self.experiment.rates, default=0)

    @property
    def net(self):
        """The net's size, without its method."""
        hidden = self.experiment.hidden
        if self.experiment.workload == "mnist":
            return "-".join(map(str, (784, *hidden, 10)))
        vocabulary = self.experiment.vocabulary
        return f"LSTM {len(hidden)}x{hidden[0]}, V={vocabulary}"

    @property
    def method(self):
        return "_".join(
            filter(None, (self.experiment.method, self.experiment.variant))
        )

    @property
    def name(self):
        experiment, calls = self.experiment, self.steps_per_call
        return (
            f"{self.build} {self.net}: {self.method} "
            f"{self.rate:g}, batch {experiment.batch_size}, "
            f"groups {experiment.groups}, {experiment.solver}, "
            f"weight decay {experiment.weight_decay:g}"
            + (f", {calls} per call" if calls else "")
        )


@dataclasses.dataclass(frozen=True)
class Sweep:
    """varied: the field of the results that the pictures are drawn over; "":
    there is none."""

    name: str
    varied: str
    groups: tuple

    def cases(self):
        return [case for group in self.groups for case in group]


def mlp(method, rate, **changes):
    """Fig. 4's and Table I's MLP, dropped at one rate."""
    rates = () if method == "none" else (rate, rate)
    if method == "tile_before":
        method = "tile"
        changes = {**changes, "tiles": "before", "variant": "before"}
    return dataclasses.replace(registry.mnist(method, rates), **changes)


def lstm(method, rate, size="medium", **changes):
    """A language model with one pattern for all samples."""
    experiment = registry.ptb(size, method, rate)
    return dataclasses.replace(experiment, **{"groups": 1, **changes})


def held(net, rate, methods=METHODS, groups=(1,), **changes):
    """A group: the baseline and each method with each number of patterns."""
    stock = "conventional" if rate else "none"
    return (
        Case(STOCK, net(stock, rate, **changes)),
        *(
            Case(OURS, net(method, rate, groups=number, **changes))
            for method in methods
            for number in groups
        ),
    )


def beside(net, rate, *references, **changes):
    """A group: the baseline, ROW, and what is held against it."""
    group = held(net, rate, ("row",), **changes)
    return (*group, *(Case(each, group[1].experiment) for each in references))


def one_by_one(net, rate, **changes):
    """A group: the baseline and ROW, that again with steps of one."""
    group = held(net, rate, ("row",), **changes)
    return (*group, dataclasses.replace(group[1], steps_per_call=1))


def solved(solver, rate, weight_decay, **changes):
    """A group: the baseline and ROW, the MLP with another solver."""
    base_lr, momentum = SOLVERS[solver]
    return held(
        mlp,
        rate,
        ("row",),
        solver=solver,
        base_lr=base_lr,
        momentum=momentum,
        weight_decay=weight_decay,
        **changes,
    )


def reference_sweeps(rates, sizes, small, small_lstm):
    """What of sweeps() has something else beside our nets, or solvers."""
    torches = TORCH, TORCH_ROWS
    return {
        ("products", "rate"): [
            beside(mlp, rate, PRODUCTS, **{**small, "hidden": hidden})
            for hidden in sizes
            for rate in rates
        ],
        ("solvers", ""): [
            solved(solver, rate, weight_decay, **small)
            for weight_decay in WEIGHT_DECAYS
            for solver in SOLVERS
            for rate in rates
            if rate >= 0.5
        ],
        ("pytorch", "rate"): [
            *(beside(mlp, rate, *torches, **small) for rate in rates),
            *(beside(lstm, rate, *torches, **small_lstm) for rate in rates),
        ],
        ("ones", "rate"): [one_by_one(mlp, rate, **small) for rate in rates],
    }


def sweeps(quick=False):
    """{name: Sweep}; quick: tiny nets and few rates, to try the program."""
    rates, all_rates, sizes, batches = RATES, ALL_RATES, SIZES, BATCHES
    mlp_groups, lstm_groups = (1, 2, 4), (1, 2, 4, 5)
    small, small_lstm = {}, {}
    if quick:
        rates = all_rates = (0, 0.5)
        mlp_groups, lstm_groups = (1, 2), (1, 5)
        sizes, batches = ((64, 64), (128, 64)), (32, 64)
        small = {"hidden": (64, 64), "tile_size": 4}
        small_lstm = {"hidden": (40, 40), "max_period": 8, "tile_size": 5}
    ours = ("row", "tile")  # PERIOD has one pattern
    groups = {
        ("rates", "rate"): [
            held(mlp, rate, MLP_METHODS, **small) for rate in all_rates
        ],
        ("sizes", "rate"): [
            held(mlp, rate, MLP_METHODS, **{**small, "hidden": hidden})
            for hidden in sizes
            for rate in rates
        ],
        ("batches", "batch"): [
            held(mlp, 0.5, MLP_METHODS, batch_size=batch, **small)
            for batch in batches
        ],
        ("lstm", "rate"): [held(lstm, rate, **small_lstm) for rate in rates],
        ("groups", "groups"): [
            held(mlp, 0.5, ours, mlp_groups, **small),
            held(lstm, 0.5, ours, lstm_groups, **small_lstm),
        ],
        ("tiles", "rate"): [
            held(mlp, rate, ("tile", "tile_before"), **small)
            for rate in rates[1:]
        ],
        ("lstms", ""): [
            *(
                held(lstm, rate, ours, (1, 5), **small_lstm)
                for rate in rates[1:]
            ),
            held(lstm, 0.7, ours, size="large8800", **small_lstm),
        ],
        **reference_sweeps(rates[1:], sizes[-2:], small, small_lstm),
    }
    return {
        name: Sweep(name, varied, tuple(some))
        for (name, varied), some in groups.items()
    }
