"""The registry of experiments: nets, solvers, runs and reports come from it.

An experiment is one net trained one way. Its key, "mnist/row_0.7", names its
files (prototxt/mnist/row_0.7.prototxt, prototxt/mnist/solver_row_0.7.prototxt)
and its run's folder (runs/mnist/row_0.7). The method says how units are
dropped: "none", "conventional" (Caffe's Dropout), "row" and "tile" (RESIDUE
family), "row_period" and "tile_period" (PERIOD, the paper's family).

paper/studies.py puts these nets together to the paper's tables and figures.
"""

import dataclasses
import itertools
from functools import partial

from approx_dropout.search import PERIOD_LAMBDA3
from nets.experiment import (
    APPROXIMATE,
    METHODS,
    ConvolutionalNet,
    LanguageModel,
    LeNet,
    Perceptron,
    groups_text,
)

RATES = (0.3, 0.5, 0.7)
RATE_PAIRS = tuple(itertools.product(RATES, repeat=2))  # Fig. 4
USUAL_HIDDEN = (2048, 2048)
TABLE1_HIDDEN = ((1024, 64), (1024, 1024), USUAL_HIDDEN, (4096, 4096))


def usual_lambda3(method):
    """λ3 of the search for K, None for the search's default.

    As the kept fraction varies from pass to pass, PERIOD's MLPs lose accuracy
    and its LSTMs do not learn at all: with PERIOD_LAMBDA3 it hardly varies
    (results/cpu/tile_accuracy). The paper has none.
    """
    return PERIOD_LAMBDA3 if method.endswith("_period") else None


def mnist(method, rates, hidden=USUAL_HIDDEN):
    """The paper's MLP on MNIST: 784-2048-2048-10 (Fig. 4), or with other
    hidden layers (Table I)."""
    return Perceptron(
        workload="mnist",
        method=method,
        rates=rates,
        size="" if hidden == USUAL_HIDDEN else "x".join(map(str, hidden)),
        hidden=hidden,
        data="build/data/mnist",
        train_samples=60000,
        test_samples=10000,
        batch_size=128,
        test_batch_size=100,
        base_lr=0.01,
        momentum=0.9,
        epochs=10,
        lambda3=usual_lambda3(method),
    )


# Maps and hidden units of the nets on CIFAR-10: one that trains in minutes on
# two cores, one whose steps are timed, and one that many trainings are made of.
CIFAR10_SIZES = {
    "": {"maps": (32, 32, 64, 64, 128, 128), "hidden": (256,)},
    "vgg": {"maps": (64, 64, 128, 128, 256, 256), "hidden": (512,)},
    "small": {"maps": (16, 32, 64), "hidden": (128,), "pooling_every": 1},
}
MAP_METHODS = ("conventional", "row", "row_period")
MAP_RATES = (0.1, 0.3, 0.5)
MAP_GROUPS = 4
EACH_IMAGE = 64  # groups: the batch


def map_settings(method, rate, groups, places):
    """What nets whose feature maps are dropped have in common.

    groups: of RESIDUE, None for the usual ones; PERIOD has one.
    """
    settings = {
        "method": method,
        "rates": () if method == "none" else (rate,) * places,
        "batch_size": EACH_IMAGE,
        "test_batch_size": 100,
        "base_lr": 0.01,
        "momentum": 0.9,
        "epochs": 10,
        "lambda3": usual_lambda3(method),
    }
    if method == "row":
        settings["groups"] = groups or MAP_GROUPS
        if settings["groups"] != MAP_GROUPS:
            settings["variant"] = f"groups{groups}"
    return settings


def cifar10(method, rate=0, size="", groups=None):
    """A VGG-like net on CIFAR-10. groups: as of map_settings."""
    sizes = CIFAR10_SIZES[size]
    places = len(sizes["maps"]) + len(sizes["hidden"])
    return ConvolutionalNet(
        workload="cifar10",
        size=size,
        data="build/data/cifar10",
        train_samples=50000,
        test_samples=10000,
        **sizes,
        **map_settings(method, rate, groups, places),
    )


def lenet(method, rate=0, groups=None):
    """LeNet on MNIST; N = 10 divides its maps, which 16 does not. groups: as of
    map_settings."""
    return LeNet(
        workload="lenet",
        data="build/data/mnist",
        train_samples=60000,
        test_samples=10000,
        maps=(20, 50),
        hidden=(500,),
        pooling_every=1,
        max_period=10,
        **map_settings(method, rate, groups, places=3),
    )


def map_nets(net, **size):
    """Every net of one size, net being cifar10 or lenet."""
    return [net("none", **size)] + [
        net(method, rate, **size)
        for method in MAP_METHODS
        for rate in MAP_RATES
    ]


# The published recipes.
SMALL = {
    "hidden": (200, 200),
    "init": 0.1,
    "epochs": 13,
    "flat_epochs": 4,
    "lr_decay": 0.5,
    "clip_gradients": 5,
}
MEDIUM = {
    "hidden": (650, 650),
    "init": 0.05,
    "epochs": 39,
    "flat_epochs": 6,
    "lr_decay": 0.8,
    "clip_gradients": 5,
}
LARGE = {
    "hidden": (1500, 1500),
    "init": 0.04,
    "epochs": 55,
    "flat_epochs": 14,
    "lr_decay": 1 / 1.15,
    "clip_gradients": 10,
}
# Not published: learns in seconds, so that a workflow can be tried out.
TINY = {
    "hidden": (40, 40),
    "init": 0.1,
    "epochs": 3,
    "clip_gradients": 5,
    "vocabulary": 500,
    "data": "build/data/ptb_quick",
}
WORDS_8800 = {"vocabulary": 8800, "data": "build/data/ptb8800"}
SIZES = {
    "small": SMALL,
    "medium": MEDIUM,
    "large": LARGE,
    "large8800": {**LARGE, **WORDS_8800},
    "large3": {**LARGE, "hidden": (1500, 1500, 1500)},
    "small8800": {**SMALL, **WORDS_8800},
    "small3": {**SMALL, "hidden": (200, 200, 200)},
    "tiny": TINY,
    "tiny3": {**TINY, "hidden": (40, 40, 40)},
}
PUBLISHED_SIZES = tuple(SIZES)[:5]

# What scripts/prepare_ptb.py is told to write each folder of build/data.
TEXTS = {
    "ptb": {},
    "ptb_length20": {"sequence-length": 20},
    "ptb8800": {"vocab-size": 8800},
    "ptb_quick": {"vocab-size": 500, "words": 10000},
}
USUAL_BATCH = 20


# Periods of RESIDUE by the units of a layer. ROW: they divide the units, as
# compact blobs with groups need. TILE: with tile_size, tile_size * max_period
# divides the units, so that each row of tiles keeps equally many. Smaller tiles
# give more sub-models, larger ones less work in keeping account of them.
RESIDUES = {
    "row": {
        40: {"max_period": 20},
        200: {"max_period": 20},
        650: {"max_period": 26},
        1500: {"max_period": 20},
    },
    "tile": {
        40: {"max_period": 10, "tile_size": 4},
        200: {"max_period": 10, "tile_size": 20},
        650: {"max_period": 10, "tile_size": 65},
        1500: {"max_period": 20, "tile_size": 75},
    },
}


def usual_groups(rate, batch_size):
    """Few patterns per pass that train as well as conventional dropout, as a
    pair: of the last place, in front of the softmax, and, the first, of all
    others. At rate 0.5 two groups complement each other; but an error that both
    share there moves every word's score alike, so that it takes four or six
    (results/cpu/groups).
    """
    for last in (4, 6) if rate == 0.5 else ():
        if batch_size % last == 0:
            return 2, last
    return 5, 5


def ptb(
    size, method, rate=0, batch_size=USUAL_BATCH, groups=None, recurrent=False
):
    """A published LSTM language model on Penn Treebank; large8800 has the
    paper's dictionary (Table II), large3 its three layers (Fig. 6).

    The small model's recipe is without dropout, and then over 20 time steps.
    With dropout it takes 35, as the other sizes do, all else the same.
    groups: of RESIDUE, a number or a pair as of usual_groups, None for the
        usual ones; PERIOD has one.
    recurrent: patterns drop in the product with h_{t-1} too.
    """
    settings = {
        "vocabulary": 10000,
        "data": "build/data/ptb",
        "sequence_length": 35,
        "size": size,
        **SIZES[size],
    }
    variants = []
    if size == "small" and method == "none":
        settings |= {
            "data": "build/data/ptb_length20",
            "sequence_length": 20,
        }
    if batch_size != USUAL_BATCH:
        settings["size"] += f"_batch{batch_size}"
        settings["data"] += f"_batch{batch_size}"
    if method in RESIDUES:
        settings |= RESIDUES[method][settings["hidden"][0]]
        usual = usual_groups(rate, batch_size)
        chosen = (groups, groups) if isinstance(groups, int) else groups
        others, last = chosen or usual
        settings["groups"] = others
        if others != last:
            settings["groups"] = (others,) * len(settings["hidden"]) + (last,)
        if chosen not in (None, usual):
            variants.append("groups" + groups_text(groups))
    elif size.startswith("tiny"):
        settings["tile_size"] = 4  # else there are fewer tiles than periods
    if recurrent and method in APPROXIMATE:
        settings["recurrent"] = True
        variants.append("recurrent")
    places = 1 + len(settings["hidden"])
    return LanguageModel(
        workload="ptb",
        variant="_".join(variants),
        method=method,
        rates=() if method == "none" else (rate,) * places,
        tokens=(929589, 73760, 82430),
        batch_size=batch_size,
        base_lr=1.0,
        momentum=0,
        lambda3=usual_lambda3(method),
        **settings,
    )


def preparation(experiment):
    """The script and arguments that prepare an experiment's data."""
    if experiment.workload != "ptb":
        return [experiment.prepared_by]
    name = experiment.data.rpartition("/")[2]
    options = TEXTS[name.partition("_batch")[0]]
    if experiment.batch_size != USUAL_BATCH:
        options = {**options, "batch-size": experiment.batch_size}
    arguments = [f"--{name}={value}" for name, value in options.items()]
    return ["scripts/prepare_ptb.py", f"--output={experiment.data}", *arguments]


EXPERIMENTS = [mnist("none", ())] + [
    mnist(method, (rate, rate)) for method in METHODS[1:] for rate in RATES
]
for _size in PUBLISHED_SIZES:
    EXPERIMENTS.append(ptb(_size, "none"))
    EXPERIMENTS += [
        ptb(_size, method, rate) for method in METHODS[1:] for rate in RATES
    ]

EXPERIMENTS += map_nets(cifar10)

# Those whose nets and solvers are committed, in prototxt/: one of each kind.
COMMITTED_SIZES = ("small", "medium", "large")
COMMITTED = [
    experiment
    for experiment in EXPERIMENTS
    if experiment.workload == "mnist"
    or experiment.workload == "cifar10"
    and {*experiment.rates} <= {0.3}
    or experiment.size in COMMITTED_SIZES
    and {*experiment.rates} <= {0.5}
]

# The other nets of Fig. 4 and Table I; the other sizes on CIFAR-10, LeNet, and
# nets with one pattern per pass, or one for each image.
MORE = [
    mnist(method, rates)
    for method in METHODS[1:]
    for rates in RATE_PAIRS
    if len(set(rates)) > 1
] + [
    mnist(method, (0.7, 0.7), hidden)
    for hidden in TABLE1_HIDDEN
    if hidden != USUAL_HIDDEN
    for method in METHODS[1:]
]
MORE += map_nets(cifar10, size="vgg")
MORE += map_nets(cifar10, size="small")
MORE += map_nets(lenet)
MORE += [
    net("row", rate, groups=groups)
    for net in (cifar10, partial(cifar10, size="small"), lenet)
    for rate in MAP_RATES
    for groups in (1, EACH_IMAGE)
]


def find(key):
    """The experiment with that key; ValueError if there is none."""
    for experiment in EXPERIMENTS + MORE:
        if experiment.key == key:
            return experiment
    known = " ".join(experiment.key for experiment in EXPERIMENTS + MORE)
    raise ValueError(f"no experiment {key!r}; there are: {known}")


def baseline(experiment):
    """The key of the experiment it is held against: conventional dropout at
    the same rates, or None for a net without dropout."""
    if experiment.method == "none":
        return None
    return dataclasses.replace(
        experiment, method="conventional", variant=""
    ).key
