"""The nets that several ranks are timed with: files, and what they exchange.

A net's messages are listed in the order in which they leave, backwards through
the layers, each as a dict: layer and part, whose weights; floats, of the whole
gradient; kept, of what is not dropped, expected; work, multiply-adds of what
is kept, a pass, in Backward. Of an Embed, whose rows are those of words in use,
row_floats stands for kept.
"""

import dataclasses

import h5py
import numpy as np

import nets.solver
from approx_dropout import multiply_adds, net_shapes, proto
from distributed.model import RANKS
from nets import registry
from nets.experiment import Experiment
from nets.parts import layer
from nets.rewrite import for_timing, without_python
from nets.text import to_text
from project import ROOT

VGG_INPUTS, VGG_CLASSES = 25088, 1000
VGG_BATCH = 64
MANY = 1024  # samples, so that a step takes long


@dataclasses.dataclass(frozen=True)
class RankNet:
    """rounds: of measurements; intervals: of each, after a first one that does
    not count; interval: steps of one. own_data: ranks make up their data; else
    they share what their experiment has prepared."""

    name: str
    title: str
    experiment: Experiment
    interval: int
    intervals: int
    rounds: int = 1
    own_data: bool = False

    def net(self, ranks):
        """The net of one of so many ranks, as nested dicts without Python."""
        shared = self.data(ranks)
        data = shared.data if shared else self.experiment.data
        net = nets.solver.net(dataclasses.replace(self.experiment, data=data))
        if self.own_data:
            net = for_timing(net, [vgg_inputs(self.experiment.batch_size)])
            product = next(x for x in net["layer"] if x["name"] == "fc3")
            product["inner_product_param"]["num_output"] = VGG_CLASSES
        return without_python(net)

    def data(self, ranks):
        """The experiment of one process whose data so many ranks read, None if
        there is none. Streams of text are shared out: they need more of them.
        """
        if self.own_data:
            return None
        if self.experiment.workload != "ptb" or ranks == 1:
            return self.experiment
        size = self.experiment.batch_size * ranks
        data = registry.ptb("large", "row", 0.5, batch_size=size).data
        return dataclasses.replace(self.experiment, data=data, batch_size=size)

    def solver(self, net_file):
        """The solver that is timed."""
        return nets.solver.timed_solver(self.experiment) | {
            "net": str(net_file),
            "display": self.interval,
            "max_iter": self.interval * (self.intervals + 1) + 1,
            "snapshot_after_train": False,
        }

    def shapes(self):
        """Of the blobs of one rank's data."""
        batch = self.experiment.batch_size
        if self.experiment.workload == "ptb":
            shape = self.experiment.sequence_length, batch
            return dict.fromkeys(("token", "target", "cont"), shape)
        return {"data": (batch, 1, 28, 28), "label": (batch,)}

    def messages(self):
        """See the head of this file. Biases, a few thousandths, are left
        out."""
        message = proto.parse_net(to_text(self.net(1)), self.name)
        shapes = None if self.own_data else self.shapes()
        net = net_shapes.training_net(message, shapes)
        found = [
            {
                "layer": product.layer,
                "part": product.part,
                "floats": product.count,
                "kept": product.count * product.share,
                "forward": (forward := product.forward_full * product.share),
                "work": product.backward * forward,
            }
            for product in reversed(multiply_adds.products(net))
        ]
        if self.experiment.workload == "ptb":
            units = self.experiment.hidden[0]
            embed = {
                "layer": "embed",
                "part": "",
                "floats": self.experiment.vocabulary * units,
                "row_floats": units,
                "forward": 0,
                "work": 0,
            }
            found.append(embed)
        return found

    def described(self):
        """What the model must know of it, for JSON."""
        return {
            "title": self.title,
            "batch": self.experiment.batch_size,
            "messages": self.messages(),
            "words": words_in_use(self.experiment),
        }


def words_in_use(experiment):
    """{ranks: different words of one step}, of a language model."""
    if experiment.workload != "ptb":
        return {}
    tokens = []
    for path in (ROOT / experiment.data / "train.txt").read_text().split():
        with h5py.File(ROOT / path) as file:
            tokens.append(file["token"][:])
    text = np.concatenate(tokens).T.ravel()
    length = experiment.sequence_length
    found = {}
    for ranks in RANKS:
        streams = ranks * experiment.batch_size
        begins = np.linspace(0, len(text) - length, streams).astype(int)
        places = begins[:, None] + np.arange(length)
        found[str(ranks)] = len(np.unique(text[places]))
    return found


def vgg_inputs(batch):
    """What VGG-16's last pooling would put out, and labels."""
    return layer(
        "data",
        "DummyData",
        [],
        ["data", "label"],
        dummy_data_param={
            "shape": [{"dim": [batch, VGG_INPUTS]}, {"dim": [batch]}],
            "data_filler": [
                {"type": "constant", "value": value} for value in (0.01, 7)
            ],
        },
    )


def rank_nets(quick=False):
    """{name: RankNet}; quick: tiny ones, to try the program."""
    large = (64, 64) if quick else (4096, 4096)
    mlp = registry.mnist("row", (0.7, 0.7), large)
    many = dataclasses.replace(mlp, batch_size=MANY)
    vgg = registry.mnist("row", (0.5, 0.5), large)
    vgg = dataclasses.replace(vgg, batch_size=4 if quick else VGG_BATCH)
    lstm = dataclasses.replace(registry.ptb("large", "row", 0.5), groups=1)
    if quick:
        lstm = dataclasses.replace(lstm, hidden=(40, 40), max_period=8)
    every = (
        RankNet("mlp", f"MLP {large[0]}², rate 0.7", mlp, 5, 4, rounds=4),
        RankNet("mlp_1024", f"MLP {large[0]}², rate 0.7", many, 2, 4, rounds=2),
        RankNet("lstm", f"LSTM 2×{lstm.hidden[0]}, rate 0.5", lstm, 1, 2),
        RankNet("vgg", "VGG-16's fc6–fc8, rate 0.5", vgg, 1, 3, own_data=True),
    )
    if quick:
        every = [
            dataclasses.replace(net, interval=10, rounds=1) for net in every
        ]
    return {net.name: net for net in every}
