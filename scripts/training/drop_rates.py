"""The share of units, or of synapses with TILE, that a training dropped."""

import collections

import numpy as np

from approx_dropout import draw, families
from project import import_caffe


def read_state(path):
    """The DropoutPatterns of a solver state, see approx_dropout.state."""
    import_caffe()
    from approx_dropout import state

    return state.read_state(path)


def layer_rates(layer, groups):
    """What one DropoutPattern drew, in all its draws.

    layer: one of approx_dropout.state.read_state's.
    Returns `expected`, the drop rate under K, and `realised`, the mean over
    the draws; `probability`, K; the number of `draws` and of different
    `sub_models` among their patterns, of which each draw has `groups`; and
    `kept`, {period: how many patterns of that period kept residue 0, 1, ...},
    from which unit_rates takes every unit's own rate.
    """
    rates = families.drop_rates(layer.family, len(layer.probability))
    drawn = collections.Counter()
    for number in range(layer.draws):
        pattern = draw.draw_pattern(
            layer.probability,
            layer.family,
            layer.seed,
            layer.layer,
            number,
            groups,
        )
        drawn.update((pattern.period, *kept) for kept in pattern.residues)
    kept = {}
    for (period, *residues), count in drawn.items():
        counts = kept.setdefault(period, [0] * period)
        for residue in residues:
            counts[residue] += count
    dropped = [1 - (len(pattern) - 1) / pattern[0] for pattern in drawn]
    return {
        "expected": float(np.average(rates, weights=layer.probability)),
        "realised": float(np.average(dropped, weights=list(drawn.values()))),
        "probability": [float(k) for k in layer.probability],
        "draws": layer.draws,
        "sub_models": len(drawn),
        "kept": {str(period): kept[period] for period in sorted(kept)},
    }


def unit_rates(layer, groups, units):
    """How often each unit was dropped, (units,).

    layer: of layer_rates. With TILE the units are the diagonals of tiles.
    """
    kept = np.zeros(units)
    for counts in layer["kept"].values():
        kept += np.resize(counts, units)
    return 1 - kept / (layer["draws"] * groups)


def unit_deviation(layer, family, groups):
    """The standard deviation of a unit's rate that chance gives it.

    layer: of layer_rates. Of `groups` patterns that keep a share s, groups * s
    keep a unit, rounded up or down (approx_dropout.draw).
    """
    K = layer["probability"]
    shares = 1 - families.drop_rates(family, len(K))
    rounded_up = groups * shares % 1  # probability that it is rounded up
    mean = np.average(shares, weights=K)
    variance = np.average(
        rounded_up * (1 - rounded_up) / groups**2 + (shares - mean) ** 2,
        weights=K,
    )
    return float(np.sqrt(variance / layer["draws"]))


def drop_rates(experiment, state_file):
    """What a finished training dropped, from its last solver state.

    Returns expected and realised rate, the mean over the layers, and each
    DropoutPattern's own. Conventional dropout gives its dropout_ratio.
    """
    if not experiment.pattern:
        mean = float(np.mean(experiment.rates or (0,)))
        return {"expected": mean, "realised": mean, "layers": {}}
    groups = {
        f"pattern{place}": number
        for place, number in enumerate(experiment.place_groups, 1)
    }
    found = {layer.layer: layer for layer in read_state(state_file)}
    for name in groups:
        draws = found[name].draws if name in found else None
        if draws is None or draws > experiment.max_iter:
            raise ValueError(
                f"{state_file}: DropoutPattern layer '{name}' has {draws} "
                f"draws; legal: up to one an iteration, {experiment.max_iter}"
            )
    layers = {name: layer_rates(found[name], groups[name]) for name in groups}
    return {
        kind: float(np.mean([rates[kind] for rates in layers.values()]))
        for kind in ("expected", "realised")
    } | {"layers": layers}
