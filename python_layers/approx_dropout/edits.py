"""Edits of a net's layers that the converter, there and back, is made of."""

from .chains import data_bottoms
from .graph import Graph
from .proto import load_caffe_pb2
from .shapes import base_type


class Layers(list):
    """The LayerParameters of a net, edited as a list; names are kept unique.

    Layers are told apart by identity, since two may be equal. shapes: of blobs
    that data layers put out, where the net does not tell.
    """

    def __init__(self, net, shapes=None):
        super().__init__()
        self.net = net
        self.shapes = shapes or {}
        self.names = set(net.input)
        self.extra_inputs = set()  # blobs of layers that are placed later
        for layer in net.layer:
            copy = type(layer)()
            copy.CopyFrom(layer)
            self.append(copy)
            self.names.update([layer.name], layer.bottom, layer.top)

    def graph(self):
        """A Graph of the layers as they are now."""
        return Graph(self, self.net, self.extra_inputs, self.shapes)

    def place(self, layer):
        """The index of this very layer."""
        return next(i for i, x in enumerate(self) if x is layer)

    def drop(self, layer):
        """Takes this very layer out."""
        del self[self.place(layer)]

    def unused(self, wanted):
        """`wanted`, or with a number, so that no layer or blob has the name."""
        name, number = wanted, 1
        while name in self.names:
            number += 1
            name = f"{wanted}_{number}"
        self.names.add(name)
        return name

    def to_net(self):
        """A copy of the net with these layers."""
        net = type(self.net)()
        net.CopyFrom(self.net)
        del net.layer[:]
        net.layer.extend(self)
        return net


def rename(layers, old, new):
    """Blob `old` is called `new` in all bottoms and tops of some layers."""
    for layer in layers:
        for names in (layer.bottom, layer.top):
            for i, name in enumerate(names):
                if name == old:
                    names[i] = new


def touches(layer, blob):
    """Whether a layer reads or writes a blob of that name."""
    return blob in layer.bottom or blob in layer.top


def insert_bottom(layer, at, blob):
    """Adds the blob of a pattern, which gets no gradient."""
    layer.bottom.insert(at, blob)
    if layer.propagate_down:
        layer.propagate_down.insert(at, False)


def set_pattern(layer, pattern, blob=None):
    """Makes a layer ours, with the pattern that it drops itself."""
    at = data_bottoms(layer)
    if not layer.type.startswith("ApproxDropout"):
        layer.type = "ApproxDropout" + layer.type
    param = layer.approx_dropout_param
    param.pattern = param.Pattern.Value(pattern)
    if blob is not None:
        insert_bottom(layer, at, blob)


def take_compact(layer, blob):
    """A layer takes its x compact, as the pattern `blob` kept it."""
    if not layer.type.startswith("ApproxDropout"):
        set_pattern(layer, "NONE")
    layer.approx_dropout_param.compact_input = True
    insert_bottom(layer, len(layer.bottom), blob)


def make_stock(layer):
    """Makes one of our layers Caffe's again."""
    at = data_bottoms(layer)
    del layer.bottom[at:]
    del layer.propagate_down[at:]
    layer.type = base_type(layer)
    layer.ClearField("approx_dropout_param")


def complement(layer, name, bottom, top):
    """A Split, there in the states in which `layer` is not, that hands
    `bottom` on as `top`."""
    split = load_caffe_pb2().LayerParameter(
        name=name, type="Split", bottom=[bottom], top=[top]
    )
    split.exclude.extend(layer.include)
    split.include.extend(layer.exclude)
    return split
