"""The registry of experiments: nets, solvers, runs and reports come from it.

An experiment is one net trained one way. Its key, "mnist/row_0.7", names its
files (prototxt/mnist/row_0.7.prototxt, prototxt/mnist/solver_row_0.7.prototxt)
and its run's folder (runs/mnist/row_0.7). The method says how units are
dropped: "none", "conventional" (Caffe's Dropout), "row" and "tile" (RESIDUE
family), "row_period" and "tile_period" (PERIOD, the paper's family).
"""

import dataclasses
from pathlib import Path

from workloads import METHODS, LanguageModel, Perceptron

ROOT = Path(__file__).resolve().parent.parent
RATES = (0.3, 0.5, 0.7)


def mnist(method, rates):
    """The paper's MLP 784-2048-2048-10 on MNIST (Fig. 4)."""
    return Perceptron(
        workload="mnist",
        method=method,
        rates=rates,
        hidden=(2048, 2048),
        data="build/data/mnist",
        train_samples=60000,
        test_samples=10000,
        batch_size=128,
        test_batch_size=100,
        base_lr=0.01,
        momentum=0.9,
        epochs=10,
    )


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
SIZES = {
    "small": SMALL,
    "medium": MEDIUM,
    "large": LARGE,
    "large8800": {
        **LARGE,
        "vocabulary": 8800,
        "data": "build/data/ptb8800",
    },
    "large3": {**LARGE, "hidden": (1500, 1500, 1500)},
}


# Periods of RESIDUE by the units of a layer. ROW: they divide the units, as
# compact blobs with groups need. TILE: with tile_size, tile_size * max_period
# divides the units, so that each row of tiles keeps equally many. Smaller tiles
# give more sub-models, larger ones less work in keeping account of them.
RESIDUES = {
    "row": {
        200: {"max_period": 20},
        650: {"max_period": 26},
        1500: {"max_period": 20},
    },
    "tile": {
        200: {"max_period": 10, "tile_size": 20},
        650: {"max_period": 10, "tile_size": 65},
        1500: {"max_period": 20, "tile_size": 75},
    },
}


def ptb(size, method, rate=0):
    """A published LSTM language model on Penn Treebank; large8800 has the
    paper's dictionary (Table II), large3 its three layers (Fig. 6).

    The small model's recipe is without dropout, and then over 20 time steps.
    With dropout it takes 35, as the other sizes do, all else the same.
    """
    settings = {
        "vocabulary": 10000,
        "data": "build/data/ptb",
        "sequence_length": 35,
        **SIZES[size],
    }
    if size == "small" and method == "none":
        settings |= {
            "data": "build/data/ptb_length20",
            "sequence_length": 20,
        }
    if method in RESIDUES:
        settings |= RESIDUES[method][settings["hidden"][0]] | {"groups": 5}
    places = 1 + len(settings["hidden"])
    return LanguageModel(
        workload="ptb",
        size=size,
        method=method,
        rates=() if method == "none" else (rate,) * places,
        tokens=(929589, 73760, 82430),
        batch_size=20,
        base_lr=1.0,
        momentum=0,
        **settings,
    )


EXPERIMENTS = [mnist("none", ())] + [
    mnist(method, (rate, rate)) for method in METHODS[1:] for rate in RATES
]
for _size in SIZES:
    EXPERIMENTS.append(ptb(_size, "none"))
    EXPERIMENTS += [
        ptb(_size, method, rate) for method in METHODS[1:] for rate in RATES
    ]


def find(key):
    """The experiment with that key; ValueError if there is none."""
    for experiment in EXPERIMENTS:
        if experiment.key == key:
            return experiment
    known = " ".join(experiment.key for experiment in EXPERIMENTS)
    raise ValueError(f"no experiment {key!r}; there are: {known}")


def baseline(experiment):
    """The key of the experiment it is held against: conventional dropout at
    the same rates, or None for a net without dropout."""
    if experiment.method == "none":
        return None
    return dataclasses.replace(experiment, method="conventional").key
