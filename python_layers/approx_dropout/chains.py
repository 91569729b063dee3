"""Finds what a Dropout layer drops, and who reads it: what `convert` rewrites.

A chain is an InnerProduct or LSTM, any number of elementwise layers, and a
Dropout, each reading what the one before wrote; or, for whole feature maps, a
Convolution, with poolings, too, between it and the Dropout. In other states of
the net (see graph.py) other layers may take their places. Layers that are ours
already count as what they were: one Dropout's conversion does not hide the next
one's.
"""

import dataclasses

from .graph import TRAIN
from .shapes import base_type

PRODUCTS = ("InnerProduct", "LSTM")
# f(s x) = s f(x) for s > 0, and f(0) = 0: dropping before is dropping after.
HOMOGENEOUS = ("ReLU", "PReLU")
# The same of each feature map, with nothing else's values.
POOLING = ("Pooling",)
# The memory of their bottom under another name.
VIEWS = ("Concat", "Flatten", "Reshape", "Slice", "Split")
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
    """Indices into the net's layers, of all states.

    bases: the InnerProducts or LSTMs, or the Convolutions, one in each state.
    between: the layers between, in order. exclusive: nothing outside the chain
    reads what is written between bases and Dropout, in any state.
    """

    bases: tuple
    between: tuple
    exclusive: bool


def is_product(layer):
    """Whether a layer is an InnerProduct or LSTM, Caffe's or ours."""
    return base_type(layer) in PRODUCTS


def is_convolution(layer):
    """Whether a layer is a Convolution, Caffe's or ours."""
    return base_type(layer) == "Convolution"


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
    if is_convolution(layer) and layer.convolution_param.axis != 1:
        return f"{name} has axis: {layer.convolution_param.axis}"
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
    if not graph.present(drop) < graph.present(writer) or graph.present(
        writer, TRAIN
    ) != graph.present(drop, TRAIN):
        return False
    for kind in ("include", "exclude"):
        layer.ClearField(kind)
        getattr(layer, kind).extend(getattr(before, kind))
    return True


def find_chain(graph, drop, is_base=is_product, types=ELEMENTWISE):
    """The Chain that ends in Dropout layer `drop`, or None. types: of what may
    lie between."""
    bases, between = set(), set()
    exclusive = True
    waiting = [drop]
    while waiting:
        sources = graph.sources(waiting.pop())
        if not sources or None in sources:
            return None
        for before, top in sources:
            layer = graph.layers[before]
            if top != 0 or before in bases | between:
                continue
            exclusive &= graph.sole_readers(before) is not None
            exclusive &= not layer.loss_weight
            if is_base(layer):
                bases.add(before)
            elif layer.type in types and len(layer.top) == 1:
                between.add(before)
                waiting.append(before)
            else:
                return None
    states = set().union(*(graph.present(i) for i in bases))
    if states != graph.present(drop):
        exclusive = False
    return Chain(tuple(sorted(bases)), tuple(sorted(between)), exclusive)


def find_map_chain(graph, drop):
    """The Chain of Convolutions that ends in Dropout layer `drop`, or None."""
    return find_chain(graph, drop, is_convolution, ELEMENTWISE + POOLING)


def can_fuse(graph, chain):
    """Whether the chain's bases can drop ROW in place of the Dropout."""
    bases = [graph.layers[i] for i in chain.bases]
    return (
        chain.exclusive
        and all(
            graph.layers[i].type in HOMOGENEOUS + POOLING for i in chain.between
        )
        and all(own_pattern(base) == "NONE" for base in bases)
        and all(obstacle(base) is None for base in bases)
    )


def product_readers(graph, drop):
    """Indices of the readers of a Dropout, if one alone reads it in each state,
    as its x, is there in no others, and is a product of ours or can become one;
    or None."""
    readers = graph.sole_readers(drop)
    for reader in readers or ():
        layer = graph.layers[reader]
        if not is_product(layer) or obstacle(layer) is not None:
            return None
        if layer.approx_dropout_param.compact_input:
            return None
        if not graph.present(reader) <= graph.present(drop):
            return None
    return readers or None


def _takes_last_axis(layer, shape):
    """Whether a product's input features are just the last axis of its x."""
    known = shape is not None and ... not in shape
    if base_type(layer) == "LSTM":
        return known and len(shape) == 3
    axis = layer.inner_product_param.axis
    return axis == -1 or (known and axis % len(shape) == len(shape) - 1)


def compact_readers(graph, drop):
    """The product_readers, if the units dropped are their features; or None."""
    readers = product_readers(graph, drop)
    shape = graph.shape(drop)
    if readers and all(
        _takes_last_axis(graph.layers[i], shape) for i in readers
    ):
        return readers
    return None


def map_readers(graph, drop):
    """Indices of the Convolutions and InnerProducts that read what a Dropout
    makes of feature maps, themselves or behind ReLUs and poolings, if one alone
    does in each state and they are ours or can become so; or None."""
    found, waiting = set(), [drop]
    while waiting:
        readers = graph.sole_readers(waiting.pop())
        if not readers:
            return None
        for reader in readers:
            layer = graph.layers[reader]
            if not graph.present(reader) <= graph.present(drop):
                return None
            if layer.type in ("ReLU", *POOLING) and len(layer.top) == 1:
                waiting.append(reader)
            elif takes_maps(layer):
                found.add(reader)
            else:
                return None
    return sorted(found)


def takes_maps(layer):
    """Whether a layer can take compact feature maps as its x."""
    maps = is_convolution(layer) or (
        base_type(layer) == "InnerProduct"
        and layer.inner_product_param.axis == 1
    )
    return (
        maps
        and obstacle(layer) is None
        and not layer.approx_dropout_param.compact_input
        and own_pattern(layer) != "TILE"
    )


def divides(layer, channels, family, max_period):
    """Whether a product can drop some of these channels: a Convolution with
    groups of its own must drop equally many of each, so that every period that
    can be drawn must divide them."""
    group = layer.convolution_param.group
    if group == 1:
        return True
    first = 1 if family == "PERIOD" else max_period
    periods = range(first, max_period + 1)
    return not any(channels // group % period for period in periods)


def tile_readers(graph, drop):
    """The product_readers, if they can read what the Dropout reads, now and in
    the backward pass; or None."""
    readers = product_readers(graph, drop)
    if readers is None or any(
        own_pattern(graph.layers[i]) != "NONE" for i in readers
    ):
        return None
    layer = graph.layers[drop]
    if layer.bottom[0] != layer.top[0]:
        later = graph.layers[drop + 1 : max(readers)]
        if any(layer.bottom[0] in x.top for x in later):
            return None
        if any(_overwritten(graph, s, drop) for s in graph.present(drop)):
            return None
    return readers


def _overwritten(graph, s, drop):
    """Whether, in state number `s`, a layer behind a Dropout works in place on
    the memory that this reads, which views of it give other names."""
    state = graph.states[s]
    found, waiting = set(), [state.sources[drop, 0]]
    while waiting:
        output = waiting.pop()
        if output is None or output in found:
            continue
        found.add(output)
        writer = graph.layers[output[0]]
        if _is_view(writer) or list(writer.bottom[:1]) == list(writer.top[:1]):
            waiting.append(state.sources.get((output[0], 0)))
        readers = state.readers[output]
        for reader, bottom in readers:
            layer = graph.layers[reader]
            if _is_view(layer):
                waiting += [(reader, t) for t in range(len(layer.top))]
            # Where others read it too, Caffe lets no layer work in place.
            elif layer.bottom[bottom] in layer.top and len(readers) == 1:
                if reader > drop:
                    return True
                waiting.append((reader, 0))
    return False


def _is_view(layer):
    """Whether a layer's tops hold the memory of its bottom."""
    single = len(layer.bottom) == len(layer.top) == 1
    return layer.type == "Split" or layer.type in VIEWS and single


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
