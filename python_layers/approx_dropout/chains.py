"""Finds what a net's Dropout layers drop: the chains that convert.py rewrites.

A chain is an InnerProduct or LSTM, any number of elementwise layers, and a
Dropout, each reading what the one before wrote. Blob names say too little,
since layers may work in place: a layer reads the last write before it. Layers
with include or exclude rules are there in some states of the net only; a chain
is followed among layers with the same rules, so that it is the same in every
state.
"""

import dataclasses

BASES = ("InnerProduct", "LSTM")
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


def rules(layer):
    """The include and exclude rules of a layer, comparable."""
    return tuple(
        tuple(rule.SerializeToString() for rule in kind)
        for kind in (layer.include, layer.exclude)
    )


def num_output(base):
    """Units of an InnerProduct or LSTM."""
    if base.type == "InnerProduct":
        return base.inner_product_param.num_output
    return base.recurrent_param.num_output


def writer(layers, reader, blob):
    """Index of the layer whose write of `blob` layer `reader` reads, or None.

    None too if that layer's rules differ from the reader's, so that it may be
    another one in another state of the net.
    """
    for i in range(reader - 1, -1, -1):
        if blob in layers[i].top:
            same = rules(layers[i]) == rules(layers[reader])
            return i if same else None
    return None


def readers(layers, source, blob):
    """Layers that in some state read `source`'s write of `blob`: indices."""
    found = []
    for i in range(source + 1, len(layers)):
        if blob in layers[i].bottom:
            found.append(i)
        if blob in layers[i].top and rules(layers[i]) in (
            rules(layers[source]),
            ((), ()),
        ):
            break
    return found


def check_base(layer):
    """Raises Refused if an InnerProduct or LSTM has no replacement."""
    if layer.type == "InnerProduct" and layer.inner_product_param.transpose:
        raise Refused(f"InnerProduct '{layer.name}' has transpose: true")
    if layer.type == "LSTM":
        if layer.recurrent_param.expose_hidden:
            raise Refused(f"LSTM '{layer.name}' has expose_hidden: true")
        if len(layer.bottom) != 2:
            raise Refused(
                f"LSTM '{layer.name}' has {len(layer.bottom)} bottoms, not 2"
            )


def find_chain(layers, drop):
    """The Chain that ends in Dropout layer `drop`; raises Refused."""
    if layers[drop].loss_weight or layers[drop].propagate_down:
        raise Refused("it has loss_weight or propagate_down")
    between = []
    exclusive = True
    at = drop
    while True:
        blob = layers[at].bottom[0]
        before = writer(layers, at, blob)
        if before is None:
            raise Refused(
                f"blob '{blob}' is an input of the net, or comes "
                f"from a layer with other include/exclude rules"
            )
        exclusive &= (
            readers(layers, before, blob) == [at]
            and not layers[before].loss_weight
        )
        layer = layers[before]
        if layer.type in BASES:
            check_base(layer)
            return Chain(before, tuple(between), drop, bool(exclusive))
        if layer.type not in ELEMENTWISE:
            raise Refused(f"it follows {layer.type} '{layer.name}'")
        between.insert(0, before)
        at = before


def _last_axis(layer):
    """Index of the base's output's last axis, or None if not known here."""
    if layer.type == "LSTM":
        return 2
    axis = layer.inner_product_param.axis
    return axis if axis >= 0 else None


def _takes_last_axis(layer, last):
    """Whether a base's input features are just the axis `last`."""
    if layer.type == "LSTM":
        return last == 2
    axis = layer.inner_product_param.axis
    return axis == -1 or (last is not None and axis == last)


def product_reader(layers, chain):
    """Index of the InnerProduct or LSTM whose x is the chain's output, or None.

    It must be the only reader, in every state, and one that can be replaced.
    """
    blob = layers[chain.drop].top[0]
    found = readers(layers, chain.drop, blob)
    if len(found) != 1:
        return None
    reader = layers[found[0]]
    if reader.type not in BASES or list(reader.bottom).count(blob) != 1:
        return None
    try:
        check_base(reader)
    except Refused:
        return None
    if reader.bottom[0] != blob or writer(layers, found[0], blob) != chain.drop:
        return None
    return found[0]


def compact_reader(layers, chain):
    """The product_reader, if it can take the chain's output compact, or None.

    Its features must be the units that are dropped.
    """
    reader = product_reader(layers, chain)
    if (
        reader is None
        or any(layers[i].type == "PReLU" for i in chain.between)
        or not _takes_last_axis(
            layers[reader], _last_axis(layers[chain.base])
        )
    ):
        return None
    return reader


def tile_reader(layers, chain):
    """The product_reader, if it can read what the Dropout reads, or None."""
    reader = product_reader(layers, chain)
    drop = layers[chain.drop]
    in_place = drop.bottom[0] == drop.top[0]
    if reader is not None and not in_place:
        later = layers[chain.drop + 1 : reader]
        if any(drop.bottom[0] in layer.top for layer in later):
            return None
    return reader
