"""The multiply-adds of a net's matrix products, and what patterns leave.

Counted are InnerProduct, Convolution, Deconvolution, LSTM and RNN, Caffe's and
ours; other layers compute no matrix products. Backward, a product's weights
and its input get their gradients by a product of the same size each, where
they need one.

What is kept is an expectation over K. Each unit is as likely to be kept, so a
side of a product, or its tiles, keeps 1 - p of it. Two patterns are drawn
independently, and their expected shares multiply; where one pattern drops both
sides, it is the mean of the square.
"""

import dataclasses
import math

import numpy as np

from .families import (
    FAMILIES,
    check_max_period,
    check_probability,
    drop_rates,
)
from .param_str import parse_param_str, search_for_layer

_NOT_DIFFERENTIABLE = ("Accuracy", "ArgMax", "DropoutPattern", "Silence")


@dataclasses.dataclass(frozen=True)
class Pattern:
    """A DropoutPattern layer: its K, (N,), over the indices of the family."""

    layer: str
    family: str
    groups: int
    probability: np.ndarray

    @property
    def kept(self):
        """Share kept by each index of K, (N,)."""
        return 1 - drop_rates(self.family, len(self.probability))

    def moment(self, power):
        """Mean of the kept share's power."""
        k = self.probability
        return float(k @ self.kept**power / k.sum())

    @property
    def rate(self):
        """The drop rate that K gives."""
        return 1 - self.moment(1)

    @property
    def spread(self):
        """Standard deviation of the dropped fraction."""
        return math.sqrt(max(self.moment(2) - self.moment(1) ** 2, 0))


@dataclasses.dataclass(frozen=True)
class Product:
    """One matrix product of a layer.

    layer, type: whose. part: "" or which of an LSTM's or RNN's.
    samples: it is done for so many per pass (time steps count). count:
    multiply-adds per sample. share: of them kept, expected. backward: products
    of this size in the backward pass, 0 to 2.
    """

    layer: str
    type: str
    part: str
    samples: int
    count: int
    share: float
    backward: int

    @property
    def forward_full(self):
        return self.samples * self.count


def totals(products):
    """Multiply-adds of a pass: (forward, backward) x (full, kept), (2, 2)."""
    return np.array(
        [
            [
                sum(times(p) * p.forward_full for p in products),
                sum(times(p) * p.forward_full * p.share for p in products),
            ]
            for times in (lambda p: 1, lambda p: p.backward)
        ],
        dtype=np.float64,
    )


def bound(products):
    """All multiply-adds of a step over those kept: what a speed-up can reach
    as far as the products make the time. The update is not counted, so a
    whole step can do better against a dense one."""
    full, kept = totals(products).sum(axis=0)
    return full / kept


def _writer(layers, reader, blob):
    for layer in reversed(layers[:reader]):
        if blob in layer.top:
            return layer
    return None


def _pattern(layers, i):
    """The Pattern of the DropoutPattern layers[i]. A K that was searched is
    of the family that it was searched for."""
    layer = layers[i]
    param = layer.dropout_pattern_param
    family = FAMILIES[param.family]
    k = np.array(param.probability)
    if not len(k):
        source = layer.bottom and _writer(layers, i, layer.bottom[0])
        if not source or source.python_param.layer != "PatternSearchLayer":
            raise ValueError(
                f"DropoutPattern layer '{layer.name}' has no probability and "
                f"reads no PatternSearchLayer: its K is not known here"
            )
        param_str = source.python_param.param_str
        k = search_for_layer(source.name, param_str).probability
        family = parse_param_str(param_str).get("family", "RESIDUE")
    try:
        check_probability(k)
        check_max_period(len(k), family)
    except ValueError as error:
        raise ValueError(
            f"DropoutPattern layer '{layer.name}': {error}"
        ) from None
    return Pattern(layer.name, family, param.groups, k)


def patterns(layers):
    """{blob: Pattern} of a net's DropoutPattern layers, and of Splits of what
    they put out."""
    found = {}
    for i, layer in enumerate(layers):
        if layer.type == "DropoutPattern":
            found[layer.top[0]] = _pattern(layers, i)
        elif layer.type == "Split" and layer.bottom[0] in found:
            found.update(dict.fromkeys(layer.top, found[layer.bottom[0]]))
    return found


def _share(sides):
    """Expected share of a product whose sides these Patterns drop."""
    counts = {}
    for pattern in sides:
        counts.setdefault(pattern.layer, []).append(pattern)
    return math.prod(same[0].moment(len(same)) for same in counts.values())


def _dropped_sides(layer, drawn):
    """Patterns that drop (the product with x, that with h, of an LSTM)."""
    param = layer.approx_dropout_param
    kinds = param.Pattern.Name(param.pattern)
    is_recurrent = layer.type == "ApproxDropoutLSTM"
    rest = []
    for blob in layer.bottom[2 if is_recurrent else 1 :]:
        if blob not in drawn:
            raise ValueError(
                f"{layer.type} layer '{layer.name}' reads blob '{blob}' as a "
                f"pattern, which no DropoutPattern puts out: what it keeps is "
                f"not known here"
            )
        rest.append(drawn[blob])
    own = [] if kinds == "NONE" else [rest.pop(0)]
    inputs = rest if param.compact_input else []
    if not is_recurrent:
        return own + inputs, []
    with_x = own if kinds == "TILE" else []
    return with_x + inputs, own if param.recurrent else []


def _parts(net, layer, base):
    """[(part, samples, multiply-adds a sample)] of a layer's products."""
    params = net.params.get(layer.name)
    if not params:
        return []
    x = net.blobs[layer.bottom[0]]
    size = [math.prod(shape) for shape in params]
    if base == "InnerProduct":
        samples = math.prod(x[: layer.inner_product_param.axis])
        return [("", samples, size[0])]
    if base in ("Convolution", "Deconvolution"):
        axis = layer.convolution_param.axis
        blobs = layer.top if base == "Convolution" else layer.bottom
        maps = [net.blobs[blob] for blob in blobs]
        places = sum(math.prod(shape[axis + 1 :]) for shape in maps)
        return [("", math.prod(x[:axis]), size[0] * places)]
    if base in ("LSTM", "RNN"):
        steps = x[0] * x[1]
        recurrent = -1 if base == "LSTM" else -3
        found = [
            ("input", steps, size[0]),
            ("recurrent", steps, size[recurrent]),
        ]
        if len(params) == (4 if base == "LSTM" else 6):
            found.append(("static input", x[1], size[2]))
        if base == "RNN":
            found.append(("output", steps, size[-2]))
        return found
    return []


def _gradients(net):
    """For each layer: (its parameters learn, its first bottom gets one)."""
    needed = set()  # blobs that get a gradient, as last written
    found = []
    for layer in net.layers:
        params = len(net.params.get(layer.name, ()))
        rates = [param.lr_mult for param in layer.param]
        rates += [1.0] * (params - len(rates))
        learns = any(rates[:params])
        bottoms = [blob in needed for blob in layer.bottom]
        if net.force_backward:
            bottoms = [True] * len(bottoms)
        for i, down in enumerate(layer.propagate_down):
            bottoms[i] = bottoms[i] and down
        found.append((learns, bool(bottoms and bottoms[0])))
        needed -= {*layer.top}
        if layer.type not in _NOT_DIFFERENTIABLE and (learns or any(bottoms)):
            needed |= {*layer.top}
    return found


def _reach_a_loss(layers):
    """For each layer whether a loss depends on it."""
    wanted, found = set(), []
    for layer in reversed(layers):
        weights = list(layer.loss_weight) or [layer.type.endswith("Loss")]
        reaches = any(weights) or bool(wanted & {*layer.top})
        wanted -= {*layer.top} - {*layer.bottom}
        if reaches:
            wanted |= {*layer.bottom}
        found.append(reaches)
    return found[::-1]


def products(net):
    """The Products of a TrainingNet, in its order."""
    drawn = patterns(net.layers)
    found = []
    for layer, (learns, down), loss in zip(
        net.layers, _gradients(net), _reach_a_loss(net.layers)
    ):
        base = layer.type.removeprefix("ApproxDropout")
        sides = [], []
        if base != layer.type:
            sides = _dropped_sides(layer, drawn)
        for part, samples, count in _parts(net, layer, base):
            through_time = part == "recurrent"
            backward = learns + (down or through_time and learns)
            found.append(
                Product(
                    layer.name,
                    layer.type,
                    part,
                    samples,
                    count,
                    _share(sides[through_time]),
                    backward if loss else 0,
                )
            )
    return found
