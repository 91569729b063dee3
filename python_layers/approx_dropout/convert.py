"""Rewrites a net's Dropout layers into approximate random dropout.

For each chain (see chains.py) of InnerProduct or LSTM, elementwise layers and
Dropout, in the words of the layers' reference:

ROW: the first layer becomes ApproxDropoutInnerProduct or ApproxDropoutLSTM with
ROW and the Dropout goes, if every layer between is ReLU or PReLU, since
s keep f(y) = f(s keep y) only if f is positively homogeneous, and if nothing
else reads what lies between. Else the Dropout becomes ApproxDropout. If the
only reader of the dropped blob is another InnerProduct or LSTM, the blob is
made compact (not across a PReLU, whose slopes belong to channels, nor with
groups if max_period does not divide its units, or if over time steps that
reader drops ROW itself with another number of groups), and that reader takes
compact_input; without a pattern of its own it becomes {NONE, compact_input}.

TILE: if the only reader of the dropped blob is an InnerProduct or LSTM, that
one drops tiles of the weights that read the blob, and the Dropout goes: the
product before it would drop its inputs, in the first layer the net's own, which
costs accuracy. Tiles are smaller than usual where a row would hold fewer than
max_period of them. Else the Dropout becomes ApproxDropout.

Each Dropout gets a DropoutPattern layer of its own, "<its name>_pattern"; K
comes from one PatternSearch layer a rate, or inline. Layers with weights keep
their names, so that a .caffemodel loads either way. In the TEST phase both nets
compute the same.
"""

import json

import numpy as np

from .chains import (
    BASES,
    HOMOGENEOUS,
    Refused,
    compact_reader,
    find_chain,
    num_output,
    rules,
    tile_reader,
)
from .families import (
    check_groups,
    check_max_period,
    check_rate,
    tile_size_behind,
)
from .proto import load_caffe_pb2
from .search import PERIOD_LAMBDA3, search

PATTERNS = ("ROW", "TILE")


class _Converter:
    """One conversion. Layers are edited in place, `inserted` go before them,
    and `removed` go, so that indices stay as chains.py found them."""

    def __init__(
        self,
        net,
        pattern,
        family,
        max_period,
        groups,
        last_groups,
        inline_probability,
    ):
        self.pb2 = load_caffe_pb2()
        self.net = net
        self.layers = list(net.layer)
        self.pattern = pattern
        self.family = family
        self.max_period = max_period
        self.search_fields = (
            {"lambda3": PERIOD_LAMBDA3} if family == "PERIOD" else {}
        )
        self.groups = groups
        self.last_groups = last_groups or groups
        self.last = None  # index of the last Dropout that is converted
        self.inline_probability = inline_probability
        self.names = set(net.input)
        for layer in self.layers:
            self.names.update([layer.name], layer.bottom, layer.top)
        self.inserted = {}
        self.removed = set()
        self.k_blobs = {}
        self.readers = {}  # of chains, by their Dropout
        self.obstacles = {}  # why groups keep a Dropout from being compact
        self.notes = []

    def run(self):
        """Converts; returns (net, notes)."""
        chains = []
        for i, layer in enumerate(self.layers):
            if layer.type != "Dropout":
                continue
            try:
                chain = find_chain(self.layers, i)
                self.check(chain)
                chains.append(chain)
            except Refused as reason:
                self.notes.append(f"left Dropout '{layer.name}': {reason}")
        self.last = chains[-1].drop if chains else None
        by_base = {x.base: x for x in chains if self.is_fused(x)}
        for chain in chains:
            self.readers[chain.drop] = self.find_reader(chain, by_base)
        # By position, so that a K stands before the first pattern that reads
        # it. Each step appends bottoms: x, [cont,] own pattern, x's pattern.
        chains.sort(key=self.position)
        compact_inputs = {}
        for chain in chains:
            blob = self.add_pattern(chain)
            reader = self.readers[chain.drop]
            if self.drops_tiles(chain):
                self.drop_tiles(chain, blob)
                continue
            if self.is_fused(chain):
                self.fuse(chain, blob, reader is not None)
            else:
                self.replace(chain, blob, reader is not None)
            if reader is not None:
                compact_inputs[reader] = blob
        for reader, blob in compact_inputs.items():
            self.take_compact(self.layers[reader], blob)
        return self.assemble(), self.notes

    def check(self, chain):
        """Raises Refused or ValueError for what Caffe would refuse later."""
        base, drop = self.layers[chain.base], self.layers[chain.drop]
        if self.units(chain) < self.max_period:
            raise Refused(
                f"{base.type} '{base.name}' has num_output "
                f"{self.units(chain)}, less than max_period "
                f"{self.max_period}"
            )
        before = self.layers[: chain.drop]
        if drop.bottom[0] == drop.top[0] and any(
            rules(layer) != rules(drop)
            for layer in before
            if drop.top[0] in layer.top
        ):
            raise Refused(
                f"blob '{drop.top[0]}' is also written by a layer "
                f"with other include/exclude rules"
            )
        try:
            check_rate(self.rate(chain), self.family, self.max_period)
        except ValueError as error:
            raise ValueError(f"Dropout '{drop.name}': {error}") from error

    def find_reader(self, chain, by_base):
        """Index of the product that drops tiles or takes a compact blob, or
        None; by_base: the chains whose first layer drops ROW."""
        if self.pattern == "TILE":
            return tile_reader(self.layers, chain)
        reader = compact_reader(self.layers, chain)
        if reader is not None:
            obstacle = self.obstacle(chain, reader, by_base.get(reader))
            if obstacle is not None:
                self.obstacles[chain.drop] = obstacle
                return None
        return reader

    def obstacle(self, chain, reader, behind):
        """Why groups forbid that `reader`, the first layer of the chain
        `behind` or of None, takes the chain's output compact; None if not."""
        groups = self.groups_of(chain)
        if groups > 1 and self.units(chain) % self.max_period:
            return (
                f"with groups, max_period must divide its "
                f"{self.units(chain)} units, {self.max_period} does not"
            )
        layer = self.layers[reader]
        if (
            behind is not None
            and layer.type == "InnerProduct"
            and layer.inner_product_param.axis != 1
            and 1 < groups != self.groups_of(behind) > 1
        ):
            return (
                f"over time steps InnerProduct '{layer.name}' would need its "
                f"own number of groups, {self.groups_of(behind)}, not {groups}"
            )
        return None

    def groups_of(self, chain):
        return self.last_groups if chain.drop == self.last else self.groups

    def rate(self, chain):
        """dropout_ratio, a float field, as the decimal that was written."""
        ratio = self.layers[chain.drop].dropout_param.dropout_ratio
        return float(str(np.float32(ratio)))

    def units(self, chain):
        return num_output(self.layers[chain.base])

    def drops_tiles(self, chain):
        return self.pattern == "TILE" and self.readers[chain.drop] is not None

    def is_fused(self, chain):
        return (
            self.pattern == "ROW"
            and chain.exclusive
            and all(self.layers[i].type in HOMOGENEOUS for i in chain.between)
        )

    def position(self, chain):
        """Index of the layer that will read the chain's pattern."""
        if self.drops_tiles(chain):
            return self.readers[chain.drop]
        return chain.base if self.is_fused(chain) else chain.drop

    def unused(self, wanted):
        """`wanted`, or with a number, so that no layer or blob has the name."""
        name, number = wanted, 1
        while name in self.names:
            number += 1
            name = f"{wanted}_{number}"
        self.names.add(name)
        return name

    def insert(self, chain, name, kind):
        """A new layer for a chain, with its rules."""
        drop = self.layers[chain.drop]
        layer = self.pb2.LayerParameter(name=name, type=kind, top=[name])
        layer.include.extend(drop.include)
        layer.exclude.extend(drop.exclude)
        self.inserted.setdefault(self.position(chain), []).append(layer)
        return layer

    def add_pattern(self, chain):
        """The DropoutPattern layer of a chain; returns its blob."""
        drop = self.layers[chain.drop]
        rate = self.rate(chain)
        k_blob = None if self.inline_probability else self.add_k(chain)
        name = self.unused(f"{drop.name or drop.top[0]}_pattern")
        layer = self.insert(chain, name, "DropoutPattern")
        layer.dropout_pattern_param.family = (
            self.pb2.DropoutPatternParameter.Family.Value(self.family)
        )
        if self.groups_of(chain) > 1:
            layer.dropout_pattern_param.groups = self.groups_of(chain)
        if k_blob is None:
            result = search(
                rate, self.family, self.max_period, **self.search_fields
            )
            layer.dropout_pattern_param.probability.extend(result.probability)
        else:
            layer.bottom.append(k_blob)
        return name

    def add_k(self, chain):
        """The PatternSearch layer of a chain's rate; returns its blob."""
        rate = self.rate(chain)
        key = (rate, rules(self.layers[chain.drop]))
        if key not in self.k_blobs:
            self.k_blobs[key] = self.unused(f"k_{rate:g}")
            layer = self.insert(chain, self.k_blobs[key], "Python")
            layer.python_param.module = "approx_dropout"
            layer.python_param.layer = "PatternSearchLayer"
            layer.python_param.param_str = json.dumps(
                {
                    "dropout_ratio": rate,
                    "family": self.family,
                    "max_period": self.max_period,
                    **self.search_fields,
                }
            )
        return self.k_blobs[key]

    def set_pattern(self, layer, pattern):
        layer.approx_dropout_param.pattern = (
            self.pb2.ApproxDropoutParameter.Pattern.Value(pattern)
        )

    def add_bottom(self, layer, blob):
        """Appends the blob of a pattern, which gets no gradient."""
        if layer.propagate_down:
            layer.propagate_down.append(False)
        layer.bottom.append(blob)

    def compactness(self, chain, compact):
        """For a note: whether the chain's output is compact, or might be."""
        if chain.drop in self.obstacles:
            return f", not compact: {self.obstacles[chain.drop]}"
        return ", compact" if compact else ""

    def fuse(self, chain, pattern_blob, compact):
        """The base drops; the layer before the Dropout writes its top."""
        base, drop = self.layers[chain.base], self.layers[chain.drop]
        self.notes.append(
            f"Dropout '{drop.name}': {base.type} '{base.name}' drops "
            f"{self.pattern}{self.compactness(chain, compact)}"
        )
        old, new = drop.bottom[0], drop.top[0]
        for i in reversed((chain.base,) + chain.between):
            layer = self.layers[i]
            layer.top[0] = new
            if i == chain.base or layer.bottom[0] != old:
                break
            layer.bottom[0] = new
        base.type = "ApproxDropout" + base.type
        self.set_pattern(base, self.pattern)
        if compact:
            base.approx_dropout_param.compact_output = True
        self.add_bottom(base, pattern_blob)
        self.removed.add(chain.drop)

    def drop_tiles(self, chain, pattern_blob):
        """The product behind the Dropout drops tiles and reads its bottom."""
        drop = self.layers[chain.drop]
        reader = self.layers[self.readers[chain.drop]]
        self.notes.append(
            f"Dropout '{drop.name}': {reader.type} '{reader.name}' behind it "
            f"drops TILE"
        )
        reader.type = "ApproxDropout" + reader.type
        self.set_pattern(reader, "TILE")
        param = reader.approx_dropout_param
        tile_size = tile_size_behind(
            self.units(chain), param.tile_size, self.max_period
        )
        if tile_size < param.tile_size:
            param.tile_size = tile_size
        reader.bottom[0] = drop.bottom[0]
        self.add_bottom(reader, pattern_blob)
        self.removed.add(chain.drop)

    def replace(self, chain, pattern_blob, compact):
        """ApproxDropout in place of the Dropout, never working in place."""
        drop = self.layers[chain.drop]
        self.notes.append(
            f"Dropout '{drop.name}': becomes ApproxDropout"
            f"{self.compactness(chain, compact)}"
        )
        old = drop.bottom[0]
        if old == drop.top[0]:
            new = self.unused(f"{old}_undropped")
            drop.bottom[0] = new
            for layer in self.layers[: chain.drop]:
                for names in (layer.bottom, layer.top):
                    names[:] = [new if x == old else x for x in names]
        drop.type = "ApproxDropout"
        drop.ClearField("dropout_param")
        if compact:
            drop.approx_dropout_param.compact_output = True
        self.add_bottom(drop, pattern_blob)

    def take_compact(self, reader, pattern_blob):
        """`reader` takes its x compact, as `pattern_blob` kept it."""
        if reader.type in BASES:
            reader.type = "ApproxDropout" + reader.type
            self.set_pattern(reader, "NONE")
        reader.approx_dropout_param.compact_input = True
        self.add_bottom(reader, pattern_blob)

    def assemble(self):
        """The net, with layers removed and inserted."""
        net = self.pb2.NetParameter()
        net.CopyFrom(self.net)
        del net.layer[:]
        for i, layer in enumerate(self.layers):
            net.layer.extend(self.inserted.get(i, []))
            if i not in self.removed:
                net.layer.append(layer)
        return net


def convert(
    net,
    pattern="ROW",
    family="RESIDUE",
    max_period=16,
    inline_probability=False,
    groups=1,
    last_groups=None,
):
    """Converts a net's Dropout layers; returns (net, notes).

    net: a NetParameter, left as it is. pattern: "ROW" or "TILE". family:
    "PERIOD" or "RESIDUE"; PERIOD's search gets lambda3, without which nets
    learn badly. max_period: N. inline_probability: K is searched now and
    written into the net, which then needs no Python. groups: patterns
    a pass, each for so many equal parts of the samples; 1 for PERIOD.
    last_groups: of the last Dropout, in front of the net's output, where a
    language model needs more of them; None for as many.
    notes: a line for each Dropout, what became of it or why it was left.
    Raises ValueError for illegal arguments, a rate that the family cannot
    reach (naming the Dropout), or a net in Caffe's deprecated format.
    """
    if pattern not in PATTERNS:
        raise ValueError(f"pattern is {pattern!r}, must be ROW or TILE")
    check_max_period(max_period, family)
    check_groups(groups, family)
    if last_groups is not None:
        check_groups(last_groups, family, "last_groups")
    if net.layers:
        raise ValueError(
            "the net has 'layers', Caffe's deprecated format; "
            "run upgrade_net_proto_text on it first"
        )
    copy = type(net)()
    copy.CopyFrom(net)
    return _Converter(
        copy,
        pattern,
        family,
        max_period,
        groups,
        last_groups,
        inline_probability,
    ).run()
