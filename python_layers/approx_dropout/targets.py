"""Decides what is to become of one Dropout; convert.py does it."""

import dataclasses
import math
import typing

from .chains import (
    Refused,
    can_fuse,
    compact_reader,
    find_chain,
    flattening_readers,
    product_reader,
    tile_reader,
)
from .shapes import base_type


@dataclasses.dataclass
class Target:
    """Indices into the layers of the graph that it was found in.

    fuse: the Chain whose base drops ROW. tiles: the reader that drops TILE.
    Neither: ApproxDropout, of the blob or, if flat, of the blob with all axes
    but the first made one. units: how many there are to drop. compact: the
    reader that takes the blob compact; note: why there is none. weights: names
    of the parameters of the product nearest to the units. groups: patterns a
    pass.
    """

    units: int = 0
    fuse: object = None
    tiles: typing.Optional[int] = None
    flat: bool = False
    compact: typing.Optional[int] = None
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
                target.compact = None
    nearest = [target.tiles, chain and chain.base, target.compact]
    nearest = [i for i in nearest if i is not None]
    if nearest:
        target.weights = tuple(p.name for p in graph.layers[nearest[0]].param)
    return target


def _features(layer, shape):
    """Inputs a sample of a product whose x has `shape`; None if not known."""
    axis = layer.inner_product_param.axis
    axis = 2 if base_type(layer) == "LSTM" else axis
    if shape is None or (... in shape and axis != -1):
        return None
    dims = shape[axis:]
    return None if None in dims else math.prod(dims)


def _tiles(graph, at):
    """A Target whose reader drops tiles, or None."""
    reader = tile_reader(graph, at)
    if reader is None:
        return None
    units = _features(graph.layers[reader], graph.shape(at))
    return None if units is None else Target(units, tiles=reader)


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
        raise Refused(f"the size of blob '{blob}' is not known here")
    if len(shape) < 2:
        raise Refused(f"blob '{blob}' has no axis of units")
    reader = product_reader if image else compact_reader
    return Target(math.prod(dims), flat=image, compact=reader(graph, at))
