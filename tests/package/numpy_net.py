"""A net's forward pass in plain numpy: the oracle of the converter's tests.

Stock layers as Caffe defines them, with the Dropout mask given, and the
approximate dropout layers as their reference says. Float64, no gradients: two
nets that give the same outputs for every weight have the same gradients.
"""

import numpy as np

from approx_dropout.draw import Pattern, kept_units, sample_groups

ACTIVATIONS = {
    "ReLU": lambda x, p: np.where(x > 0, x, p.relu_param.negative_slope * x),
    "TanH": lambda x, p: np.tanh(x),
    "Sigmoid": lambda x, p: 1 / (1 + np.exp(-x)),
}
METHODS = {
    "ApproxDropout": "approx_dropout",
    "ApproxDropoutInnerProduct": "product",
    "ApproxDropoutLSTM": "lstm",
    "Dropout": "dropout",
    "DropoutPattern": "dropout_pattern",
    "Eltwise": "eltwise",
    "InnerProduct": "product",
    "LSTM": "lstm",
    "PReLU": "prelu",
    "Pooling": "pooling",
}


def included(layer, phase):
    """Whether the layer is in the net of phase 0 (TRAIN) or 1 (TEST)."""
    if layer.include:
        return any(rule.phase == phase for rule in layer.include)
    return all(rule.phase != phase for rule in layer.exclude)


class NumpyNet:
    """forward() runs the layers in order.

    weights: layer name to list of arrays; made on first use and kept, so that
    a second net with the same dict has the same weights, and one that asks for
    other layers or shapes fails if frozen. patterns: name of the Dropout layer
    to Pattern; in the TEST phase everything is kept. Patterns of several groups
    are for Dropout layers only.
    """

    def __init__(self, net, weights, patterns, phase, frozen=False):
        self.layers = [layer for layer in net.layer if included(layer, phase)]
        self.weights = weights
        self.patterns = patterns
        self.train = phase == 0
        self.frozen = frozen

    def forward(self, inputs):
        """Blobs by name, after all layers. inputs: those of Input layers."""
        blobs = dict(inputs)
        for layer in self.layers:
            if layer.type in ("Input", "Python"):
                blobs.update({top: inputs.get(top) for top in layer.top})
                continue
            bottoms = [blobs[name] for name in layer.bottom]
            if layer.type in ACTIVATIONS:
                value = ACTIVATIONS[layer.type](bottoms[0], layer)
            else:
                value = getattr(self, METHODS[layer.type])(layer, *bottoms)
            blobs[layer.top[0]] = value
        return blobs

    def parameters(self, layer, *shapes):
        if layer.name not in self.weights:
            assert not self.frozen, f"{layer.name} is new"
            rng = np.random.default_rng(len(self.weights))
            self.weights[layer.name] = [rng.normal(0, 0.5, s) for s in shapes]
        found = self.weights[layer.name]
        assert [w.shape for w in found] == [tuple(s) for s in shapes]
        return found

    def mask(self, pattern, units):
        """s * keep, (units,); and the indices kept."""
        kept = kept_units(pattern.period, pattern.residues[0], units)
        mask = np.zeros(units)
        mask[kept] = pattern.scale
        return mask, kept

    def dropout(self, layer, x):
        """Each group's pattern drops units of its part of the samples."""
        if not self.train:
            return x
        pattern = self.patterns[layer.name]
        masks = [
            self.mask(pattern._replace(residues=[residues]), x.shape[-1])[0]
            for residues in pattern.residues
        ]
        steps, samples = int(np.prod(x.shape[:-2])), x.shape[-2]
        groups = sample_groups(steps, samples, len(masks))
        return x * np.array(masks)[groups].reshape(x.shape)

    def dropout_pattern(self, layer, *k):
        """The pattern, and that its K is of the family's length."""
        assert len(k) + bool(layer.dropout_pattern_param.probability) == 1
        if self.train:
            return self.patterns[layer.name[: -len("_pattern")]]
        return Pattern(1.0, 4, np.arange(4)[None])

    def approx_dropout(self, layer, x, pattern):
        mask, kept = self.mask(pattern, x.shape[-1])
        compact = layer.approx_dropout_param.compact_output
        return (x * mask)[..., kept] if compact else x * mask

    def prelu(self, layer, x):
        (slope,) = self.parameters(layer, (x.shape[1],))
        slope = slope.reshape((-1,) + (1,) * (x.ndim - 2))
        return np.where(x > 0, x, slope * x)

    def eltwise(self, layer, x, y):
        return x + y

    def pooling(self, layer, x):
        return x.max(axis=(2, 3), keepdims=True)

    def split_patterns(self, layer, patterns):
        """(name of own pattern, x's pattern or None, own or None)."""
        param = layer.approx_dropout_param
        if not layer.type.startswith("ApproxDropout"):
            assert not patterns
            return "NONE", None, None
        name = param.Pattern.Name(param.pattern)
        patterns = list(patterns)
        own = patterns.pop(0) if name != "NONE" else None
        of_input = patterns.pop(0) if param.compact_input else None
        assert not patterns
        return name, of_input, own

    def tiles(self, layer, w, pattern):
        size = layer.approx_dropout_param.tile_size
        row, column = np.indices(w.shape) // size
        keep = np.isin((row + column) % pattern.period, pattern.residues[0])
        return pattern.scale * w * keep

    def multiply(self, layer, x, w, bias, patterns):
        """x (M, inputs) or compact: (name of own pattern, own pattern, y)."""
        name, of_input, own = self.split_patterns(layer, patterns)
        if name == "TILE":
            w = self.tiles(layer, w, own)
        if of_input is not None:
            kept = self.mask(of_input, w.shape[1])[1]
            assert x.shape[1] == len(kept)
            w = w[:, kept]
        return name, own, x @ w.T + bias

    def inputs(self, layer, x):
        """Inputs of a layer: as many as its x has, or had before the drop."""
        if layer.name in self.weights:
            return self.weights[layer.name][0].shape[1]
        return x.shape[1]

    def output(self, layer, name, own, y):
        if name != "ROW":
            assert not layer.approx_dropout_param.compact_output
            return y
        return self.approx_dropout(layer, y, own)

    def product(self, layer, x, *patterns):
        param = layer.inner_product_param
        axis = param.axis % x.ndim
        flat = x.reshape(int(np.prod(x.shape[:axis])), -1)
        w, bias = self.parameters(
            layer,
            (param.num_output, self.inputs(layer, flat)),
            (param.num_output,),
        )
        name, own, y = self.multiply(layer, flat, w, bias, patterns)
        y = y.reshape(x.shape[:axis] + (param.num_output,))
        return self.output(layer, name, own, y)

    def lstm(self, layer, x, cont, *patterns):
        units = layer.recurrent_param.num_output
        steps, samples = x.shape[:2]
        flat = x.reshape(steps * samples, -1)
        w_x, bias, w_h = self.parameters(
            layer,
            (4 * units, self.inputs(layer, flat)),
            (4 * units,),
            (4 * units, units),
        )
        name, own, gates = self.multiply(layer, flat, w_x, bias, patterns)
        gates = gates.reshape(steps, samples, 4 * units)
        h = c = np.zeros((samples, units))
        outputs = []
        for t in range(steps):
            h, c = h * cont[t, :, None], c * cont[t, :, None]
            i, f, o, g = np.split(gates[t] + h @ w_h.T, 4, axis=1)
            i, f, o = (1 / (1 + np.exp(-gate)) for gate in (i, f, o))
            c = f * c + i * np.tanh(g)
            h = o * np.tanh(c)
            outputs.append(h)
        return self.output(layer, name, own, np.stack(outputs))
