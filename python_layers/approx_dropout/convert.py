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
from .edits import (
    Layers,
    complement,
    insert_bottom,
    rename,
    set_pattern,
    take_compact,
    touches,
)
from .families import check_rate, tile_size_behind
from .graph import rules
from .patterns import PatternLayers
from .shapes import base_type, may_be_image
from .targets import find_parting, find_target
from .upgrade import upgrade


def called(layers):
    """Layers of different states by type and name, for a note."""
    return " or ".join(sorted({f"{base_type(x)} '{x.name}'" for x in layers}))


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
        products = tuple(graph.layers[i].name for i in target.tiles)
        if target.tiles:
            note = self.drop_tiles(graph, drop, target, blob)
        elif target.fuse is not None:
            note = self.fuse(graph, drop, target, blob)
        else:
            note = self.replace(graph, drop, target, blob)
        dropped = Dropped(number, blob, products, target.flat, target.axis)
        self.dropped.append(dropped)
        if target.axis == 1:
            note += "; it drops whole feature maps, not single values"
        return note

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

    def make_compact(self, graph, writers, target, blob):
        """Writers and readers of a compact blob; returns the note's words."""
        if not target.compact:
            return f", not compact: {target.note}" if target.note else ""
        for writer in writers:
            writer.approx_dropout_param.compact_output = True
        for i in target.compact:
            take_compact(graph.layers[i], blob)
        return ", compact"

    def fuse(self, graph, drop, target, blob):
        """The bases drop ROW and the Dropout goes."""
        bases = [graph.layers[i] for i in target.fuse.bases]
        note = f"{called(bases)} drops ROW"
        note += self.make_compact(graph, bases, target, blob)
        for base in bases:
            set_pattern(base, "ROW", blob)
        return note + self.remove(graph, drop, target.fuse)

    def remove(self, graph, drop, chain):
        """Takes the Dropout out; its blobs become one. Returns the note's
        words, if one of the two names is gone.

        The name of the blob that it read stays if that can be, since that is
        the one that people look at; else that of the one that it wrote.
        """
        at = self.layers.place(drop)
        old, new = drop.bottom[0], drop.top[0]
        self.layers.drop(drop)
        if old == new:
            return ""
        behind = self.layers[at:]
        users = [i for i, x in enumerate(graph.layers) if touches(x, new)]
        if (
            all(graph.readers(at))
            and not any(touches(x, old) for x in behind)
            and min(users) == at
            and all(graph.present(i) <= graph.present(at) for i in users)
        ):
            old, new = new, old
            rename(behind, old, new)
        else:
            chained = [graph.layers[i] for i in chain.bases + chain.between]
            rename(chained, old, new)
        return (
            f"; blob '{old}' is now '{new}', which in TRAIN holds kept units "
            f"only"
        )

    def drop_tiles(self, graph, drop, target, blob):
        """The products behind the Dropout drop tiles and read its bottom."""
        readers = [graph.layers[i] for i in target.tiles]
        note = f"{called(readers)} behind it drops TILE"
        old, new = drop.bottom[0], drop.top[0]
        for reader in readers:
            set_pattern(reader, "TILE", blob)
            param = reader.approx_dropout_param
            tile_size = tile_size_behind(
                target.units, param.tile_size, self.options.max_period
            )
            if tile_size < param.tile_size:
                param.tile_size = tile_size
            reader.bottom[0] = old
        self.layers.drop(drop)
        if old == new:
            return note
        return f"{note}; blob '{new}' is now '{old}', with no unit dropped"

    def replace(self, graph, drop, target, blob):
        """ApproxDropout in place of the Dropout, never working in place."""
        note, old = "becomes ApproxDropout", drop.top[0]
        shape = graph.shape(self.layers.place(drop))
        if target.flat:
            self.flatten(graph, drop)
            note += " of the flattened blob"
        elif drop.bottom[0] == drop.top[0]:
            self.part(graph, drop)
        renamed = ""
        if drop.top[0] != old:
            renamed = f"; blob '{old}' stays whole, '{drop.top[0]}' is dropped"
        drop.type = "ApproxDropout"
        drop.ClearField("dropout_param")
        if target.axis < 0 and not target.flat and may_be_image(shape):
            drop.approx_dropout_param.unit_axis = target.axis
        insert_bottom(drop, 1, blob)
        return note + self.make_compact(graph, [drop], target, blob) + renamed

    def flatten(self, graph, drop):
        """A Reshape before the Dropout, whose top has a name of its own.

        Not a Flatten, which spoils the gradient of a Reshape before it.
        """
        at = self.layers.place(drop)
        flat = self.layers.unused(f"{drop.name or drop.top[0]}_flat")
        layer = type(drop)(
            name=flat, type="Reshape", bottom=[drop.bottom[0]], top=[flat]
        )
        layer.reshape_param.shape.dim.extend((0, -1))
        layer.include.extend(drop.include)
        layer.exclude.extend(drop.exclude)
        if drop.bottom[0] == drop.top[0]:
            top = self.layers.unused(f"{drop.top[0]}_dropped")
            for i in {i for found in graph.readers(at) for i, _ in found}:
                graph.layers[i].bottom[0] = top
            drop.top[0] = top
        drop.bottom[0] = flat
        self.layers.insert(at, layer)

    def part(self, graph, drop):
        """Two names for the blob of an in-place Dropout."""
        parting = find_parting(graph, self.layers.place(drop))
        old = drop.bottom[0]
        new = f"{old}_dropped" if parting.behind else f"{old}_undropped"
        new = self.layers.unused(new)
        rename([graph.layers[i] for i in parting.renamed], old, new)
        if parting.behind:
            drop.top[0] = new
        else:
            drop.bottom[0] = new
        if parting.needs_complement:
            name = self.layers.unused(f"{drop.name or old}_passed")
            split = complement(drop, name, drop.bottom[0], drop.top[0])
            self.layers.insert(self.layers.place(drop) + 1, split)


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
