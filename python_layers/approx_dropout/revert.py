"""Rewrites a net with approximate random dropout back into Caffe's own layers.

ApproxDropoutInnerProduct, ApproxDropoutConvolution and ApproxDropoutLSTM become
Caffe's, with a Dropout of the rate that K gives: for ROW behind them, and
behind the ReLU and PReLU layers, and a Convolution's poolings, that follow, as
nets usually have it; for TILE, which has no equal in Caffe, in front of them,
where the converter found it.
ApproxDropout becomes Dropout. Patterns and searches of K go, and so do the
layers and names that the converter put in. Weights fit either way.

K's rate is taken to two digits if it is that within the search's 0.001.
"""

import numpy as np

from .chains import (
    HOMOGENEOUS,
    POOLING,
    data_bottoms,
    is_convolution,
    own_pattern,
)
from .conversion import Dropped, Result
from .edits import Layers, make_stock, rename, touches
from .families import drop_rates
from .param_str import parse_param_str
from .proto import load_caffe_pb2
from .upgrade import upgrade

# An in-place Dropout spoils no other layer's gradient behind these.
_SAFE = HOMOGENEOUS + ("InnerProduct", "Convolution")


def _called(layer):
    """A layer for a message."""
    return f"{layer.type} layer '{layer.name}'" if layer else "no layer"


class _Reverter:
    def __init__(self, net):
        self.layers = Layers(net)
        self.notes = []
        self.dropped = []  # (Dropout layer, pattern, products, flat, axis)

    def run(self):
        """Reverts; returns a Result."""
        ours = [x for x in self.layers if x.type.startswith("ApproxDropout")]
        for layer in ours:
            self.notes.append(self.revert(layer))
        self.clean()
        place = self.layers.place
        dropped = [
            Dropped(place(drop), blob, tuple(map(place, products)), *units)
            for drop, blob, products, *units in self.dropped
        ]
        return Result(self.layers.to_net(), self.notes, dropped)

    def revert(self, layer):
        """Makes one of our layers Caffe's; returns the note."""
        recurrent = layer.approx_dropout_param.recurrent
        was = layer.type
        if was == "ApproxDropout":
            return self.revert_units(layer)
        pattern, blob = own_pattern(layer), None
        if pattern != "NONE":
            blob = layer.bottom[data_bottoms(layer)]
        make_stock(layer)
        note = f"{was} '{layer.name}': becomes {layer.type}"
        if pattern == "NONE":
            return note
        drop = self.dropout(blob)
        if pattern == "ROW":
            axis = 1 if is_convolution(layer) else -1
            self.put_behind(layer, drop, blob, axis)
        else:
            self.put_before(layer, drop, blob)
        note += f" and Dropout '{drop.name}'"
        if pattern == "TILE":
            note += ", which drops its inputs, not TILE"
        if was == "ApproxDropoutConvolution":
            note += ", which drops single values, not whole feature maps"
        if recurrent:
            note += "; its recurrent product is not dropped any more"
        return note

    def rate(self, blob):
        """The drop rate of the pattern `blob`."""
        pattern = self.writer(blob)
        if pattern is None or pattern.type != "DropoutPattern":
            raise ValueError(
                f"blob '{blob}' is read as a pattern, but comes from "
                f"{_called(pattern)}, not from a DropoutPattern"
            )
        param = pattern.dropout_pattern_param
        k = np.array(param.probability)
        if len(k):
            family = param.Family.Name(param.family)
            rate = float(k @ drop_rates(family, len(k)) / k.sum())
            near = round(rate, 2)
            return near if abs(rate - near) <= 0.001 else round(rate, 4)
        search = self.writer(*pattern.bottom[:1])
        if search is None or search.python_param.layer != "PatternSearchLayer":
            raise ValueError(
                f"the rate of DropoutPattern '{pattern.name}' is not known: K "
                f"comes from {_called(search)}"
            )
        try:
            arguments = parse_param_str(search.python_param.param_str)
        except ValueError as error:
            raise ValueError(
                f"PatternSearchLayer '{search.name}': {error}"
            ) from None
        return arguments["dropout_ratio"]

    def writer(self, blob=None):
        """The first layer that puts out a blob, or None."""
        return next((x for x in self.layers if blob in x.top), None)

    def dropout(self, blob):
        """A Dropout with the rate of a pattern, named as before."""
        name = blob[: -len("_pattern")] if blob.endswith("_pattern") else ""
        layer = load_caffe_pb2().LayerParameter(type="Dropout")
        layer.name = self.layers.unused(name or f"{blob}_drop")
        layer.dropout_param.dropout_ratio = self.rate(blob)
        return layer

    def put_behind(self, base, drop, blob, axis):
        """A Dropout behind a product and the ReLUs that follow it alone; behind
        a Convolution's poolings, too."""
        types = HOMOGENEOUS + (POOLING if is_convolution(base) else ())
        at = self.layers.place(base)
        graph = self.layers.graph()
        while True:
            readers = graph.sole_readers(at)
            if readers is None or len(readers) != 1:
                break
            (reader,) = readers
            layer = graph.layers[reader]
            if layer.type not in types or len(layer.top) > 1:
                break
            if graph.present(reader) != graph.present(at):
                break
            at = reader
        self.insert(graph, at, drop, at + 1)
        self.dropped.append((drop, blob, (), False, axis))

    def put_before(self, reader, drop, blob):
        """A Dropout in front of what a product reads."""
        graph = self.layers.graph()
        at = self.layers.place(reader)
        sources = graph.sources(at)
        alone = len(sources) == 1 and None not in sources
        if alone:
            ((writer, top),) = sources
            alone = (
                top == 0
                and bool(graph.layers[writer].bottom)  # no data in place
                and graph.sole_readers(writer) == [at]
                and graph.present(writer) == graph.present(at)
            )
        if alone:
            self.insert(graph, writer, drop, writer + 1)
        else:
            drop.bottom.append(reader.bottom[0])
            drop.top.append(self.layers.unused(f"{reader.bottom[0]}_dropped"))
            drop.include.extend(reader.include)
            drop.exclude.extend(reader.exclude)
            reader.bottom[0] = drop.top[0]
            self.layers.insert(at, drop)
        self.dropped.append((drop, blob, (reader,)))

    def insert(self, graph, writer, drop, at):
        """Puts a Dropout behind layer number `writer`: in place, or, if the
        writer needs what it wrote for its gradient, behind a new blob."""
        before = graph.layers[writer]
        blob = before.top[0]
        if before.type not in _SAFE:
            before.top[0] = self.layers.unused(f"{blob}_undropped")
        drop.bottom.append(before.top[0])
        drop.top.append(blob)
        drop.include.extend(before.include)
        drop.exclude.extend(before.exclude)
        self.layers.insert(at, drop)

    def revert_units(self, layer):
        """ApproxDropout becomes Dropout, and what stood around it goes."""
        blob = layer.bottom[1]
        rate = self.rate(blob)
        axis = self.unit_axis(layer)
        make_stock(layer)
        layer.dropout_param.dropout_ratio = rate
        flat = self.unflatten(layer)
        self.dropped.append((layer, blob, (), flat, axis))
        self.join_blobs(layer)
        return f"ApproxDropout '{layer.name}': becomes Dropout"

    def unit_axis(self, layer):
        """The axis whose units an ApproxDropout drops."""
        param = layer.approx_dropout_param
        if param.HasField("unit_axis"):
            return param.unit_axis
        shape = self.layers.graph().shape(self.layers.place(layer))
        known = shape is not None and ... not in shape
        return 1 if known and len(shape) == 4 else -1

    def join_blobs(self, layer):
        """Lets a Dropout work in place where the converter had parted the two
        names of its blob, and takes out the Split that it put behind it."""
        bottom, top = layer.bottom[0], layer.top[0]
        at = self.layers.place(layer)
        passed = [
            x
            for x in self.layers[at + 1 : at + 2]
            if x.type == "Split"
            and list(x.bottom) == [bottom]
            and list(x.top) == [top]
        ]
        before = self.layers[:at]
        behind = self.layers[at + 1 + len(passed) :]
        if any(touches(x, bottom) for x in behind) or any(
            touches(x, top) for x in before
        ):
            return
        if bottom == f"{top}_undropped":
            rename(before + [layer], bottom, top)
        elif top == f"{bottom}_dropped":
            rename(behind + [layer], top, bottom)
        else:
            return
        for split in passed:
            self.layers.drop(split)

    def unflatten(self, layer):
        """Takes out the Reshape that the converter put in; whether there was
        one."""
        flat = layer.bottom[0]
        users = [x for x in self.layers if touches(x, flat)]
        if len(users) != 2 or flat != f"{layer.name}_flat":
            return False
        maker = users[0]
        dims = list(maker.reshape_param.shape.dim)
        if maker.type != "Reshape" or dims != [0, -1]:
            return False
        layer.bottom[0] = maker.bottom[0]
        self.layers.drop(maker)
        return True

    def clean(self):
        """Takes out the patterns, and the searches of K, that none reads."""
        for kind in ("DropoutPattern", "Python"):
            for layer in list(self.layers):
                searches = layer.python_param.layer == "PatternSearchLayer"
                if layer.type != kind or (kind == "Python" and not searches):
                    continue
                read = any(layer.top[0] in x.bottom for x in self.layers)
                if not read:
                    self.layers.drop(layer)


def revert_net(net):
    """A net's approximate dropout layers become Caffe's; returns a Result, its
    notes one line for each of our layers. The net is left as it is. Raises
    ValueError if a pattern's rate is not known."""
    return _Reverter(upgrade(net)).run()
