"""The search for K, the distribution over a family's patterns.

Algorithm 1 of the paper (section III-C) with one term more, in plain numpy.
With d = softmax(v), over v in R^N,

    loss = lambda1 (d.pu - p)^2
         + lambda2 (1/N) sum_i d_i log(d_i / c_i)
         + lambda3 sum_i d_i (pu_i - d.pu)^2

p is the dropout_ratio, pu the rates that the family's indices drop and c how
many sub-models share an index (see families.py). PERIOD with lambda3 = 0 is
the paper's loss; the third term holds down the variance of the dropped
fraction from one iteration to the next.

How v is updated. Write E = d.pu, dev = pu - E, g = d loss / d d and
slope = g - d.g, so that the gradient over v is d * slope. A plain gradient
step hardly moves an unlikely index (the factor d_i), and the first term is
some 10^5 times steeper along dev than the entropy is across it. So each step
divides the gradient by its curvature: by d_i, then by
    a = lambda2 / N                                      in every direction but
    a + 2 max(lambda1 - lambda3, 0) sum_i d_i dev_i^2    along dev.
The step is halved until the loss falls. Nothing is corrected afterwards: K is
softmax(v), and the rate it gives is what the optimiser reached.

When it stops. The paper stops when the loss changes by less than a threshold.
The loss is convex in d if lambda1 >= lambda3, so that it can fall by no more
than -min(slope) however long one went on; the search stops when that is less
than the threshold.

Which lambdas. At the minimum lambda1 leaves a miss of E - p =
-beta lambda2 / (2 N lambda1), with beta as in closed_form, hence
lambda1 : lambda2 = 10^5 (their sum is 1, as in the paper). RESIDUE's lambda3 =
10^-4 N makes a third count at least exp(-lambda3 / (lambda2 N)) = e^-10 times
less likely than the two next to (1 - p) N, and moves E by less than 10^-4.
"""

import dataclasses
import math
import warnings

import numpy as np

from .families import (
    check_integer,
    check_rate,
    check_real,
    drop_rates,
    log_multiplicity,
)

LAMBDA1 = 1 - 1e-5
LAMBDA2 = 1e-5
RESIDUE_LAMBDA3_PER_PERIOD = 1e-4
PERIOD_LAMBDA3 = 1e-4  # what nets need to learn well; not search's default
RATE_TOLERANCE = 1e-3
MAX_ITERATIONS = 1000


@dataclasses.dataclass(frozen=True)
class SearchResult:
    """K and what it gives.

    probability: K, (N,) float64, read-only; [i - 1] is that of index i.
    rate: the drop rate that K gives, d.pu.
    entropy: -sum d log(d / c), in nats.
    spread: standard deviation of the dropped fraction.
    iterations: number of updates of v.
    """

    probability: np.ndarray
    rate: float
    entropy: float
    spread: float
    iterations: int


def loss_and_slope(v, pu, log_c, dropout_ratio, lambdas):
    """The loss at v, and its gradient.

    v, pu, log_c: (N,) float64; lambdas: (lambda1, lambda2, lambda3).
    Returns (loss, d, slope), d and slope (N,); the gradient of the loss over
    v is d * slope, and d.slope = 0.
    """
    lambda1, lambda2, lambda3 = lambdas
    log_d = v - v.max()
    log_d -= math.log(np.exp(log_d).sum())
    d = np.exp(log_d)
    mean = d @ pu
    squared = (pu - mean) ** 2
    variance = d @ squared
    log_ratio = log_d - log_c
    mean_log_ratio = d @ log_ratio
    weight = lambda2 / len(v)
    loss = (
        lambda1 * (mean - dropout_ratio) ** 2
        + weight * mean_log_ratio
        + lambda3 * variance
    )
    slope = (
        2 * lambda1 * (mean - dropout_ratio) * (pu - mean)
        + weight * (log_ratio - mean_log_ratio)
        + lambda3 * (squared - variance)
    )
    return loss, d, slope


def _descend(v, pu, log_c, dropout_ratio, lambdas):
    """Minimises the loss from v; returns (d, iterations)."""
    lambda1, lambda2, lambda3 = lambdas
    across = lambda2 / len(v)
    threshold = max(1e-4 * across, 1e-12 * lambda1)
    rounding = 1e-15 * lambda2
    loss, d, slope = loss_and_slope(v, pu, log_c, dropout_ratio, lambdas)
    for iteration in range(MAX_ITERATIONS):
        if -slope.min() <= threshold:
            return d, iteration
        dev = pu - d @ pu
        excess = 2 * max(lambda1 - lambda3, 0)
        along = across + excess * (d @ dev**2)
        step = (slope - dev * (excess * ((d * dev) @ slope) / along)) / across
        for _ in range(60):
            tried = v - step
            new = loss_and_slope(tried, pu, log_c, dropout_ratio, lambdas)
            if new[0] <= loss + rounding:
                break
            step /= 2
        else:
            break
        v = tried
        loss, d, slope = new
    warnings.warn(
        f"the search stopped after {iteration + 1} updates, and the loss may "
        f"still fall by {-slope.min():.3g}",
        stacklevel=3,
    )
    return d, iteration + 1


def _result(d, pu, log_c, iterations):
    mean = float(d @ pu)
    kept = d > 0
    entropy = -float(d[kept] @ (np.log(d[kept]) - log_c[kept]))
    d.setflags(write=False)
    return SearchResult(
        probability=d,
        rate=mean,
        entropy=entropy + 0.0,
        spread=math.sqrt(max(float(d @ (pu - mean) ** 2), 0)),
        iterations=iterations,
    )


def default_lambda3(family, max_period):
    """0 for PERIOD (the paper's loss), 1e-4 N for RESIDUE."""
    if family == "PERIOD":
        return 0.0
    return RESIDUE_LAMBDA3_PER_PERIOD * max_period


def search(
    dropout_ratio,
    family="RESIDUE",
    max_period=16,
    lambda1=LAMBDA1,
    lambda2=LAMBDA2,
    lambda3=None,
    seed=0,
):
    """Searches K for a drop rate; the same arguments give the same K.

    dropout_ratio: p, from 0 to (N - 1) / N; 0 keeps everything, unsearched.
    family: "PERIOD" or "RESIDUE".
    max_period: N, from 1 to 65535 (PERIOD) or 256 (RESIDUE).
    lambda1, lambda2: greater than 0. lambda3: at least 0, None for
        default_lambda3. With lambda3 > lambda1 the loss has several minima.
    seed: of v's first value; at least 0.
    Returns a SearchResult. Raises ValueError for anything else. Warns if the
    rate that K gives is off by more than 0.001.
    """
    check_rate(dropout_ratio, family, max_period)
    if lambda3 is None:
        lambda3 = default_lambda3(family, max_period)
    check_real("lambda1", lambda1, "greater than 0", lambda x: x > 0)
    check_real("lambda2", lambda2, "greater than 0", lambda x: x > 0)
    check_real("lambda3", lambda3, "at least 0", lambda x: x >= 0)
    check_integer("seed", seed, 0, 2**64 - 1)

    pu = drop_rates(family, max_period)
    log_c = log_multiplicity(family, max_period)
    if dropout_ratio == 0:
        return _result((pu == 0).astype(np.float64), pu, log_c, 0)
    v = np.random.default_rng(seed).normal(0, 0.1, max_period)
    d, iterations = _descend(
        v, pu, log_c, dropout_ratio, (lambda1, lambda2, lambda3)
    )
    result = _result(d, pu, log_c, iterations)
    if abs(result.rate - dropout_ratio) > RATE_TOLERANCE:
        warnings.warn(
            f"K for dropout_ratio {dropout_ratio} ({family}, max_period "
            f"{max_period}) gives {result.rate:.6f}; a larger lambda1, or a "
            f"smaller lambda2 or lambda3, comes nearer",
            stacklevel=2,
        )
    return result


def closed_form(dropout_ratio, family, max_period):
    """K of the largest entropy -sum d log(d / c) with d.pu = dropout_ratio.

    It is d_i = c_i exp(beta pu_i) / Z, beta found by bisection: the limit of
    the search for lambda3 = 0 and lambda1 / lambda2 to infinity.
    Arguments and errors as in search; returns (N,) float64.
    """
    check_rate(dropout_ratio, family, max_period)
    pu = drop_rates(family, max_period)
    log_c = log_multiplicity(family, max_period)
    if dropout_ratio in (pu.min(), pu.max()):
        return (pu == dropout_ratio).astype(np.float64)

    def distribution(beta):
        exponent = log_c + beta * pu
        d = np.exp(exponent - exponent.max())
        return d / d.sum()

    bound = 1.0
    while not (
        distribution(-bound) @ pu < dropout_ratio < distribution(bound) @ pu
    ):
        bound *= 2
    low, high = -bound, bound
    while True:
        beta = (low + high) / 2
        if beta in (low, high):
            return distribution(beta)
        if distribution(beta) @ pu < dropout_ratio:
            low = beta
        else:
            high = beta
