"""Rewrites a net's Dropout layers into approximate random dropout.

For each Dropout, in the words of the layers' reference:

ROW: the InnerProduct or LSTM before it drops ROW and the Dropout goes, if all
between the two is ReLU or PReLU, since s keep f(y) = f(s keep y) only if f is
positively homogeneous, and if nothing else reads what lies between. Else, and
behind any other layer whose blob's shape is known, it becomes ApproxDropout,
which drops units of the last axis. A blob of more than three axes has its units
flattened first, and only for InnerProducts, which do so themselves. If the only
reader of the dropped blob is an InnerProduct or LSTM, the blob is made compact
(not across a PReLU, whose slopes belong to channels, nor with groups if
max_period does not divide its units, or if over time steps that reader drops
ROW itself with another number of groups), and that reader takes compact_input;
without a pattern of its own it becomes {NONE, compact_input}.

TILE: if the only reader of the dropped blob is an InnerProduct or LSTM, that
one drops tiles of the weights that read the blob, and the Dropout goes: the
product before it would drop its inputs, in the first layer the net's own, which
costs accuracy. Tiles are smaller than usual where a row would hold fewer than
max_period of them. Else the Dropout becomes ApproxDropout.

Feature maps, if asked for: a Dropout of images drops channels. The Convolution
before it drops ROW across ReLU, PReLU and Pooling, or it becomes ApproxDropout;
a sole Convolution or InnerProduct behind ReLUs and poolings takes it compact.

A Dropout that does nothing in the TEST phase anyway, by rules of its own, is
taken as one without them; any other rules stay with what it becomes.

Each Dropout gets a DropoutPattern layer, "<its name>_pattern"; K comes from one
PatternSearch layer per rate, or inline. Layers with weights keep their names,
so that a .caffemodel loads either way. In the TEST phase both nets compute the
same. Dropouts are converted from the last to the first, each on the net that
the ones behind it left, so that no decision rests on what is no longer there.
"""

import numpy as np

from .chains import Refused, divides, own_pattern, share_rules
from .conversion import Dropped, Options, Result
from .edits import Layers
from .families import check_rate
from .graph import rules
from .patterns import PatternLayers
from .rewriter import Rewriter
from .shapes import base_type
from .targets import find_parting, find_target
from .upgrade import upgrade


class _Converter:
    def __init__(self, net, options):
        self.options = options
        self.layers = Layers(net, options.shapes)
        self.original = list(self.layers)
        self.patterns = PatternLayers(
            self.layers,
            options.family,
            options.max_period,
            options.inline_probability,
        )
        self.rewriter = Rewriter(self.layers, options.max_period)
        self.dropped = []
        self.check_names()

    def run(self):
        """Converts; returns a Result."""
        notes = {}
        for i, drop in reversed(list(enumerate(self.original))):
            if drop.type != "Dropout":
                continue
            name = drop.name
            try:
                notes[i] = f"Dropout '{name}': {self.convert(i, drop)}"
            except Refused as reason:
                notes[i] = f"left Dropout '{name}': {reason}"
        self.patterns.insert()
        seen = set()
        for number, pattern, *_ in reversed(self.dropped):
            if pattern in seen:
                notes[number] += f"; shares pattern '{pattern}'"
            seen.add(pattern)
        listed = [notes[i] for i in sorted(notes)]
        return Result(self.layers.to_net(), listed, self.dropped)

    def check_names(self):
        names = [x.name for x in self.layers if x.type == "Dropout"]
        for option in ("only", "skip"):
            for name in getattr(self.options, option):
                if name not in names:
                    raise ValueError(
                        f"{option} names '{name}', but the net's Dropout "
                        f"layers are {', '.join(map(repr, names)) or 'none'}"
                    )

    def convert(self, number, drop):
        """Converts one Dropout, the net's layer number `number`; returns what
        became of it. Raises Refused."""
        options = self.options
        if options.only and drop.name not in options.only:
            raise Refused("only others are to be converted")
        if drop.name in options.skip:
            raise Refused("it is to be skipped")
        if len(drop.bottom) != 1 or len(drop.top) != 1:
            raise Refused("it has not one bottom and one top")
        if drop.loss_weight or drop.propagate_down:
            raise Refused("it has loss_weight or propagate_down")
        rate = self.rate(drop)
        try:
            check_rate(rate, options.family, options.max_period)
        except ValueError as error:
            raise Refused(str(error)) from error
        at = self.layers.place(drop)
        graph = self.layers.graph()
        if not graph.present(at):
            raise Refused("no state of the net has it")
        old = type(drop)()
        old.CopyFrom(drop)
        if share_rules(graph, at):
            graph = self.layers.graph()
        try:
            target = self.target(graph, at)
        except Refused:
            drop.CopyFrom(old)
            raise
        blob = self.pattern(drop, rate, target)
        products = tuple(self.number(graph.layers[i]) for i in target.tiles)
        note = self.rewriter.rewrite(graph, drop, target, blob)
        dropped = Dropped(number, blob, products, target.flat, target.axis)
        self.dropped.append(dropped)
        return note

    def number(self, layer):
        """A layer's number in the net as it was."""
        return next(i for i, x in enumerate(self.original) if x is layer)

    def rate(self, drop):
        """dropout_ratio, a float field, as the decimal that was written."""
        if self.options.rate is not None:
            return self.options.rate
        return float(str(np.float32(drop.dropout_param.dropout_ratio)))

    def target(self, graph, at):
        """The Target of the Dropout at index `at`; raises Refused."""
        options, number = self.options, self.options.max_period
        tiles = options.pattern == "TILE"
        target = find_target(graph, at, tiles, options.feature_maps)
        if target.units < number:
            raise Refused(
                f"it drops {target.units} units, fewer than max_period {number}"
            )
        target.groups = self.groups(graph.layers[at], target)
        if target.samples is not None and target.samples % target.groups:
            raise Refused(
                f"groups is {target.groups}, must divide the {target.samples} "
                f"samples"
            )
        self.check_compact(graph, target)
        if target.fuse is not None and not all(
            divides(graph.layers[i], target.units, options.family, number)
            for i in target.fuse.bases
        ):
            target.fuse = None
        drop = graph.layers[at]
        stays = not target.tiles and target.fuse is None and not target.flat
        if stays and drop.bottom[0] == drop.top[0]:
            find_parting(graph, at)  # raises Refused
        return target

    def groups(self, drop, target):
        """Patterns per pass: of the shared pattern, or as the options say."""
        shared = self.patterns.shared.get(self.key(drop, target))
        if shared is not None:
            return self.patterns.groups(shared)
        last = self.options.last_groups
        return self.options.groups if self.dropped or last is None else last

    def key(self, drop, target):
        """What Dropouts that share a pattern have in common; None: nothing."""
        if not self.options.share or not any(target.weights):
            return None
        return target.weights, self.rate(drop), target.units, rules(drop)

    def check_compact(self, graph, target):
        """Not compact if groups forbid it; the note says why."""
        groups, number = target.groups, self.options.max_period
        for reader in [graph.layers[i] for i in target.compact]:
            family = self.options.family
            if not divides(reader, target.units, family, number):
                target.note = (
                    f"every period must divide the channels of each of the "
                    f"groups of Convolution '{reader.name}': max_period is "
                    f"{number}, family {family}"
                )
            elif groups > 1 and target.units % number:
                target.note = (
                    f"with groups, max_period must divide its {target.units} "
                    f"units, {number} does not"
                )
            elif (
                own_pattern(reader) != "NONE"
                and base_type(reader) == "InnerProduct"
                and reader.inner_product_param.axis != 1
            ):
                other = self.patterns.groups(reader.bottom[1])
                if 1 < groups != other > 1:
                    target.note = (
                        f"over time steps InnerProduct '{reader.name}' would "
                        f"need its own number of groups, {other}, not {groups}"
                    )
        if target.note:
            target.compact = ()

    def pattern(self, drop, rate, target):
        """The blob of a Dropout's pattern, new or shared.

        A shared one is named after the first Dropout that has it.
        """
        key = self.key(drop, target)
        wanted = f"{drop.name or drop.top[0]}_pattern"
        shared = self.patterns.shared.get(key)
        if shared is None:
            blob = self.patterns.add(wanted, rate, target.groups, drop)
        else:
            blob = self.patterns.rename(shared, wanted)
            self.dropped = [
                x._replace(pattern=blob) if x.pattern == shared else x
                for x in self.dropped
            ]
        if key is not None:
            self.patterns.shared[key] = blob
        return blob


def convert_net(net, options):
    """Converts a net's Dropout layers; returns a Result, see convert()."""
    options.check()
    return _Converter(upgrade(net), options).run()


def convert(net, pattern="ROW", family="RESIDUE", max_period=16, **more):
    """Converts a net's Dropout layers; returns (net, notes).

    net: a NetParameter, left as it is; of Caffe's older formats, too. pattern:
    "ROW" or "TILE". family: "PERIOD" or "RESIDUE"; PERIOD's search gets
    lambda3, without which nets learn badly. max_period: N. More, by name:
    inline_probability: K is searched now and written into the net, which then
    needs no Python. groups: patterns per pass, one for each of as many equal
    parts of the samples; 1 for PERIOD. last_groups: of the last Dropout, in
    front of the net's output, where a language model needs more of them; None
    for as many.
    rate: the drop rate of all, instead of each Dropout's own. only, skip: names
    of the Dropouts to convert, or to leave. share: Dropouts around layers that
    share their weights by name share one pattern, as the towers of a siamese
    net. feature_maps: Dropouts of images drop whole feature maps, with ROW.
    shapes: of blobs that data layers put out, where the net does not tell.
    notes: a line for each Dropout, what became of it or why it was left.
    Raises ValueError for illegal arguments.
    """
    more = {
        k: tuple(v) if k in ("only", "skip") else v for k, v in more.items()
    }
    result = convert_net(net, Options(pattern, family, max_period, **more))
    return result.net, result.notes
