"""The command line of inspect: approx-dropout inspect, see --help."""

from . import models
from .log_table import aligned
from .multiply_adds import Pattern, bound, patterns, products, totals
from .net_shapes import training_net
from .shapes import blob_shape
from .state import read_solver_state

_DESCRIPTION = """\
Of a solver state, .solverstate or .solverstate.h5: iteration, weights, and of
every DropoutPattern its K, the drop rate that it gives, seed and draws.

Of a prototxt of a net or solver: the multiply-adds of the matrix products in
training, in full and as kept in expectation over K, and the bound that they
set to the speed-up of a step.

Of a .caffemodel or .caffemodel.h5: its layers and the shapes of their blobs."""


def add_arguments(parser):
    """Adds the arguments of inspect to a parser."""
    parser.description = _DESCRIPTION
    parser.add_argument("file", metavar="FILE")
    parser.add_argument(
        "--shape",
        type=blob_shape,
        action="append",
        default=[],
        metavar="BLOB:SIZES",
        help="shape of a data layer's top whose data are not here, as in "
        "data:32,3,224,224; its other tops then hold one value per sample",
    )


def run(arguments):
    """Prints what the file holds; ValueError if it is none of these."""
    path = arguments.file
    kind = models.kind(path)
    if kind == "solver state":
        lines = state_lines(path)
    elif kind == "model":
        lines = model_lines(path)
    else:
        net = models.read_net_or_solver(path)
        lines = net_lines(training_net(net, dict(arguments.shape)))
    print(f"{path}:", *lines, sep="\n")


def _pattern_row(pattern, *more):
    return [
        pattern.layer,
        pattern.family,
        str(len(pattern.probability)),
        *map(str, more),
        f"{pattern.rate:.6f}",
        f"{pattern.spread:.6f}",
        _compact(pattern.probability),
    ]


def _compact(probability):
    """K in a few words: entries of 0.001 and more, and how many are left."""
    k = probability / probability.sum()
    shown = [f"{i}: {p:.3g}" for i, p in enumerate(k, 1) if p >= 1e-3]
    rest = k[k < 1e-3].sum()
    if rest:
        shown.append(f"{len(k) - len(shown)} others: {rest:.2g}")
    return ", ".join(shown)


def state_lines(path):
    """What a solver state holds, as lines."""
    state = read_solver_state(path)
    yield f"solver state after iteration {state.iteration}"
    yield f"weights in {state.learned_net or '(not said)'}"
    if not state.patterns:
        yield "no dropout patterns: stock Caffe's, or of a net without any"
        return
    rows = []
    for s in state.patterns:
        if len(s.probability):
            drawn = Pattern(s.layer, s.family, 1, s.probability)
            rows.append(_pattern_row(drawn, s.seed, s.draws))
        else:
            rows.append(
                [
                    s.layer,
                    s.family,
                    "-",
                    str(s.seed),
                    str(s.draws),
                    "-",
                    "-",
                    "none before the first draw",
                ]
            )
    heads = ["pattern", "family", "N", "seed", "draws", "rate", "spread", "K"]
    yield from ("", *aligned(heads, rows, left=(0, 1, -1)))


def _count(value):
    """1234567 as 1.23 M."""
    for unit in ("", " k", " M", " G", " T"):
        if value < 999.5:
            return f"{value:.3g}{unit}"
        value /= 1000
    return f"{value:.3g} P"


def net_lines(net):
    """A TrainingNet's multiply-adds, as lines."""
    drawn = patterns(net.layers)
    found = products(net)
    if not found:
        yield "no layer of the net in training multiplies matrices"
        return
    rows = []
    for p in found:
        backward = p.backward * p.forward_full
        rows.append([
            f"{p.layer} ({p.part})" if p.part else p.layer,
            p.type, _count(p.count), str(p.samples), _count(p.forward_full),
            _count(backward), f"{p.share:.2%}",
        ])  # fmt: skip
    (forward, forward_kept), (backward, backward_kept) = totals(found)
    kept = (forward_kept + backward_kept) / (forward + backward)
    rows.append(["all", "", "", "", _count(forward), _count(backward),
                 f"{kept:.2%}"])  # fmt: skip
    yield "multiply-adds of the matrix products in training"
    yield ""
    heads = ["layer", "type", "per sample", "samples", "forward", "backward",
             "kept"]  # fmt: skip
    yield from aligned(heads, rows, left=(0, 1))
    yield ""
    said = f"bound of the speed-up: {bound(found):.3g}, "
    said += f"forward {forward / forward_kept:.3g}"
    if backward:
        said += f", backward {backward / backward_kept:.3g}"
    yield said
    if not backward:
        yield "nothing is backward: no loss, or no parameter learns"
    if drawn:
        rows = [
            _pattern_row(p, p.groups)
            for p in {p.layer: p for p in drawn.values()}.values()
        ]
        heads = ["pattern", "family", "N", "groups", "rate", "spread", "K"]
        yield from ("", *aligned(heads, rows, left=(0, 1, -1)))


def model_lines(path):
    """A .caffemodel's layers, as lines."""
    layers = [x for x in models.read_model(path) if x.type != "Split"]
    rows, ours = [], []
    for layer in layers:
        shapes = ", ".join("x".join(map(str, s)) for s in layer.shapes)
        rows.append([layer.name, layer.type, shapes])
        if layer.type in models.OUR_TYPES:
            ours.append(layer.type)
    yield f"weights of {len(layers)} layers"
    yield ""
    yield from aligned(["layer", "type", "blobs"], rows, left=(0, 1, 2))
    yield ""
    count = sum(layer.count for layer in layers)
    yield f"{count} parameters"
    if any(layer.type == "?" for layer in layers):
        yield "HDF5 holds no types of layers"
    elif ours:
        yield f"types of this project's: {', '.join(dict.fromkeys(ours))}"
    else:
        yield "all types are Caffe's own"
