"""The draw: Random123's vectors, the stated mapping, and its statistics."""

import collections
import itertools
import json
import math
import pathlib

import numpy as np
import pytest
from scipy import stats

from approx_dropout.draw import (
    _below,
    _choose,
    draw_pattern,
    fnv1a64,
    kept_units,
    philox4x32,
    sample_groups,
)
from approx_dropout.search import search

GOLDEN = pathlib.Path(__file__).with_name("golden_draws.json")


@pytest.mark.parametrize(
    "counter, key, output",
    [
        (
            "00000000 00000000 00000000 00000000",
            "00000000 00000000",
            "6627e8d5 e169c58d bc57ac4c 9b00dbd8",
        ),
        (
            "ffffffff ffffffff ffffffff ffffffff",
            "ffffffff ffffffff",
            "408f276d 41c83b0e a20bc7c6 6d5451fd",
        ),
        (
            "243f6a88 85a308d3 13198a2e 03707344",
            "a4093822 299f31d0",
            "d16cfe09 94fdcceb 5001e420 24126ea1",
        ),
    ],
)
def test_philox_known_answers(counter, key, output):
    counter, key, output = (
        [int(word, 16) for word in text.split()]
        for text in (counter, key, output)
    )
    assert list(philox4x32(counter, key)) == output


def test_fnv1a64_known_answers():
    assert fnv1a64(b"") == 0xCBF29CE484222325
    assert fnv1a64(b"a") == 0xAF63DC4C8601EC8C
    assert fnv1a64(b"foobar") == 0x85944171F73967E8


def reference_draw(probability, family, seed, layer, draw, groups):
    """The specification once more: all words first, then read by position."""
    key = seed ^ fnv1a64(layer.encode())
    words = []
    for block in range(400):
        words += philox4x32(
            (block, 0, draw % 2**32, draw // 2**32), (key % 2**32, key // 2**32)
        )
    words = collections.deque(words)

    def below(n):
        # Multiples of 2^32 mod n apart: w is used if its fraction is not
        # among the first 2^32 mod n.
        while True:
            quotient, fraction = divmod(words.popleft() * n, 2**32)
            if fraction >= 2**32 % n:
                return quotient

    high, low = words.popleft(), words.popleft()
    u = (high // 32 * 67108864.0 + low // 64) / 9007199254740992.0
    sums = np.cumsum(probability)
    i = next(
        i
        for i in range(1, len(sums) + 1)
        if probability[i - 1] > 0 and u * sums[-1] < sums[i - 1]
    )
    if family == "PERIOD":
        return i, [[below(i)]]
    residues, rest = [], []
    for _ in range(groups):
        taken, first = [], 0
        if len(rest) < i:
            taken, first = rest, len(rest)
            rest = sorted(set(range(len(sums))) - set(taken))
        for _ in range(i - first):
            k = below(len(rest))
            rest[0], rest[k] = rest[k], rest[0]
            taken.append(rest.pop(0))
        rest = rest + taken[:first]
        residues.append(sorted(taken))
    return len(sums), residues


@pytest.mark.parametrize(
    "family, groups", [("PERIOD", 1), ("RESIDUE", 1), ("RESIDUE", 5)]
)
def test_draw_is_as_specified(family, groups):
    for max_period, draw in itertools.product((1, 3, 16), range(20)):
        k = np.random.default_rng(max_period).random(max_period)
        found = draw_pattern(k, family, 12345678901, "p2", draw, groups)
        period, residues = reference_draw(
            k, family, 12345678901, "p2", draw, groups
        )
        assert found.period == period
        assert found.residues.tolist() == residues


def test_below_takes_another_word_where_the_first_is_not_uniform():
    """2^32 mod 3 = 1: product 0 mod 2^32 is refused, 3 is not."""
    words = iter([0, 1, 2**32 - 1])
    assert _below(words, 3) == 0
    assert _below(words, 3) == 2
    assert next(words, None) is None


def test_choice_where_rounding_leaves_none():
    """u total rounds up to total = 1.5."""
    assert _choose(iter([2**32 - 1] * 2), [0.75, 0.75, 0.0]) == 2
    assert _choose(iter([0, 0]), [0.0, 0.75, 0.75]) == 2


def test_golden_draws():
    cases = json.loads(GOLDEN.read_text(encoding="utf-8"))
    assert len(cases) >= 40
    for case in cases:
        found = draw_pattern(
            *(
                case[key]
                for key in (
                    "probability",
                    "family",
                    "seed",
                    "layer",
                    "draw",
                    "groups",
                )
            )
        )
        assert found.scale == case["scale"]
        assert found.period == case["period"]
        assert found.residues.tolist() == case["residues"]


def test_draw_is_a_pure_function():
    k = search(0.37).probability
    calls = [("a", 0), ("a", 1), ("b", 0), ("a", 2**33)]
    first = [draw_pattern(k, "RESIDUE", 7, *call, 3) for call in calls]
    again = [
        draw_pattern(k, "RESIDUE", 7, *call, 3) for call in reversed(calls)
    ][::-1]
    for x, y in zip(first, again):
        assert (x.scale, x.period) == (y.scale, y.period)
        assert x.residues.tolist() == y.residues.tolist()
    distinct = {json.dumps(x.residues.tolist()) for x in first}
    assert len(distinct) == len(calls)


def test_every_argument_matters():
    k = [0.0] * 7 + [1.0] + [0.0] * 8

    def residues(seed=1, layer="a", draw=0):
        return draw_pattern(k, "RESIDUE", seed, layer, draw).residues.tolist()

    others = [
        residues(seed=2),
        residues(seed=2**32 + 1),
        residues(layer="b"),
        residues(draw=1),
        residues(draw=2**32),
    ]
    assert residues() not in others
    assert len({json.dumps(x) for x in others}) == len(others)


def chi_square_p(counts, expected):
    return stats.chisquare(counts, expected).pvalue


def test_index_follows_k():
    k = np.array([0.4, 0, 0.3, 0.2, 0.1])
    draws = 8000
    counts = np.zeros(5)
    for draw in range(draws):
        counts[draw_pattern(k, "PERIOD", 11, "a", draw).period - 1] += 1
    assert counts[1] == 0
    assert chi_square_p(counts[k > 0], draws * k[k > 0]) > 1e-3


@pytest.mark.parametrize("period", [2, 3, 7])
def test_period_residue_is_uniform(period):
    k = [0.0] * (period - 1) + [1.0]
    counts = np.zeros(period)
    for draw in range(5000):
        pattern = draw_pattern(k, "PERIOD", 3, "b", draw)
        assert pattern.residues.shape == (1, 1)
        counts[pattern.residues[0, 0]] += 1
    assert chi_square_p(counts, np.full(period, 5000 / period)) > 1e-3


def test_residue_subsets_are_uniform():
    """All C(5, 2) = 10 subsets equally often, in each of six groups, of which
    the third and the sixth are dealt in two rounds.
    """
    index = {s: i for i, s in enumerate(itertools.combinations(range(5), 2))}
    draws = 4000
    counts = np.zeros((6, 10))
    for draw in range(draws):
        residues = draw_pattern(
            [0, 1, 0, 0, 0], "RESIDUE", 5, "c", draw, 6
        ).residues
        assert residues.shape == (6, 2)
        for group, kept in enumerate(residues):
            counts[group, index[tuple(kept)]] += 1
    for group in counts:
        assert chi_square_p(group, np.full(10, draws / 10)) > 1e-3


def test_pairs_of_groups_are_as_random_as_rounds_allow():
    """Of two groups with 2 of 5 each, all 30 pairs without a common residue,
    and 1 of 3 groups that keep 2 of 3 leaves each residue equally often.
    """
    draws = 6000
    pairs = collections.Counter(
        tuple(
            draw_pattern(
                [0, 1, 0, 0, 0], "RESIDUE", 6, "c", draw, 2
            ).residues.ravel()
        )
        for draw in range(draws)
    )
    assert all(len(set(pair)) == 4 for pair in pairs)
    assert len(pairs) == 30
    assert chi_square_p([*pairs.values()], np.full(30, draws / 30)) > 1e-3
    left_out = collections.Counter(
        tuple(
            3
            - draw_pattern([0, 1, 0], "RESIDUE", 6, "c", draw, 3).residues.sum(
                1
            )
        )
        for draw in range(draws)
    )
    assert sorted(left_out) == sorted(itertools.permutations(range(3)))
    assert chi_square_p([*left_out.values()], np.full(6, draws / 6)) > 1e-3


@pytest.mark.parametrize("rate", [0.3, 0.5, 0.7])
@pytest.mark.parametrize("groups", [2, 3, 5])
def test_groups_keep_every_residue_equally_often(rate, groups):
    k = search(rate, "RESIDUE", 10).probability
    for draw in range(200):
        residues = draw_pattern(k, "RESIDUE", 4, "e", draw, groups).residues
        counts = np.bincount(residues.ravel(), minlength=10)
        assert counts.max() - counts.min() <= 1
        assert all(len(set(group)) == len(group) for group in residues)


def test_draws_and_layers_are_independent():
    """Consecutive draws, and the same draws of two layers."""
    k = [0, 1, 0]
    index = {(0, 1): 0, (0, 2): 1, (1, 2): 2}
    kept = {
        layer: [
            index[tuple(draw_pattern(k, "RESIDUE", 9, layer, draw).residues[0])]
            for draw in range(6000)
        ]
        for layer in ("a", "b")
    }
    for x, y in ((kept["a"][:-1], kept["a"][1:]), (kept["a"], kept["b"])):
        table = np.zeros((3, 3))
        np.add.at(table, (x, y), 1)
        assert chi_square_p(table.ravel(), np.full(9, len(x) / 9)) > 1e-3


@pytest.mark.parametrize(
    "family, rate, max_period",
    [
        ("PERIOD", 0.5, 8),
        ("PERIOD", 0.37, 16),
        ("RESIDUE", 0.5, 16),
        ("RESIDUE", 0.7, 16),
    ],
)
def test_every_unit_is_dropped_at_the_rate(family, rate, max_period):
    result = search(rate, family, max_period)
    draws, units = 3000, 37
    dropped = np.full(units, draws, dtype=float)
    for draw in range(draws):
        pattern = draw_pattern(result.probability, family, 2, "d", draw)
        dropped[kept_units(pattern.period, pattern.residues[0], units)] -= 1
        assert pattern.scale == pytest.approx(1 / (1 - result.rate), rel=1e-12)
    # 4.5 standard deviations of a binomial: 37 units miss it once in 4000.
    margin = 4.5 * math.sqrt(rate * (1 - rate) / draws)
    assert np.abs(dropped / draws - rate).max() < margin + 1e-3


def test_scale_is_of_the_k_given():
    assert draw_pattern([1, 0], "PERIOD", 0, "a", 0).scale == 1
    assert draw_pattern([0, 3], "PERIOD", 0, "a", 0).scale == 2
    assert draw_pattern([1, 0, 0, 0], "RESIDUE", 0, "a", 0).scale == 4
    # Not of what the draw happens to keep: 1 / (1 - 1 / 4) both times.
    scales = {
        (p.period, p.scale)
        for p in (
            draw_pattern([2, 2], "PERIOD", 0, "a", draw) for draw in range(20)
        )
    }
    assert scales == {(1, 4 / 3), (2, 4 / 3)}


def test_everything_kept():
    pattern = draw_pattern([0] * 15 + [1], "RESIDUE", 1, "a", 5, 2)
    assert pattern.residues.tolist() == [list(range(16))] * 2
    assert (pattern.scale, pattern.period) == (1, 16)


def test_samples_go_on_from_group_to_group():
    assert sample_groups(3, 4, 2).tolist() == [
        [0, 0, 1, 1],
        [1, 1, 0, 0],
        [0, 0, 1, 1],
    ]
    assert sample_groups(2, 3, 3).tolist() == [[0, 1, 2], [1, 2, 0]]
    assert sample_groups(1, 5, 1).tolist() == [[0] * 5]
    with pytest.raises(ValueError, match="is 2, must divide the 5 samples"):
        sample_groups(2, 5, 2)
    with pytest.raises(ValueError, match="groups is 3, must be .* 1 to 2"):
        sample_groups(1, 2, 3)


@pytest.mark.parametrize(
    "period, residues, units",
    [
        (3, [1], 10),
        (16, [0, 5, 15], 37),
        (8, [6], 5),
        (1, [0], 4),
        (16, list(range(16)), 33),
    ],
)
def test_kept_units_against_brute_force(period, residues, units):
    wanted = [u for u in range(units) if u % period in residues]
    assert kept_units(period, residues, units).tolist() == wanted


@pytest.mark.parametrize(
    "change, message",
    [
        (dict(probability=[]), r"probability has shape \(0,\)"),
        (dict(probability=[[1]]), r"probability has shape \(1, 1\)"),
        (dict(probability=[0, 0]), "probability sums to 0"),
        (dict(probability=[1, -1]), "probability of 2 is -1"),
        (dict(probability=[1, math.nan]), "probability of 2 is nan"),
        (dict(family="TILE"), "family is 'TILE'"),
        (dict(family="PERIOD", groups=2), "groups is 2, must be 1 for PERIOD"),
        (dict(groups=0), "groups is 0"),
        (dict(seed=-1), "seed is -1"),
        (dict(draw=2**64), "draw is 18446744073709551616"),
    ],
)
def test_illegal_arguments_are_refused(change, message):
    arguments = dict(
        probability=[0.5, 0.5],
        family="RESIDUE",
        seed=0,
        layer="a",
        draw=0,
        groups=1,
    )
    with pytest.raises(ValueError, match=message):
        draw_pattern(**{**arguments, **change})
