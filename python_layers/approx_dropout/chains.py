"""Finds what a Dropout layer drops, and who reads it: what convert.py rewrites.

A chain is an InnerProduct or LSTM, any number of elementwise layers, and a
Dropout, each reading what the one before wrote, in every state of the net that
has one of them (see graph.py). Layers that are ours already count as what they
were, so that one Dropout's conversion does not hide the next one's.
"""

import dataclasses

from .graph import TRAIN, rules
from .shapes import base_type

PRODUCTS = ("InnerProduct", "LSTM")
# f(s x) = s f(x) for s > 0, and f(0) = 0: dropping before is dropping after.
HOMOGENEOUS = ("ReLU", "PReLU")
ELEMENTWISE = HOMOGENEOUS + (
    "AbsVal",
    "BNLL",
    "Clip",
    "ELU",
    "Exp",
    "Log",
    "Power",
    "Sigmoid",
    "Swish",
    "TanH",
    "Threshold",
)


class Refused(Exception):
    """Why a Dropout layer is left as it is."""


@dataclasses.dataclass(frozen=True)
class Chain:
    """Indices into the net's layers.

    base: the InnerProduct or LSTM. between: the elementwise layers, in order.
    drop: the Dropout. exclusive: nothing outside the chain reads what is
    written between base and drop.
    """

    base: int
    between: tuple
    drop: int
    exclusive: bool


def is_product(layer):
    """Whether a layer is an InnerProduct or LSTM, Caffe's or ours."""
    return base_type(layer) in PRODUCTS


def own_pattern(layer):
    """What a layer itself drops: "ROW", "TILE", or "NONE"."""
    if not layer.type.startswith("ApproxDropout"):
        return "NONE"
    param = layer.approx_dropout_param
    return param.Pattern.Name(param.pattern)


def data_bottoms(layer):
    """How many bottoms come before those of patterns."""
    if not layer.type.startswith("ApproxDropout"):
        return len(layer.bottom)
    patterns = (own_pattern(layer) != "NONE") + (
        layer.approx_dropout_param.compact_input
    )
    return len(layer.bottom) - patterns


def obstacle(layer):
    """Why a product cannot become one of ours, or None."""
    name = f"{base_type(layer)} '{layer.name}'"
    if layer.inner_product_param.transpose:
        return f"{name} has transpose: true"
    if layer.recurrent_param.expose_hidden:
        return f"{name} has expose_hidden: true"
    wanted = 2 if base_type(layer) == "LSTM" else 1
    if data_bottoms(layer) != wanted:
        return f"{name} has {data_bottoms(layer)} bottoms, not {wanted}"
    return None


def share_rules(graph, drop):
    """Gives an in-place Dropout the rules of the layer that it reads.

    Its own rules may leave it out of TEST states, where it does nothing
    anyway; in every TRAIN state the two must be there together.
    """
    layer = graph.layers[drop]
    sources = graph.sources(drop, TRAIN)
    if layer.bottom[0] != layer.top[0] or len(sources) != 1 or None in sources:
        return False
    writer = sources.pop()[0]
    before = graph.layers[writer]
    if rules(before) == rules(layer) or graph.present(
        writer, TRAIN
    ) != graph.present(drop, TRAIN):
        return False
    for kind in ("include", "exclude"):
        layer.ClearField(kind)
        getattr(layer, kind).extend(getattr(before, kind))
    return True


def find_chain(graph, drop):
    """The Chain that ends in Dropout layer `drop`, or None."""
    between = []
    exclusive = True
    at = drop
    while True:
        sources = graph.sources(at)
        if len(sources) != 1 or None in sources:
            return None
        before, top = sources.pop()
        if graph.present(before) != graph.present(drop) or top != 0:
            return None
        layer = graph.layers[before]
        exclusive &= graph.only_reader(before) == at and not layer.loss_weight
        if is_product(layer):
            return Chain(before, tuple(between), drop, exclusive)
        if layer.type not in ELEMENTWISE:
            return None
        between.insert(0, before)
        at = before


def can_fuse(graph, chain):
    """Whether the chain's base can drop ROW in place of the Dropout."""
    base = graph.layers[chain.base]
    return (
        chain.exclusive
        and all(graph.layers[i].type in HOMOGENEOUS for i in chain.between)
        and own_pattern(base) == "NONE"
        and obstacle(base) is None
    )


def product_reader(graph, drop):
    """Index of the one reader of a Dropout, a product of ours or that could
    become one, which reads it as x; or None."""
    reader = graph.only_reader(drop)
    if reader is None:
        return None
    layer = graph.layers[reader]
    if not is_product(layer) or obstacle(layer) is not None:
        return None
    if layer.approx_dropout_param.compact_input:
        return None
    return reader


def _takes_last_axis(layer, shape):
    """Whether a product's input features are just the last axis of its x."""
    known = shape is not None and ... not in shape
    if base_type(layer) == "LSTM":
        return known and len(shape) == 3
    axis = layer.inner_product_param.axis
    return axis == -1 or (known and axis % len(shape) == len(shape) - 1)


def compact_reader(graph, drop):
    """The product_reader, if the units dropped are its features; or None."""
    reader = product_reader(graph, drop)
    if reader is None or not _takes_last_axis(
        graph.layers[reader], graph.shape(drop)
    ):
        return None
    return reader


def tile_reader(graph, drop):
    """The product_reader, if it can read what the Dropout reads, or None."""
    reader = product_reader(graph, drop)
    if reader is None or own_pattern(graph.layers[reader]) != "NONE":
        return None
    layer = graph.layers[drop]
    if layer.bottom[0] != layer.top[0]:
        later = graph.layers[drop + 1 : reader]
        if any(layer.bottom[0] in x.top for x in later):
            return None
    return reader


def flattening_readers(graph, drop):
    """Whether all that reads a Dropout takes each sample's values as features,
    whatever their axes, as InnerProducts with axis: 1 do."""
    reads = graph.readers(drop)
    return all(reads) and all(
        base_type(graph.layers[i]) == "InnerProduct"
        and bottom == 0
        and graph.layers[i].inner_product_param.axis == 1
        and not graph.layers[i].approx_dropout_param.compact_input
        and graph.present(i) <= graph.present(drop)
        for found in reads
        for i, bottom in found
    )
