"""The registry of experiments: nets, solvers, runs and reports come from it.

An experiment is one net trained one way. Its key, "mnist/row_0.7", names its
files (prototxt/mnist/row_0.7.prototxt, prototxt/mnist/solver_row_0.7.prototxt)
and its run's folder (runs/mnist/row_0.7). The method says how units are
dropped: "none", "conventional" (Caffe's Dropout), "row" and "tile" (RESIDUE
family), "row_period" and "tile_period" (PERIOD, the paper's family).
"""

import dataclasses
import math
from pathlib import Path

from data_sources import iterations_per_epoch

ROOT = Path(__file__).resolve().parent.parent

APPROXIMATE = {
    "row": ("ROW", "RESIDUE"),
    "tile": ("TILE", "RESIDUE"),
    "row_period": ("ROW", "PERIOD"),
    "tile_period": ("TILE", "PERIOD"),
}
METHODS = ("none", "conventional", *APPROXIMATE)
RATES = (0.3, 0.5, 0.7)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment:
    """One net, how it is trained and where its data lies.

    rates: dropout_ratio of each place that is dropped, () for "none".
    hidden: units of each hidden layer.
    data: folder with the prepared data, relative to the repository root.
    lr_decay: factor on the learning rate after epoch flat_epochs and after
        each epoch that follows; 1 for a constant rate.
    clip_gradients: largest L2 norm of all gradients together, 0 for any.
    iteration_limit: trains no longer than that, 0 for all epochs.
    display: iterations between two lines of the log; losses are their mean.
    """

    workload: str
    method: str
    rates: tuple
    hidden: tuple
    data: str
    batch_size: int
    base_lr: float
    momentum: float
    epochs: int
    lr_decay: float = 1
    flat_epochs: int = 0
    clip_gradients: float = 0
    max_period: int = 16
    tile_size: int = 32
    groups: int = 1
    iteration_limit: int = 0
    seed: int = 1
    display: int = 50

    splits = ("test",)  # what is tested, in the order of the test nets
    loss_weight = 1  # of the loss in what Caffe minimises and logs

    def __post_init__(self):
        if self.method not in METHODS:
            raise ValueError(
                f"method is {self.method!r}, must be one of {METHODS}"
            )
        places = 0 if self.method == "none" else self.dropped_places
        if len(self.rates) != places:
            raise ValueError(
                f"{self.method} with hidden layers {self.hidden} needs "
                f"{places} rates, got {self.rates}"
            )
        for field, least in ("epochs", 1), ("iteration_limit", 0):
            value = getattr(self, field)
            if value < least:
                raise ValueError(
                    f"{field} is {value}, must be at least {least}"
                )

    @property
    def dropped_places(self):
        """How many blobs conventional dropout would drop units of."""
        return len(self.hidden)

    @property
    def name(self):
        """The method and its rate, or rates where the places' differ."""
        rates = self.rates[:1] if len(set(self.rates)) == 1 else self.rates
        return "_".join([self.method, *(f"{rate:g}" for rate in rates)])

    @property
    def key(self):
        return f"{self.workload}/{self.name}"

    @property
    def pattern(self):
        """ROW, TILE, or None where nothing is dropped by patterns."""
        return APPROXIMATE.get(self.method, (None, None))[0]

    @property
    def family(self):
        """RESIDUE, PERIOD, or None where nothing is dropped by patterns."""
        return APPROXIMATE.get(self.method, (None, None))[1]

    @property
    def net_file(self):
        return f"prototxt/{self.key}.prototxt"

    @property
    def solver_file(self):
        return f"prototxt/{self.workload}/solver_{self.name}.prototxt"

    @property
    def run_folder(self):
        """The runs of another seed than usual have folders of their own."""
        other = "" if self.seed == Experiment.seed else f"_seed{self.seed}"
        return f"runs/{self.key}{other}"

    @property
    def max_iter(self):
        whole = self.epochs * self.epoch_iterations
        return min(whole, self.iteration_limit or whole)

    @property
    def test_interval(self):
        """An epoch; a run that ends within an epoch tests at its end only,
        since Caffe tests at multiples of one number."""
        whole = self.max_iter % self.epoch_iterations == 0
        return self.epoch_iterations if whole else self.max_iter

    @property
    def decay_iterations(self):
        """The iterations from which a lower learning rate holds."""
        ends = range(self.flat_epochs, self.epochs) if self.lr_decay != 1 else ()
        first = [epoch * self.epoch_iterations for epoch in ends]
        return [iteration for iteration in first if iteration < self.max_iter]

    def goes_on_from(self, iteration):
        """Whether a snapshot of that iteration can be trained further."""
        return iteration > 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Perceptron(Experiment):
    """An MLP on MNIST's digits, dropped after each hidden layer."""

    train_samples: int
    test_samples: int
    test_batch_size: int

    def __post_init__(self):
        super().__post_init__()
        if self.test_samples % self.test_batch_size:
            raise ValueError(
                f"test_samples is {self.test_samples}, must be a multiple "
                f"of test_batch_size, {self.test_batch_size}"
            )

    @property
    def epoch_iterations(self):
        return -(-self.train_samples // self.batch_size)

    @property
    def test_iter(self):
        return self.test_samples // self.test_batch_size

    @property
    def snapshot_interval(self):
        return self.max_iter

    def fitted(self, source):
        """The same on the data that source, a source.json, describes."""
        return dataclasses.replace(self, test_samples=source["counts"]["test"])

    def measured(self, split, outputs):
        """A test net's outputs as reported: they are."""
        return outputs


@dataclasses.dataclass(frozen=True, kw_only=True)
class LanguageModel(Experiment):
    """A word LSTM on Penn Treebank, dropped after the embedding and after
    each LSTM layer, between time steps nowhere.

    size: what the layers' sizes are called in keys.
    init: parameters start uniform in -init ... init.
    tokens: words of train, valid and test, each a target once an epoch.
    """

    size: str
    vocabulary: int
    sequence_length: int
    init: float
    tokens: tuple

    splits = ("valid", "test")

    @property
    def dropped_places(self):
        return 1 + len(self.hidden)

    @property
    def name(self):
        return f"{self.size}_{super().name}"

    @property
    def loss_weight(self):
        """The recipes' loss is summed over time, Caffe's is a mean."""
        return self.sequence_length

    def iterations(self, tokens):
        """Iterations that go once through so many words."""
        return iterations_per_epoch(
            tokens, self.batch_size, self.sequence_length
        )

    @property
    def epoch_iterations(self):
        return self.iterations(self.tokens[0])

    @property
    def test_iter(self):
        return [self.iterations(tokens) for tokens in self.tokens[1:]]

    @property
    def snapshot_interval(self):
        return self.test_interval

    def goes_on_from(self, iteration):
        """Caffe reads text from its start again, so an epoch must begin."""
        return iteration > 0 and iteration % self.epoch_iterations == 0

    def fitted(self, source):
        """The same on the text that source, a source.json, describes."""
        for field in ("batch_size", "sequence_length"):
            if source[field] != getattr(self, field):
                raise ValueError(
                    f"{self.data} has {field} {source[field]}, {self.key} "
                    f"needs {getattr(self, field)}"
                )
        counts = source["counts"]
        return dataclasses.replace(
            self,
            vocabulary=source["vocabulary"],
            tokens=tuple(counts[s]["tokens"] for s in ("train", *self.splits)),
        )

    def measured(self, split, outputs):
        """A test net's outputs as perplexity and accuracy over every word.

        outputs: loss and correct, summed over a pass and divided by all
        positions, those padded below the ends of the streams included.
        """
        tokens = self.tokens[1 + self.splits.index(split)]
        positions = (
            self.iterations(tokens) * self.sequence_length * self.batch_size
        )
        loss = outputs["loss"] * positions / tokens
        return {
            "loss": loss,
            "perplexity": math.exp(loss) if loss < 700 else math.inf,
            "accuracy": outputs["correct"] * positions / tokens,
        }


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


# The published recipes. Periods divide the units, which compact blobs with
# groups need; tile_size times max_period divides them too, so that each row
# of tiles keeps equally many.
SMALL = {
    "hidden": (200, 200),
    "init": 0.1,
    "epochs": 13,
    "flat_epochs": 4,
    "lr_decay": 0.5,
    "clip_gradients": 5,
    "max_period": 20,
    "tile_size": 10,
}
MEDIUM = {
    "hidden": (650, 650),
    "init": 0.05,
    "epochs": 39,
    "flat_epochs": 6,
    "lr_decay": 0.8,
    "clip_gradients": 5,
    "max_period": 26,
    "tile_size": 25,
}
LARGE = {
    "hidden": (1500, 1500),
    "init": 0.04,
    "epochs": 55,
    "flat_epochs": 14,
    "lr_decay": 1 / 1.15,
    "clip_gradients": 10,
    "max_period": 20,
    "tile_size": 25,
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
    if method.endswith("_period"):
        settings["max_period"] = Experiment.max_period
    elif method in APPROXIMATE:
        settings["groups"] = 5
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
