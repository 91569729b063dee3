"""Decides what is to become of one Dropout; rewriter.py does it."""

import dataclasses
import math
import typing

from .chains import (
    Refused,
    can_fuse,
    compact_readers,
    find_chain,
    find_map_chain,
    flattening_readers,
    map_readers,
    product_readers,
    tile_readers,
)
from .edits import touches
from .graph import TRAIN
from .shapes import base_type


@dataclasses.dataclass
class Target:
    """Indices into the layers of the graph that it was found in; where there
    are several, each is there in states of its own.

    fuse: the Chain whose bases drop ROW. tiles: the readers that drop TILE.
    Neither: ApproxDropout, of the blob or, if flat, of the blob with all axes
    but the first made one. axis: that of the units, 1 for feature maps, else
    -1. units: how many there are to drop. compact: the
    readers that take the blob compact; note: why there are none. weights: names
    of the parameters of the product nearest to the units. samples: how many
    there are in TRAIN, if that is known. groups: patterns per pass.
    """

    units: int = 0
    samples: typing.Optional[int] = None
    fuse: object = None
    tiles: typing.Sequence = ()
    flat: bool = False
    axis: int = -1
    compact: typing.Sequence = ()
    note: str = ""
    weights: tuple = ()
    groups: int = 1


def find_target(graph, at, tiles, maps=False):
    """The Target of the Dropout at index `at`, in front of tiles if there can
    be some and they are wanted; raises Refused. maps: of images, whole feature
    maps are dropped."""
    chain = find_chain(graph, at)
    target = _tiles(graph, at) if tiles else None
    if maps and chain is None:
        target = _maps(graph, at)
    if target is not None and target.axis == 1:
        chain = find_map_chain(graph, at)
    elif target is None:
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
    axis = 1 if target.flat else target.axis
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


def _maps(graph, at):
    """A Target whose units are the channels of images; None if the blob holds
    none."""
    shape = graph.shape(at)
    if shape is None or ... in shape or len(shape) != 4 or shape[1] is None:
        return None
    return Target(shape[1], axis=1, compact=map_readers(graph, at) or ())


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
    return Target(math.prod(dims), flat=image, compact=readers(graph, at) or ())


@dataclasses.dataclass
class Parting:
    """How the blob of an in-place Dropout gets two names.

    renamed: indices of the layers in which it gets a new one; those behind the
    Dropout, or those before. needs_complement: in the states without the
    Dropout, a complement() must hand the blob on.
    """

    renamed: list
    behind: bool
    needs_complement: bool


def find_parting(graph, drop):
    """The Parting of the in-place Dropout at index `drop`; raises Refused.

    What comes before gets the new name; or what comes behind, if the blob is
    the net's own input, which people fill by its name.
    """
    layers, with_drop = graph.layers, graph.present(drop)
    blob = layers[drop].bottom[0]
    sources = graph.sources(drop)
    behind = None in sources or any(not layers[i].bottom for i, _ in sources)
    side = range(drop + 1, len(layers)) if behind else range(drop)
    side = [i for i in side if touches(layers[i], blob)]
    renamed = [i for i in side if graph.present(i) & with_drop]
    needs = set()
    for s, state in enumerate(graph.states):
        if s in with_drop:
            continue
        there = {i for i in side if i in state.present}
        needed = bool(there.intersection(renamed))
        alive = any(blob in layers[i].top for i in state.present if i < drop)
        if needed and (there.difference(renamed) or not alive):
            needs.update((True, False))
        needs.add(needed)
    if len(needs) > 1:
        raise Refused(
            f"its rules and those of the other layers of blob '{blob}' part "
            f"the net's states otherwise"
        )
    return Parting(renamed, behind, True in needs)
