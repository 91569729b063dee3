"""The draw of a pattern: a pure function of (seed, layer name, draw number).

The C++ layer DropoutPattern computes the same, bit for bit. This is the
specification.

Generator. Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as
1, 2, 3", 2011): multipliers 0xD2511F53 and 0xCD9E8D57, Weyl constants
0x9E3779B9 and 0xBB67AE85, 10 rounds. key64 = seed XOR FNV-1a-64 of the layer
name's UTF-8 bytes; key words (low 32 bits, high 32 bits). Counter words
(block, 0, draw's low 32 bits, draw's high 32 bits), block = 0, 1, 2, ...; each
block's 4 output words, in order, make up one stream of 32-bit words.

uniform. Takes two words a, b: u = ((a >> 5) 2^26 + (b >> 6)) / 2^53.

choose from K. The smallest 1-based i with K_i > 0 and u total < K_1 + ... +
K_i, cumulative sums in double precision and ascending order, total the last of
them; if rounding leaves none, the last i with K_i > 0.

below(n). w = next word; prod = w n in 64 bits; if (prod mod 2^32) >=
(2^32 mod n) the answer is prod >> 32, else again with the next word.

PERIOD. i chosen from K; period i, the one residue kept is below(i).
RESIDUE. m = i chosen from K once, period N. Groups are dealt their residues in
rounds, each residue once per round: so the numbers of groups that keep two
residues differ by one at most, and two groups that keep half each complement
one another. Their errors of one pass then cancel to first order, which
independent groups' only do on average; each group alone keeps any m of the N
residues as likely. rest = [] before the first group. A group whose m exceeds
the length of rest takes all of rest, and rest becomes the residues that the
group does not have, ascending. Until it has m, it takes k = below(length of
rest): rest[k], in whose place rest[0] goes, which leaves the front. Then what
it took of the round before joins the end of rest, in the order taken, and the
group's residues are sorted.

Which samples a group is, sample_groups says.

scale. 1 / (1 - p_K), p_K = (sum K_i pu_i) / total, summed in ascending order;
the same for every draw from K.
"""

import itertools
import typing

import numpy as np

from .families import (
    check_groups,
    check_integer,
    check_probability,
    drop_rates,
)

_MASK32 = 2**32 - 1
_MASK64 = 2**64 - 1


class Pattern(typing.NamedTuple):
    """What one forward pass keeps.

    scale: factor of the kept outputs. period: n.
    residues: (G, m) int64, ascending in each of the G groups; unit u of group
    g is kept if u mod n is in residues[g].
    """

    scale: float
    period: int
    residues: np.ndarray


def philox4x32(counter, key):
    """Philox4x32-10 of 4 counter words and 2 key words: a tuple of 4 words."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        product0 = c0 * 0xD2511F53
        product1 = c2 * 0xCD9E8D57
        c0, c1, c2, c3 = (
            (product1 >> 32) ^ c1 ^ k0,
            product1 & _MASK32,
            (product0 >> 32) ^ c3 ^ k1,
            product0 & _MASK32,
        )
        k0 = (k0 + 0x9E3779B9) & _MASK32
        k1 = (k1 + 0xBB67AE85) & _MASK32
    return c0, c1, c2, c3


def fnv1a64(data):
    """FNV-1a of bytes, 64 bits."""
    value = 0xCBF29CE484222325
    for byte in data:
        value = ((value ^ byte) * 0x100000001B3) & _MASK64
    return value


def _words(seed, layer, draw):
    key = seed ^ fnv1a64(layer.encode("utf-8"))
    for block in itertools.count():
        yield from philox4x32(
            (block, 0, draw & _MASK32, draw >> 32), (key & _MASK32, key >> 32)
        )


def _uniform(words):
    return ((next(words) >> 5) * 2**26 + (next(words) >> 6)) / 2**53


def _below(words, n):
    while True:
        product = next(words) * n
        if product & _MASK32 >= 2**32 % n:
            return product >> 32


def _choose(words, probability):
    cumulative = list(itertools.accumulate(probability))
    target = _uniform(words) * cumulative[-1]
    chosen = None
    for i, k in enumerate(probability):
        if k > 0:
            chosen = i + 1
            if target < cumulative[i]:
                break
    return chosen


def _deal(words, period, kept, groups):
    rest = []
    for _ in range(groups):
        last_round, taken = [], []
        if len(rest) < kept:
            last_round = rest
            rest = [u for u in range(period) if u not in last_round]
        while len(last_round) + len(taken) < kept:
            k = _below(words, len(rest))
            taken.append(rest[k])
            rest[k] = rest[0]
            del rest[0]
        rest += last_round
        yield sorted(last_round + taken)


def draw_pattern(probability, family, seed, layer, draw, groups=1):
    """The pattern of one draw, as the module's docstring specifies.

    probability: K, N values >= 0, not all 0; need not sum to 1.
    family: "PERIOD" or "RESIDUE". seed, draw: 0 to 2^64 - 1; draw 0 is the
    first. layer: name of the DropoutPattern layer. groups: G >= 1, 1 for
    PERIOD. Returns a Pattern; raises ValueError for anything else.
    """
    k = check_probability(probability)
    pu = drop_rates(family, len(k))
    check_integer("seed", seed, 0, _MASK64)
    check_integer("draw", draw, 0, _MASK64)
    check_groups(groups, family)

    total = dropped = 0.0
    for value, rate in zip(k, pu):
        total += value
        dropped += value * float(rate)
    scale = 1 / (1 - dropped / total)

    words = _words(int(seed), layer, int(draw))
    i = _choose(words, k)
    if family == "PERIOD":
        return Pattern(scale, i, np.array([[_below(words, i)]]))
    residues = list(_deal(words, len(k), i, groups))
    return Pattern(scale, len(k), np.array(residues))


def sample_groups(num_steps, num_samples, groups):
    """The group that each sample is in at each time step, (T, N) int64.

    Each of the G equal ranges of the samples begins with its own group and
    goes on to the next at each step, so that the groups' errors, which differ
    in sign, cancel within a sample's time, too. A blob without an axis before
    its samples has one step. num_samples: N, a multiple of groups. Raises
    ValueError if it is not.
    """
    check_integer("groups", groups, 1, num_samples)
    if num_samples % groups:
        raise ValueError(
            f"groups is {groups}, must divide the {num_samples} samples"
        )
    ranges = np.arange(num_samples) // (num_samples // groups)
    return (ranges + np.arange(num_steps)[:, None]) % groups


def kept_units(period, residues, units):
    """Ascending indices u < units with u mod period in residues; (kept,) int64.

    residues: one group's, each from 0 to period - 1.
    """
    return np.flatnonzero(np.isin(np.arange(units) % period, residues))
