"""How often units were dropped, against the draws themselves."""

import json

import numpy as np
import pytest

from approx_dropout import draw
from approx_dropout.search import search
from approx_dropout.state import PatternState
from training import drop_rates


@pytest.mark.parametrize(
    "family, groups", [("PERIOD", 1), ("RESIDUE", 1), ("RESIDUE", 4)]
)
def test_unit_rates_are_those_of_the_draws(family, groups):
    units, draws = 37, 60
    K = search(0.6, family, 8).probability
    state = PatternState("pattern1", family, K, 5, draws)
    layer = drop_rates.layer_rates(state, groups)
    layer = json.loads(json.dumps(layer))  # as from metrics.json
    kept, different = np.zeros(units), set()
    for number in range(draws):
        pattern = draw.draw_pattern(K, family, 5, "pattern1", number, groups)
        for residues in pattern.residues:
            kept[draw.kept_units(pattern.period, residues, units)] += 1
            different.add((pattern.period, *residues))
    np.testing.assert_allclose(
        drop_rates.unit_rates(layer, groups, units),
        1 - kept / (draws * groups),
        atol=1e-12,
    )
    assert layer["sub_models"] == len(different)
    assert layer["draws"] == draws
    assert layer["probability"] == pytest.approx(list(K))
    shares = [
        1 - len(draw.draw_pattern(K, family, 5, "pattern1", n, 1).residues[0])
        / (draw.draw_pattern(K, family, 5, "pattern1", n, 1).period)
        for n in range(draws)
    ]  # fmt: skip
    assert layer["realised"] == pytest.approx(np.mean(shares))


@pytest.mark.parametrize(
    "family, rate, groups",
    [
        ("PERIOD", 0.6, 1),
        ("RESIDUE", 0.6, 1),
        ("RESIDUE", 0.6, 3),
        ("RESIDUE", 0.5, 5),
    ],
)
def test_unit_deviation_is_that_of_the_draws(family, rate, groups):
    draws = 4000
    K = search(rate, family, 8).probability
    layer = {"probability": [float(k) for k in K], "draws": draws}
    kept = np.zeros(draws)
    for number in range(draws):
        pattern = draw.draw_pattern(K, family, 5, "pattern1", number, groups)
        for residues in pattern.residues:
            kept[number] += 3 % pattern.period in residues
    assert drop_rates.unit_deviation(layer, family, groups) == pytest.approx(
        (kept / groups).std() / draws**0.5, rel=0.1
    )


def test_nothing_is_left_to_chance_where_groups_keep_units_equally_often():
    layer = {"probability": [0, 0, 0, 1, 0, 0, 0, 0], "draws": 10}
    assert drop_rates.unit_deviation(layer, "RESIDUE", 2) == 0
