"""Edits a net where one of its Dropouts becomes approximate random dropout.

convert.py asks targets.py what a Dropout becomes; here that is done. The
notes are for those who read what `convert` did.
"""

from .edits import (
    complement,
    insert_bottom,
    rename,
    set_pattern,
    take_compact,
    touches,
)
from .families import tile_size_behind
from .shapes import base_type, may_be_image
from .targets import find_parting


def called(layers):
    """Layers of different states by type and name, for a note."""
    return " or ".join(sorted({f"{base_type(x)} '{x.name}'" for x in layers}))


class Rewriter:
    """Edits the layers of a net, a Layers. max_period: N of its patterns."""

    def __init__(self, layers, max_period):
        self.layers = layers
        self.max_period = max_period

    def rewrite(self, graph, drop, target, blob):
        """Makes of a Dropout what its Target says; returns what that is.

        graph: of the layers as they are. blob: of the Dropout's pattern.
        """
        if target.tiles:
            note = self.drop_tiles(graph, drop, target, blob)
        elif target.fuse is not None:
            note = self.fuse(graph, drop, target, blob)
        else:
            note = self.replace(graph, drop, target, blob)
        if target.axis == 1:
            note += "; it drops whole feature maps, not single values"
        return note

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
                target.units, param.tile_size, self.max_period
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
