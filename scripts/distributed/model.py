"""How long a step of N ranks takes: a model, fitted to measured steps.

A rank computes for C seconds. Its messages leave in Backward, each when what it
is the gradient of is done; those of fewer than SMALL values leave with the last
one. A sum over N ranks sends 2 (N - 1) / N times its bytes through each link,
each way, in 2 (N - 1) rounds (a ring) or 2 log2 N (a tree: halving, then
doubling). With V bytes so sent:

    link:       one message after the other, V / (share * speed)
                + rounds * latency each, none before it leaves
    processor:  C + V * handling

and the step ends when both are done. `share` of the link's nominal speed and
`handling`, seconds a byte for packing, adding and the network's protocol, are
fitted; C and the latency are measured. Left out: ranks that are late by chance,
switches that are shared, and what several ranks of one machine could do.
"""

import dataclasses
import math

import numpy as np
from scipy import optimize

FLOAT_BYTES = 4
SMALL = 16384  # kSmall of solver/gradient_exchange.cpp
RING, TREE = "ring", "tree"
RANKS = tuple(2**i for i in range(11))


@dataclasses.dataclass(frozen=True)
class Link:
    """bytes_per_s: nominal; latency_s: one way."""

    bytes_per_s: float
    latency_s: float


@dataclasses.dataclass(frozen=True)
class Exchange:
    """What is fitted: see the head of this file."""

    handling: float
    share: float


def words_of(words, ranks):
    """Words that all ranks meet in a step; words: {ranks: words} of some, in
    between by straight lines on logarithms."""
    known = sorted((int(n), count) for n, count in words.items())
    xs, ys = np.log(known).T
    return math.exp(np.interp(math.log(ranks), xs, ys))


def floats_of(message, ranks, whole, words):
    """Values that a message holds."""
    if whole:
        return message["floats"]
    if "row_floats" in message:
        return message["row_floats"] * words_of(words, ranks)
    return message["kept"]


def departures(net, ranks, whole):
    """[(bytes of a message, share of C at which it leaves)], in order."""
    messages = net["messages"]
    forward = sum(each["forward"] for each in messages)
    total = forward + sum(each["work"] for each in messages)
    found, small, done = [], 0, forward
    for each in messages:
        done += each["work"]
        floats = floats_of(each, ranks, whole, net["words"])
        if floats < SMALL:
            small += floats
        else:
            found.append((floats * FLOAT_BYTES, done / total))
    return [*found, (small * FLOAT_BYTES, 1)]


def step_s(net, compute_s, ranks, link, whole, exchange, algorithm=TREE):
    """Seconds that a step of so many ranks takes."""
    if ranks == 1:
        return compute_s
    sent = 2 * (ranks - 1) / ranks
    rounds = 2 * (ranks - 1)
    if algorithm == TREE:
        rounds = 2 * math.ceil(math.log2(ranks))
    free = handled = 0  # when the link is; seconds of the processor
    for size, leaves in departures(net, ranks, whole):
        begin = max(free, compute_s * leaves + handled)
        on_wire = sent * size / (exchange.share * link.bytes_per_s)
        free = begin + on_wire + rounds * link.latency_s
        handled += sent * size * exchange.handling
    return max(free, compute_s + handled)


def sent_bytes(net, ranks, whole):
    """Bytes that a rank gives to the exchange in a step."""
    return sum(size for size, _ in departures(net, ranks, whole))


def fit(measured):
    """The Exchange that fits best, by least squares of the logarithms.

    measured: [(arguments of step_s up to `whole`, seconds)].
    """

    def errors(x):
        exchange = Exchange(handling=x[0] * 1e-9, share=x[1])
        return [
            math.log(step_s(*arguments, exchange) / seconds)
            for arguments, seconds in measured
        ]

    best = optimize.least_squares(
        errors, (1.0, 0.8), bounds=((0, 0.05), (20, 1))
    )
    return Exchange(handling=best.x[0] * 1e-9, share=best.x[1])
