"""The dense oracle that a net's training steps are held against.

Forward and backward by stock Caffe's own layers with explicit masks (see
stock_net.py), from the same weights and on the same data. The patterns are
drawn by the Python package; the solver's steps are solver_rules.py's, in double
precision.
"""

import functools
import tempfile
from pathlib import Path

import numpy as np

from approx_dropout.draw import draw_pattern, sample_groups
from approx_dropout.search import search
from measure import worker
from measure.solver_rules import RULES
from measure.stock_net import StockNet
from nets.text import to_text

LOSS_TOLERANCE = 1e-3  # relative; lr 1 soon magnifies float's rounding
# Of the norm of a parameter's change, and of its own (float's rounding). Where
# a ReLU's input is within rounding of 0, one unit of one sample may learn on
# one side only: 1.5e-3 of the change of 2048 units was seen.
CHANGE_TOLERANCE, ROUNDING = 1e-2, 2e-7


@functools.cache
def probability(rate, family, period, lambda3):
    """K, as a DropoutPattern gets it."""
    found = search(rate, family, period, lambda3=lambda3)
    return found.probability.astype(np.float32)


def draws(experiment, number):
    """{layer: Pattern}, what the net's DropoutPatterns draw that time."""
    family, period = experiment.family, experiment.max_period

    return {
        f"pattern{i}": draw_pattern(
            probability(rate, family, period, experiment.lambda3),
            family,
            experiment.seed,
            f"pattern{i}",
            number,
            groups,
        )
        for i, (rate, groups) in enumerate(
            zip(experiment.rates, experiment.place_groups), 1
        )
    }


def groups_of(pattern, shape):
    """The group of each row of a blob whose last axis are units."""
    steps = int(np.prod(shape[:-2]))
    groups = sample_groups(steps, shape[-2], len(pattern.residues))
    return groups.reshape(shape[:-1])


def unit_mask(pattern, shape):
    """s * keep for a blob whose samples are in groups."""
    units = np.arange(shape[-1]) % pattern.period
    kept = [np.isin(units, residues) for residues in pattern.residues]
    return pattern.scale * np.array(kept)[groups_of(pattern, shape)]


def tile_mask(pattern, group, shape, tile_size):
    """s * keep for a weight matrix: tile (r, c) is kept if (r + c) mod the
    period is among the group's residues."""
    rows, columns = (np.arange(units) // tile_size for units in shape)
    keep = np.isin(np.arange(pattern.period), pattern.residues[group])
    cells = (rows[:, None] + columns) % pattern.period
    return (pattern.scale * keep)[cells]


class Oracle:
    """The stock net with its weights, {"fc1/0": array}, as they are now."""

    def __init__(self, caffe, experiment, weights):
        self.experiment = experiment
        self.stock = StockNet(experiment)
        self.weights = {k: w.astype(np.float64) for k, w in weights.items()}
        self.history = {
            key: np.zeros((2, *w.shape)) for key, w in weights.items()
        }
        self.steps, self.loss = 0, None
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "net.prototxt"
            net = {"layer": self.stock.layers}
            path.write_text(to_text(net))
            self.net = caffe.Net(str(path), caffe.TRAIN)
        for name in self.stock.tiles:  # it adds up what its products are
            weight = self.net.params[name][0]
            weight.data[...] = np.eye(*weight.data.shape)

    def users(self, key, patterns):
        """[(blob, mask)] of the layers that a parameter is used in."""
        name, index = key.split("/")
        if name not in self.stock.tiles:
            return [(self.net.params[name][int(index)], 1)]
        pattern, tile_size = self.stock.tiles[name]
        if index != "0":  # not the matrix that is cut into tiles
            return [(self.net.params[name][int(index)], 1)]
        shape = self.weights[key].shape
        return [
            (
                self.net.params[f"{name}_{group}"][0],
                tile_mask(patterns[pattern], group, shape, tile_size),
            )
            for group in range(len(patterns[pattern].residues))
        ]

    def gradients(self, patterns):
        """{key: gradient}, those of the masked-out parts being 0."""
        for name, pattern in self.stock.masks.items():
            blob = self.net.blobs[name]
            blob.data[...] = unit_mask(patterns[pattern], blob.data.shape)
        for name, (pattern, group) in self.stock.groups.items():
            blob = self.net.blobs[name]
            groups = groups_of(patterns[pattern], blob.data.shape)
            blob.data[...] = (groups == group)[..., None]
        for key, weight in self.weights.items():
            for blob, mask in self.users(key, patterns):
                blob.data[...] = weight * mask
        self.net.clear_param_diffs()
        self.net.forward()
        self.net.backward()
        self.loss = float(self.net.blobs["loss"].data)
        return {
            key: sum(
                blob.diff.astype(np.float64) * mask
                for blob, mask in self.users(key, patterns)
            )
            for key in self.weights
        }

    def step(self, patterns):
        """One step with clipped gradients and weight decay."""
        gradients = self.gradients(patterns)
        norm = sum((g**2).sum() for g in gradients.values()) ** 0.5
        experiment = self.experiment
        clip = experiment.clip_gradients
        factor = clip / norm if 0 < clip < norm else 1
        for key, gradient in gradients.items():
            weight = self.weights[key]
            self.weights[key] = weight - RULES[experiment.solver](
                experiment.momentum,
                experiment.base_lr,
                factor * gradient + experiment.weight_decay * weight,
                self.history[key],
                self.steps,
            )
        self.steps += 1


def compare(build, experiment, before, after, steps, loss):
    """Holds the first steps of a training against the oracle's.

    before, after: files of worker.save. loss: the last step's. Returns
    {"loss" or a parameter: its error over what is tolerated}.
    """
    caffe = worker.import_caffe(build)
    start, end = np.load(before), np.load(after)
    oracle = Oracle(caffe, experiment, dict(start))
    for number in range(steps):
        oracle.step(draws(experiment, number))
    tolerated = LOSS_TOLERANCE * abs(oracle.loss)
    errors = {"loss": abs(loss - oracle.loss) / tolerated}
    for key, expected in oracle.weights.items():
        tolerated = CHANGE_TOLERANCE * np.linalg.norm(expected - start[key])
        tolerated += ROUNDING * np.linalg.norm(start[key])
        errors[key] = float(np.linalg.norm(end[key] - expected) / tolerated)
    return errors
