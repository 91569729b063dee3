"""The share of units, or of synapses with TILE, that a training dropped."""

import sys

import numpy as np

from experiments import ROOT

sys.path += [str(ROOT / "python_layers"), str(ROOT / "build/caffe/python")]


def layer_rates(layer, groups):
    """Expected rate under K and realised mean over the draws made.

    layer: one of approx_dropout.state.read_state's.
    """
    from approx_dropout import draw, families

    rates = families.drop_rates(layer.family, len(layer.probability))
    patterns = [
        draw.draw_pattern(
            layer.probability,
            layer.family,
            layer.seed,
            layer.layer,
            number,
            groups,
        )
        for number in range(layer.draws)
    ]
    dropped = [1 - p.residues.shape[1] / p.period for p in patterns]
    return {
        "expected": float(np.average(rates, weights=layer.probability)),
        "realised": float(np.mean(dropped)),
        "draws": layer.draws,
    }


def drop_rates(experiment, state_file):
    """What a finished training dropped, from its last solver state.

    Returns expected and realised rate, the mean over the layers, and each
    DropoutPattern's own. Conventional dropout gives its dropout_ratio.
    """
    if not experiment.pattern:
        mean = float(np.mean(experiment.rates or (0,)))
        return {"expected": mean, "realised": mean, "layers": {}}
    from approx_dropout.state import read_state

    layers = {
        layer.layer: layer_rates(layer, experiment.groups)
        for layer in read_state(state_file)
    }
    return {
        kind: float(np.mean([rates[kind] for rates in layers.values()]))
        for kind in ("expected", "realised")
    } | {"layers": layers}
