"""The two families of patterns: what each index of K drops.

A pattern is a period n and a set of residues; unit u is kept if u mod n is one
of the residues (0-based; the paper's b is 1-based). K is a distribution over
the indices i = 1..N of a family, N being max_period:

PERIOD   i is the period; one residue of i is kept, (i - 1) / i is dropped
         (the paper's section III-A).
RESIDUE  the period is N, i is the number of residues kept; (N - i) / N is
         dropped.
"""

import math
import numbers

import numpy as np

FAMILIES = ("PERIOD", "RESIDUE")
MAX_PERIOD_LIMITS = {"PERIOD": 65535, "RESIDUE": 256}  # kept_cells.hpp


def check_family(family):
    """Raises ValueError unless `family` is the name of a family."""
    if family not in FAMILIES:
        raise ValueError(f"family is {family!r}, must be PERIOD or RESIDUE")


def check_integer(name, value, low, high):
    """Raises ValueError unless `value` is an integer in low..high."""
    integral = isinstance(value, numbers.Integral)
    if not integral or isinstance(value, bool) or not low <= value <= high:
        raise ValueError(
            f"{name} is {value!r}, must be an integer from {low} to {high}"
        )


def check_groups(groups, family, name="groups"):
    """Raises ValueError unless the family takes this many per pass."""
    check_integer(name, groups, 1, 2**31 - 1)
    if family == "PERIOD" and groups != 1:
        raise ValueError(f"{name} is {groups}, must be 1 for PERIOD")


def check_real(name, value, legal, is_legal):
    """Raises ValueError unless `value` is finite and is_legal(value)."""
    real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not real or not math.isfinite(value) or not is_legal(value):
        raise ValueError(f"{name} is {value!r}, must be {legal}")


def check_probability(probability):
    """K as a list of floats; ValueError unless it is N of them, none negative
    and one more than 0. They need not sum to 1."""
    k = np.asarray(probability, dtype=np.float64)
    if k.ndim != 1 or len(k) == 0:
        raise ValueError(
            f"probability has shape {k.shape}, must be (N,) with N >= 1"
        )
    for i, value in enumerate(k, 1):
        if not math.isfinite(value) or value < 0:
            raise ValueError(
                f"probability of {i} is {value}, must be finite and >= 0"
            )
    if not 0 < k.sum() < math.inf:
        raise ValueError(f"probability sums to {k.sum()}, must be > 0")
    return [float(value) for value in k]


def check_max_period(max_period, family):
    """Raises ValueError unless N, `max_period`, is legal for the family."""
    check_family(family)
    check_integer("max_period", max_period, 1, MAX_PERIOD_LIMITS[family])


def drop_rates(family, max_period):
    """The paper's pu: the rate that each index drops, (N,) float64."""
    check_max_period(max_period, family)
    i = np.arange(1, max_period + 1, dtype=np.float64)
    if family == "PERIOD":
        return (i - 1) / i
    return (max_period - i) / max_period


def log_multiplicity(family, max_period):
    """log c, (N,) float64: c sub-models share an index in the entropy.

    PERIOD counts the index alone (c = 1, the paper's entropy); RESIDUE counts
    the C(N, m) ways of choosing m residues.
    """
    if family == "PERIOD":
        return np.zeros(max_period)
    lgamma = math.lgamma
    return np.array(
        [
            lgamma(max_period + 1) - lgamma(m + 1) - lgamma(max_period - m + 1)
            for m in range(1, max_period + 1)
        ]
    )


def check_rate(dropout_ratio, family, max_period):
    """Raises ValueError unless some K of the family drops `dropout_ratio`.

    Legal rates are 0 up to (N - 1) / N, for both families; the message names
    the smallest N that would do, if there is one.
    """
    check_real(
        "dropout_ratio",
        dropout_ratio,
        "at least 0 and less than 1",
        lambda rate: 0 <= rate < 1,
    )
    highest = drop_rates(family, max_period).max()
    if dropout_ratio > highest:
        needed = math.ceil(1 / (1 - dropout_ratio) - 1e-9)
        if (needed - 1) / needed < dropout_ratio:
            needed += 1
        limit = MAX_PERIOD_LIMITS[family]
        remedy = f"must be at least {needed}"
        if needed > limit:
            remedy = f"can be {limit} at most, which drops {1 - 1 / limit:.6g}"
        raise ValueError(
            f"dropout_ratio is {dropout_ratio!r}, but {family} with max_period "
            f"{max_period} drops {highest:.6g} at most; max_period {remedy}"
        )


def tile_size_behind(units, tile_size, max_period):
    """The size of tiles behind this many units: tile_size, or less where a row
    would hold fewer than N of them."""
    return max(1, min(tile_size, units // max_period))
