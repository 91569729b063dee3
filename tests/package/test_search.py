"""The search for K: constraints, gradient, closed form, refusals."""

import math
import time
import warnings

import numpy as np
import pytest

from approx_dropout.families import drop_rates, log_multiplicity
from approx_dropout.search import closed_form, loss_and_slope, search

RATES = [0.05, 0.1, 0.25, 1 / 3, 0.37, 0.5, 0.63, 0.7, 0.75, 0.85, 0.9]
PERIODS = [2, 3, 4, 5, 7, 8, 10, 13, 16, 31, 32, 48, 64]
REACHABLE = [(p, n) for n in PERIODS for p in RATES if p <= (n - 1) / n]


def brute_force_drop_rate(family, max_period, i):
    """Dropped fraction of a whole number of periods, counted."""
    period, kept = (i, 1) if family == "PERIOD" else (max_period, i)
    units = np.arange(period * 6)
    return np.mean(~np.isin(units % period, np.arange(kept)))


@pytest.mark.parametrize("family", ["PERIOD", "RESIDUE"])
@pytest.mark.parametrize("max_period", [1, 2, 7, 16])
def test_drop_rates_are_those_of_the_patterns(family, max_period):
    pu = drop_rates(family, max_period)
    assert pu.shape == (max_period,)
    for i in range(1, max_period + 1):
        assert pu[i - 1] == pytest.approx(
            brute_force_drop_rate(family, max_period, i), abs=1e-15
        )


def test_multiplicity_counts_sub_models():
    assert np.exp(log_multiplicity("RESIDUE", 16)) == pytest.approx(
        [math.comb(16, m) for m in range(1, 17)], rel=1e-12
    )
    assert np.exp(log_multiplicity("RESIDUE", 16))[7] == pytest.approx(12870)
    assert not log_multiplicity("PERIOD", 16).any()
    assert np.isfinite(log_multiplicity("RESIDUE", 256)).all()


@pytest.mark.parametrize("family", ["PERIOD", "RESIDUE"])
def test_defaults_reach_every_rate(family):
    for p, max_period in REACHABLE:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            result = search(p, family, max_period)
        k = result.probability
        assert k.shape == (max_period,) and k.dtype == np.float64
        assert (k >= 0).all() and k.sum() == pytest.approx(1, abs=1e-12)
        assert abs(result.rate - p) < 1e-3, (p, max_period)
        pu = drop_rates(family, max_period)
        assert result.rate == pytest.approx(k @ pu, abs=1e-15)
        assert result.spread == pytest.approx(
            math.sqrt(k @ pu**2 - result.rate**2), abs=1e-7
        )
        assert result.iterations > 0


@pytest.mark.parametrize("lambda3", [0, 0.3])
@pytest.mark.parametrize("family", ["PERIOD", "RESIDUE"])
def test_gradient_against_finite_differences(family, lambda3):
    pu, log_c = drop_rates(family, 9), log_multiplicity(family, 9)
    v = np.random.default_rng(5).normal(0, 1, 9)

    def loss(v):
        return loss_and_slope(v, pu, log_c, 0.37, (0.7, 0.4, lambda3))[0]

    step = 1e-5
    numeric = [
        (loss(v + step * e) - loss(v - step * e)) / (2 * step)
        for e in np.eye(9)
    ]
    _, d, slope = loss_and_slope(v, pu, log_c, 0.37, (0.7, 0.4, lambda3))
    assert d * slope == pytest.approx(numeric, rel=1e-6, abs=1e-9)
    assert np.abs(numeric).max() > 1e-3


def test_loss_is_the_papers():
    """Lines 4 to 7 of Algorithm 1, written out with loops."""
    v = np.array([0.3, -1.0, 0.2, 1.5])
    d = np.exp(v) / np.exp(v).sum()
    pu = [0, 1 / 2, 2 / 3, 3 / 4]
    rate = sum(d[i] * pu[i] for i in range(4))
    entropy = sum(d[i] * math.log(d[i]) for i in range(4)) / 4
    loss = 0.9 * (rate - 0.6) ** 2 + 0.1 * entropy
    found = loss_and_slope(
        v,
        drop_rates("PERIOD", 4),
        log_multiplicity("PERIOD", 4),
        0.6,
        (0.9, 0.1, 0),
    )
    assert found[0] == pytest.approx(loss, rel=1e-12)


@pytest.mark.parametrize("family", ["PERIOD", "RESIDUE"])
def test_closed_form_is_the_constrained_maximum(family):
    for p, max_period in REACHABLE:
        d = closed_form(p, family, max_period)
        pu, log_c = (
            drop_rates(family, max_period),
            log_multiplicity(family, max_period),
        )
        assert d @ pu == pytest.approx(p, abs=1e-12)
        inside = d > 1e-200
        if inside.sum() < 3 or p == (max_period - 1) / max_period:
            continue
        # log(d / c) is a straight line over pu: the condition of Lagrange.
        line = np.polyfit(pu[inside], (np.log(d[inside]) - log_c[inside]), 1)
        assert np.polyval(line, pu[inside]) == pytest.approx(
            np.log(d[inside]) - log_c[inside], abs=1e-6
        )


@pytest.mark.parametrize("family", ["PERIOD", "RESIDUE"])
def test_search_agrees_with_closed_form(family):
    for p, max_period in REACHABLE:
        result = search(p, family, max_period, lambda3=0)
        exact = closed_form(result.rate, family, max_period)
        assert np.abs(result.probability - exact).max() < 1e-6
        if p < (max_period - 1) / max_period - 0.01:
            exact = closed_form(p, family, max_period)
            assert np.abs(result.probability - exact).max() < 2e-3


def test_entropy_pulls_towards_uniform():
    """With the rate all but ignored, PERIOD's K is uniform."""
    with pytest.warns(UserWarning, match="gives"):
        result = search(0.2, "PERIOD", 8, lambda1=1e-9, lambda2=1)
    assert result.probability == pytest.approx(np.full(8, 1 / 8), abs=1e-4)
    assert result.entropy == pytest.approx(math.log(8), abs=1e-6)


def test_variance_term_lowers_the_spread():
    spreads = [
        search(0.5, "PERIOD", 16, lambda3=x).spread for x in (0, 1e-5, 1e-4)
    ]
    assert spreads[0] > spreads[1] > spreads[2]


def test_residue_defaults_keep_the_nearest_counts():
    for p, max_period in REACHABLE:
        k = search(p, "RESIDUE", max_period).probability
        wanted = (1 - p) * max_period
        distance = np.abs(np.arange(1, max_period + 1) - wanted)
        nearest = np.argsort(distance, kind="stable")[:2]
        assert k[nearest].sum() > 0.999, (p, max_period)
        assert distance[nearest[0]] <= 0.5


def test_rate_one_half_of_sixteen_keeps_eight():
    result = search(0.5, "RESIDUE", 16)
    assert result.probability[7] > 0.999
    assert result.entropy == pytest.approx(math.log(12870), abs=2e-3)


def test_same_seed_same_k():
    first, again = search(0.37, seed=3), search(0.37, seed=3)
    assert first.probability.tobytes() == again.probability.tobytes()
    other = search(0.37, seed=4)
    assert first.probability.tobytes() != other.probability.tobytes()
    assert first.probability == pytest.approx(other.probability, abs=1e-4)


@pytest.mark.parametrize("max_period", [1, 2, 16])
def test_rate_zero_keeps_everything(max_period):
    for family, index in (("PERIOD", 0), ("RESIDUE", max_period - 1)):
        for k in (
            search(0, family, max_period).probability,
            closed_form(0, family, max_period),
        ):
            assert k.tolist() == [float(i == index) for i in range(max_period)]
        result = search(0, family, max_period)
        assert (result.rate, result.spread, result.iterations) == (0, 0, 0)
        assert result.entropy == 0


def test_highest_rate_is_reached():
    for family, index in (("PERIOD", 9), ("RESIDUE", 0)):
        assert abs(search(0.9, family, 10).rate - 0.9) < 1e-3
        assert closed_form(0.9, family, 10)[index] == 1


@pytest.mark.parametrize("family", ["PERIOD", "RESIDUE"])
@pytest.mark.parametrize(
    "rate, max_period, needed",
    [
        (0.95, 16, 20),
        (0.51, 2, 3),
        (0.9, 9, 10),
        (0.1, 1, 2),
        (2 / 3, 2, 3),
        (0.99, 64, 100),
        (0.98, 49, 50),
    ],
)
def test_unreachable_rate_names_the_period(family, rate, max_period, needed):
    for function in (search, closed_form):
        with pytest.raises(ValueError, match=f"at least {needed}$"):
            function(rate, family, max_period)
    search(rate, family, needed)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (dict(dropout_ratio=-0.1), "dropout_ratio is -0.1"),
        (
            dict(dropout_ratio=1),
            "dropout_ratio is 1, must be at least 0 and less",
        ),
        (dict(dropout_ratio=float("nan")), "dropout_ratio is nan"),
        (dict(dropout_ratio="0.5"), "dropout_ratio is '0.5'"),
        (dict(dropout_ratio=True), "dropout_ratio is True"),
        (
            dict(dropout_ratio=0.998),
            "max_period can be 256 at most, which drops 0.996094",
        ),
        (dict(dropout_ratio=1 - 2**-53, family="PERIOD"), "can be 65535"),
        (dict(family="ROW"), "family is 'ROW', must be PERIOD or RESIDUE"),
        (
            dict(max_period=0),
            "max_period is 0, must be an integer from 1 to 256",
        ),
        (
            dict(max_period=65536, family="PERIOD"),
            "max_period is 65536, must be an integer from 1 to 65535",
        ),
        (dict(max_period=257), "max_period is 257"),
        (dict(max_period=16.0), "max_period is 16.0"),
        (dict(lambda1=0), "lambda1 is 0, must be greater than 0"),
        (dict(lambda2=-1), "lambda2 is -1"),
        (dict(lambda2=float("inf")), "lambda2 is inf"),
        (dict(lambda3=-1e-9), "lambda3 is -1e-09, must be at least 0"),
        (dict(seed=-1), "seed is -1"),
    ],
)
def test_illegal_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        search(**{"dropout_ratio": 0.5, **arguments})


def test_own_lambdas_that_miss_are_warned_of():
    with pytest.warns(UserWarning, match="gives 0.[0-9]+"):
        result = search(0.3, "PERIOD", 16, lambda1=0.5, lambda2=0.5)
    assert abs(result.rate - 0.3) > 1e-3


def test_search_is_fast():
    start = time.monotonic()
    for family in ("PERIOD", "RESIDUE"):
        for max_period in (16, 64):
            search(0.7, family, max_period)
    assert time.monotonic() - start < 2
