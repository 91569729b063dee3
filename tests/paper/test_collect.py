"""The statistics of the paper's report."""

import numpy as np
import pytest
from scipy import stats

from paper import collect


def test_interval_is_the_paired_t_test_s():
    mine = {1: 97.1, 2: 96.4, 3: 97.9, 5: 96.6}
    other = {1: 97.0, 2: 96.9, 3: 97.3, 4: 90.0, 5: 96.1}
    numbers = collect.compared(mine, other)
    seeds = [1, 2, 3, 5]
    test = stats.ttest_rel([mine[s] for s in seeds], [other[s] for s in seeds])
    assert numbers["pairs"] == 4
    assert numbers["difference"] == pytest.approx(0.175)
    assert numbers["interval"] == pytest.approx(
        list(test.confidence_interval(0.95))
    )
    assert numbers["percent"] == pytest.approx(
        np.mean([100 * (mine[s] / other[s] - 1) for s in seeds])
    )


def test_too_few_values():
    assert collect.mean_and_error([]) == (None, None)
    assert collect.mean_and_error([2.0]) == (2, None)
    assert collect.interval([0.5]) is None
    assert collect.interval([0.5, 0.5]) == [0.5, 0.5]
    assert collect.compared({1: 2.0}, {2: 1.0})["difference"] is None


def test_what_is_measured():
    tests = [
        {"split": "valid", "accuracy": 0.1, "perplexity": 9.0},
        {"split": "test", "accuracy": 0.25, "perplexity": 8.0},
        {"split": "valid", "accuracy": 0.2, "perplexity": None},
    ]
    assert collect.final_score(tests, "accuracy") == 25
    assert collect.final_score(tests, "perplexity") == 8
    tests.append({"split": "test", "accuracy": None, "perplexity": None})
    assert collect.final_score(tests, "accuracy") is None
    assert collect.final_score([{"accuracy": 0.5}], "accuracy") == 50


@pytest.mark.parametrize(
    "values, expected",
    [
        ([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11], (None, 9)),
        # At epoch 12 the mean of five is 4.6, after 5; before that it rose.
        ([1, 2, 3, 4, 5, 6, 7, 5, 5, 4, 4, 5, 9], (12, 4.6)),
        ([5, 5, 5, 5, 5, 5, 5, 5, 5, 5], (10, 5)),
        ([3, 2], (None, 2.5)),
    ],
)
def test_where_a_training_stops_rising(values, expected):
    tests = [
        {"epoch": epoch, "accuracy": value / 100}
        for epoch, value in enumerate(values, 1)
    ]
    epoch, mean = collect.settled({"tests": tests}, "accuracy")
    assert (epoch, mean) == (expected[0], pytest.approx(expected[1]))
