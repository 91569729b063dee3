"""Decides what is to become of one Dropout; convert.py does it."""

import dataclasses
import math
import typing

from .chains import (
    Refused,
    can_fuse,
    compact_readers,
    find_chain,
    flattening_readers,
    product_readers,
    tile_readers,
)
from .graph import TRAIN
from .shapes import base_type


@dataclasses.dataclass
class Target:
    """Indices into the layers of the graph that it was found in; where there
    are several, each is there in states of its own.

    fuse: the Chain whose bases drop ROW. tiles: the readers that drop TILE.
    Neither: ApproxDropout, of the blob or, if flat, of the blob with all axes
    but the first made one. units: how many there are to drop. compact: the
    readers that take the blob compact; note: why there are none. weights: names
    of the parameters of the product nearest to the units. samples: how many
    there are in TRAIN, if that is known. groups: patterns a pass.
    """

    units: int = 0
    samples: typing.Optional[int] = None
    fuse: object = None
    tiles: typing.Sequence = ()
    flat: bool = False
    compact: typing.Sequence = ()
    note: str = ""
    weights: tuple = ()
    groups: int = 1


def find_target(graph, at, tiles):
    """The Target of the Dropout at index `at`, in front of tiles if there can
    be some and they are wanted; raises Refused."""
    chain = find_chain(graph, at)
    target = _tiles(graph, at) if tiles else None
    if target is None:
        target = _units(graph, at, chain)
        if not tiles and chain is not None and can_fuse(graph, chain):
            target.fuse = chain
            if any(graph.layers[i].type == "PReLU" for i in chain.between):
                target.compact = ()
    target.samples = _samples(graph, at, target)
    bases = () if chain is None else chain.bases
    nearest = [*target.tiles, *bases, *target.compact]
    if nearest:
        target.weights = tuple(p.name for p in graph.layers[nearest[0]].param)
    return target


def _first_feature(layer):
    """The axis where a product's input features begin."""
    if base_type(layer) == "LSTM":
        return 2
    return layer.inner_product_param.axis


def _samples(graph, at, target):
    """The size of the axis just before the units, in TRAIN; or None."""
    shape = graph.shape(at, TRAIN)
    if shape is None or ... in shape:
        return None
    axis = 1 if target.flat else -1
    if target.tiles:
        axis = _first_feature(graph.layers[target.tiles[0]])
    axis %= len(shape)
    return shape[axis - 1] if axis else None


def _features(layer, shape):
    """Inputs a sample of a product whose x has `shape`; None if not known."""
    axis = _first_feature(layer)
    if shape is None or (... in shape and axis != -1):
        return None
    dims = shape[axis:]
    return None if None in dims else math.prod(dims)


def _tiles(graph, at):
    """A Target whose readers drop tiles, or None."""
    readers = tile_readers(graph, at)
    if readers is None:
        return None
    units = {_features(graph.layers[i], graph.shape(at)) for i in readers}
    if len(units) > 1 or None in units:
        return None
    return Target(units.pop(), tiles=readers)


def _units(graph, at, chain):
    """A Target whose units are the blob's last axis, or the flattened blob."""
    shape = graph.shape(at)
    blob = graph.layers[at].bottom[0]
    image = shape is not None and len(shape) > 3 and chain is None
    if image and not flattening_readers(graph, at):
        raise Refused(
            f"blob '{blob}' has {len(shape)} axes; units of the last would be "
            f"dropped, an image's columns"
        )
    dims = () if shape is None else shape[1:] if image else shape[-1:]
    if shape is None or None in dims:
        raise Refused(
            f"the size of blob '{blob}' is not known here; --shape can tell "
            f"that of the data"
        )
    if len(shape) < 2:
        raise Refused(f"blob '{blob}' has no axis of units")
    readers = product_readers if image else compact_readers
    return Target(
        math.prod(dims), flat=image, compact=readers(graph, at) or ()
    )
