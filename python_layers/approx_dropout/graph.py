"""Who reads what a layer writes, in every state that a net can be in.

Blob names say too little. Layers work in place, so a layer reads the last
write before it; and layers with include or exclude rules are there in some
states only (phase, level, stages), so the last write may be another one in
another state. A Graph resolves each bottom in each state.
"""

import itertools

from .shapes import infer_shapes

TRAIN, TEST = 0, 1  # caffe.Phase
_MANY_STAGES = 8  # beyond so many, not every combination is looked at


class State:
    """One state of the net.

    phase, level, stages: as in caffe.NetState. present: indices of the layers
    that are there, in order. sources: (layer, bottom) -> (layer, top), or None
    for a blob that no layer writes. readers: (layer, top) -> [(layer, bottom)].
    shapes: (layer, top) -> its shape, see shapes.py.
    """

    def __init__(self, phase, level, stages):
        self.phase = phase
        self.level = level
        self.stages = stages

    def meets(self, rule):
        """Whether the state meets a NetStateRule."""
        return (
            (not rule.HasField("phase") or rule.phase == self.phase)
            and (not rule.HasField("min_level") or self.level >= rule.min_level)
            and (not rule.HasField("max_level") or self.level <= rule.max_level)
            and all(stage in self.stages for stage in rule.stage)
            and not any(stage in self.stages for stage in rule.not_stage)
        )

    def includes(self, layer):
        """Whether a layer is there in this state."""
        if layer.include:
            return any(self.meets(rule) for rule in layer.include)
        return not any(self.meets(rule) for rule in layer.exclude)

    def connect(self, layers, inputs):
        """Resolves all bottoms; whether Caffe could build the net."""
        self.present = [i for i, x in enumerate(layers) if self.includes(x)]
        self.sources, self.readers = {}, {}
        last, whole = {}, True
        for i in self.present:
            for b, blob in enumerate(layers[i].bottom):
                source = last.get(blob)
                whole &= source is not None or blob in inputs
                self.sources[i, b] = source
                if source is not None:
                    self.readers[source].append((i, b))
            for t, blob in enumerate(layers[i].top):
                bottom = layers[i].bottom[t : t + 1]
                whole &= blob not in last or list(bottom) == [blob]
                last[blob] = (i, t)
                self.readers[i, t] = []
        return whole


def _states(layers):
    """Every state that the layers' rules can tell apart."""
    rules = [
        rule for x in layers for kind in (x.include, x.exclude) for rule in kind
    ]
    stages = sorted(
        {stage for r in rules for s in (r.stage, r.not_stage) for stage in s}
    )
    levels = {0}
    for rule in rules:
        if rule.HasField("min_level"):
            levels.update((rule.min_level, rule.min_level - 1))
        if rule.HasField("max_level"):
            levels.update((rule.max_level, rule.max_level + 1))
    sizes = range(len(stages) + 1)
    if len(stages) > _MANY_STAGES:
        sizes = (0, 1, 2, len(stages))
    for size in sizes:
        for chosen in itertools.combinations(stages, size):
            for level in sorted(levels, key=abs):
                for phase in (TRAIN, TEST):
                    yield State(phase, level, frozenset(chosen))


def rules(layer):
    """The include and exclude rules of a layer, comparable."""
    return tuple(
        tuple(rule.SerializeToString() for rule in kind)
        for kind in (layer.include, layer.exclude)
    )


class Graph:
    """layers: LayerParameters in the net's order. net: its deprecated input
    fields count. inputs: more blobs that no layer writes. shapes: of blobs that
    data layers put out, where they do not tell.

    states: those in which Caffe can build the net, each once; all of them if
    it can in none, as for a part of a net, and then `whole` is False.
    """

    def __init__(self, layers, net, inputs=(), shapes=None):
        self.layers = layers = list(layers)
        names = set(net.input).union(inputs)
        found = {True: [], False: []}
        seen = set()
        for state in _states(layers):
            whole = state.connect(layers, names)
            key = (state.phase, tuple(state.present))
            if key not in seen:
                seen.add(key)
                found[whole].append(state)
        self.whole = bool(found[True])
        self.states = found[self.whole]
        for state in self.states:
            state.shapes = infer_shapes(net, layers, state, shapes or {})

    def present(self, layer, phase=None):
        """Indices of the states (of a phase) that have layer number `layer`."""
        return {
            s
            for s, state in enumerate(self.states)
            if layer in state.present and phase in (None, state.phase)
        }

    def sources(self, layer, phase=None):
        """What bottom 0 reads: a set of (layer, top) or None."""
        return {
            self.states[s].sources.get((layer, 0))
            for s in self.present(layer, phase)
        }

    def readers(self, layer):
        """Who reads top 0: a set, over states, of tuples of (layer, bottom)."""
        return {
            tuple(self.states[s].readers[layer, 0]) for s in self.present(layer)
        }

    def sole_readers(self, layer):
        """Indices of the layers of which, in each state, one alone reads top 0,
        as its bottom 0; or None."""
        readers = self.readers(layer)
        if any(len(found) != 1 or found[0][1] != 0 for found in readers):
            return None
        return sorted({reads[0][0] for reads in readers})

    def shape(self, layer, phase=None):
        """The shape of bottom 0, as far as all states (of a phase) agree on it;
        None if they do in nothing."""
        shapes = {
            self.states[s].shapes.get(
                self.states[s].sources[layer, 0],
                self.states[s].shapes.get(self.layers[layer].bottom[0]),
            )
            for s in self.present(layer, phase)
        }
        return _common(shapes)


def _common(shapes):
    """The shape that agrees with each of a set of them, or None."""
    if not shapes or None in shapes:
        return None
    shapes = list(shapes)
    if len({len(s) for s in shapes}) == 1 and not any(... in s for s in shapes):
        return tuple(
            dims[0] if len(set(dims)) == 1 else None for dims in zip(*shapes)
        )
    last = {s[-1] if s else None for s in shapes}
    return (..., last.pop()) if len(last) == 1 else None
