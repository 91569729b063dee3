"""Caffe layers that do densely, in NumPy, what a drawn pattern says.

check.py puts them where a net has its Dropouts. Each has its place in `given`
under the number in its param_str.
"""

import caffe
import numpy as np

from .draw import Pattern, kept_units, sample_groups

given = {}


def read_pattern(blob):
    """The Pattern in a DropoutPattern's blob, (G, 2 + m)."""
    return Pattern(blob[0, 0], int(blob[0, 1]), blob[:, 2:].astype(int))


def _groups_of(shape, groups):
    """The group of each row of a blob (..., samples, features), flat."""
    steps = int(np.prod(shape[:-2]))
    return sample_groups(steps, shape[-2], groups).reshape(-1)


class MaskLayer(caffe.Layer):
    """y = s keep o x; given: a Pattern, the axis of the units, and whether all
    axes but the first are one axis of units. Nothing given: y = x."""

    def setup(self, bottom, top):
        self.number = int(self.param_str)

    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].data.shape)

    def forward(self, bottom, top):
        self.mask = self.make_mask(bottom[0].data.shape)
        top[0].data[...] = bottom[0].data * self.mask

    def backward(self, top, propagate_down, bottom):
        bottom[0].diff[...] = top[0].diff * self.mask

    def make_mask(self, shape):
        """s keep, of the blob's shape but for axes behind the units'."""
        if self.number not in given:
            return 1
        pattern, axis, flat = given[self.number]
        rows = (*shape[: axis % len(shape)], shape[axis])
        values = (1,) * (len(shape) - len(rows))
        if flat:
            rows = (shape[0], int(np.prod(shape[1:])))
        masks = np.zeros((len(pattern.residues), rows[-1]))
        for mask, residues in zip(masks, pattern.residues):
            mask[kept_units(pattern.period, residues, len(mask))] = (
                pattern.scale
            )
        masks = masks[_groups_of(rows, len(masks))]
        return masks.reshape(shape if flat else rows + values)


class TileLayer(caffe.Layer):
    """y = s x (W o tiles)', without a bias; given: a dict of pattern, weights
    W (outputs x inputs), tile_size and axis, the first one of x's features.
    The gradient of W goes into "gradient"."""

    def setup(self, bottom, top):
        self.given = given[int(self.param_str)]

    def reshape(self, bottom, top):
        shape = tuple(bottom[0].data.shape)
        self.head = shape[: self.given["axis"] % len(shape)]
        top[0].reshape(*self.head, len(self.given["weights"]))

    def tiles(self):
        """(group, s tiles, of the shape of W) of each group."""
        pattern = self.given["pattern"]
        weights = self.given["weights"]
        row, column = np.indices(weights.shape) // self.given["tile_size"]
        for group, residues in enumerate(pattern.residues):
            keep = np.isin((row + column) % pattern.period, residues)
            yield group, pattern.scale * keep

    def rows(self, blob):
        """A blob as (rows, features), and each row's group."""
        groups = len(self.given["pattern"].residues)
        rows = blob.reshape(int(np.prod(self.head)), -1)
        return rows, _groups_of(self.head + (1,), groups)

    def forward(self, bottom, top):
        x, group_of = self.rows(bottom[0].data)
        y = np.empty((len(x), len(self.given["weights"])))
        for group, keep in self.tiles():
            mine = group_of == group
            y[mine] = x[mine] @ (self.given["weights"] * keep).T
        top[0].data[...] = y.reshape(top[0].data.shape)

    def backward(self, top, propagate_down, bottom):
        x, group_of = self.rows(bottom[0].data)
        dy = top[0].diff.reshape(len(x), -1)
        dx = np.empty(x.shape)
        gradient = np.zeros(self.given["weights"].shape)
        for group, keep in self.tiles():
            mine = group_of == group
            dx[mine] = dy[mine] @ (self.given["weights"] * keep)
            gradient += keep * (dy[mine].T @ x[mine])
        bottom[0].diff[...] = dx.reshape(bottom[0].diff.shape)
        self.given["gradient"] = gradient
