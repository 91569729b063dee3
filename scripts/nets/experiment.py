"""What an experiment is: the net, its training and what is measured.

The registry, registry.py, lists those that there are.
"""

import dataclasses
import math

APPROXIMATE = {
    "row": ("ROW", "RESIDUE"),
    "tile": ("TILE", "RESIDUE"),
    "row_period": ("ROW", "PERIOD"),
    "tile_period": ("TILE", "PERIOD"),
}
METHODS = ("none", "conventional", *APPROXIMATE)
LOSSES_AN_EPOCH = 4  # shown at least


def iterations_per_epoch(tokens, batch_size, sequence_length):
    """Iterations in which `batch_size` streams deliver all `tokens`.

    The tokens are cut into `batch_size` streams whose lengths differ by at
    most one; each iteration takes `sequence_length` of every stream, the
    last one being padded.
    """
    longest_stream = -(-tokens // batch_size)
    return -(-longest_stream // sequence_length)


def groups_text(groups):
    """ "2", or "2-2-10" where each place has a number of its own."""
    return "-".join(map(str, [groups] if isinstance(groups, int) else groups))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment:
    """One net, how it is trained and where its data lies.

    size: what the net's size is called in keys, "" for the usual one.
    variant: what the settings of the patterns are called in keys, "" for the
        usual ones. Conventional dropout has no variants.
    rates: dropout_ratio of each place that is dropped, () for "none".
    hidden: units of each hidden layer.
    data: folder with the prepared data, relative to the repository root.
    lr_decay: factor on the learning rate after epoch flat_epochs and after
        each epoch that follows; 1 for a constant rate.
    lambda3: of the search for K, None for its default.
    groups: of samples, each with a pattern of its own; a tuple has a number
        for each place that is dropped.
    clip_gradients: largest L2 norm of all gradients together, 0 for any.
    solver, weight_decay: the SolverParameter's type, and its field.
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
    size: str = ""
    variant: str = ""
    lr_decay: float = 1
    flat_epochs: int = 0
    clip_gradients: float = 0
    solver: str = "SGD"
    weight_decay: float = 0
    max_period: int = 16
    lambda3: float | None = None
    tile_size: int = 32
    groups: int | tuple = 1
    iteration_limit: int = 0
    seed: int = 1
    display: int = 50

    splits = ("test",)  # what is tested, in the order of the test nets
    outputs = frozenset({"accuracy"})  # what `scores` needs of a test net
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
        if len(self.place_groups) != len(self.rates):
            raise ValueError(
                f"groups is {self.groups}, must be one number or have one "
                f"for each of the {len(self.rates)} rates"
            )
        if any(number < 1 for number in self.place_groups):
            raise ValueError(
                f"groups is {groups_text(self.groups)}, each number must be "
                f"at least 1"
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
    def first_units(self):
        """Units of the first place."""
        return self.hidden[0]

    @property
    def place_groups(self):
        """The groups of each place."""
        if isinstance(self.groups, int):
            return (self.groups,) * len(self.rates)
        return self.groups

    @property
    def name(self):
        """Size, method, its rate, or rates where the places' differ, and
        variant."""
        rates = self.rates[:1] if len(set(self.rates)) == 1 else self.rates
        parts = [self.size, self.method, *(f"{rate:g}" for rate in rates)]
        return "_".join(filter(None, [*parts, self.variant]))

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

    def net_file(self, folder):
        return f"{folder}/{self.key}.prototxt"

    def solver_file(self, folder):
        return f"{folder}/{self.workload}/solver_{self.name}.prototxt"

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
    def snapshot_interval(self):
        """An epoch: an interruption costs no more than that."""
        return min(self.epoch_iterations, self.max_iter)

    @property
    def decay_iterations(self):
        """The iterations from which a lower learning rate holds."""
        if self.lr_decay == 1:
            return []
        ends = [
            epoch * self.epoch_iterations
            for epoch in range(self.flat_epochs, self.epochs)
        ]
        return [iteration for iteration in ends if iteration < self.max_iter]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImageClassifier(Experiment):
    """A net that tells which class an image is of."""

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

    def fitted(self, source):
        """The same on the data that source, a source.json, describes: each
        epoch is all of its images, and so is each test. Losses are shown
        several times an epoch, however short that is."""
        counts = source["counts"]
        batch = min(self.test_batch_size, counts["test"])
        while counts["test"] % batch:
            batch -= 1
        fitted = dataclasses.replace(
            self,
            train_samples=counts["train"],
            test_samples=counts["test"],
            test_batch_size=batch,
        )
        most = max(1, fitted.epoch_iterations // LOSSES_AN_EPOCH)
        return dataclasses.replace(fitted, display=min(self.display, most))

    def scores(self, split, outputs):
        """A test net's outputs as reported: they are."""
        return outputs


@dataclasses.dataclass(frozen=True, kw_only=True)
class Perceptron(ImageClassifier):
    """An MLP on MNIST's digits, dropped after each hidden layer.

    tiles: the product whose tiles TILE drops for a hidden layer, "behind" it,
        as in the language models, or "before" it. The latter drops pixels,
        which conventional dropout does not, and learns more slowly.
    """

    tiles: str = "behind"

    prepared_by = "scripts/prepare_mnist.py"

    def __post_init__(self):
        super().__post_init__()
        if self.tiles not in ("behind", "before"):
            raise ValueError(
                f"tiles is {self.tiles!r}, must be 'behind' or 'before'"
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class ConvolutionalNet(ImageClassifier):
    """A VGG-like net on CIFAR-10's images, dropped after each convolution and
    each hidden layer. ROW drops whole feature maps; there is no TILE.

    maps: of each convolution.
    pooling_every: so many convolutions are followed by a pooling.
    dense: ROW's dropout, with the same patterns, computed densely.
    """

    maps: tuple
    pooling_every: int = 2
    dense: bool = False

    kernel, pad = 3, 1  # of the convolutions
    pixels = {"mean_value": [128], "scale": 1 / 128}  # to -1 ... 1
    prepared_by = "scripts/prepare_cifar10.py"

    def __post_init__(self):
        super().__post_init__()
        if self.pattern == "TILE":
            raise ValueError(
                f"method is {self.method!r}, but convolutions have no tiles"
            )
        if self.dense and self.pattern != "ROW":
            raise ValueError(
                f"dense goes with patterns, not with method {self.method!r}"
            )

    @property
    def dropped_places(self):
        return len(self.maps) + len(self.hidden)

    @property
    def first_units(self):
        return self.maps[0]


class LeNet(ConvolutionalNet):
    """LeNet on MNIST's digits, with ReLUs and dropped like the others."""

    kernel, pad = 5, 0
    pixels = {"scale": 1 / 256}
    prepared_by = "scripts/prepare_mnist.py"


@dataclasses.dataclass(frozen=True, kw_only=True)
class LanguageModel(Experiment):
    """A word LSTM on Penn Treebank, dropped after the embedding and after
    each LSTM layer, between time steps only if `recurrent`.

    recurrent: ROW drops units of h_{t-1} in an LSTM layer's product too, TILE
        tiles of W_hc.
    init: parameters start uniform in -init ... init.
    tokens: words of train, valid and test, each a target once per epoch.
    """

    vocabulary: int
    sequence_length: int
    init: float
    tokens: tuple
    recurrent: bool = False

    prepared_by = "make ptb-data"
    splits = ("valid", "test")
    outputs = frozenset({"loss", "correct"})

    @property
    def dropped_places(self):
        return 1 + len(self.hidden)

    @property
    def loss_weight(self):
        """The recipes' loss is summed over time, Caffe's is a mean."""
        return self.sequence_length

    def iterations(self, tokens):
        """Iterations of one pass over this many words."""
        return iterations_per_epoch(
            tokens, self.batch_size, self.sequence_length
        )

    @property
    def epoch_iterations(self):
        return self.iterations(self.tokens[0])

    @property
    def test_iter(self):
        return [self.iterations(tokens) for tokens in self.tokens[1:]]

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

    def scores(self, split, outputs):
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
