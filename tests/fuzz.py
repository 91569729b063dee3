"""Inputs found by machines: tests that hypothesis makes inputs for.

Each takes EXAMPLES inputs, always the same; with FUZZ_MINUTES in the
environment it takes new ones for so long, and says how many they were.
"""

import os
import time

import hypothesis
from hypothesis import strategies
from hypothesis.configuration import set_hypothesis_home_dir

from conftest import ROOT

EXAMPLES = 150
MINUTES = float(os.environ.get("FUZZ_MINUTES", 0))

set_hypothesis_home_dir(ROOT / "build/hypothesis")


def fuzzed(**inputs):
    """Decorates a test of tmp_path and of inputs from strategies."""

    def decorate(test):
        def repeated(tmp_path):
            settings = hypothesis.settings(
                max_examples=1000 if MINUTES else EXAMPLES,
                database=None,
                deadline=None,
                suppress_health_check=list(hypothesis.HealthCheck),
            )
            start, seed, count = time.monotonic(), 0, 0

            def counted(**arguments):
                nonlocal count
                count += 1
                test(tmp_path, **arguments)

            if MINUTES:
                seed = time.time_ns()
            while True:
                run = hypothesis.given(**inputs)(counted)
                hypothesis.seed(seed)(settings(run))()
                seed += 1
                if time.monotonic() - start >= 60 * MINUTES:
                    break
            print(f"{test.__name__}: {count} inputs")

        repeated.__name__ = test.__name__
        repeated.__doc__ = test.__doc__
        return repeated

    return decorate


@strategies.composite
def damaged(draw, wholes):
    """Bytes of one of `wholes`, cut off, with bytes changed, left out or put
    in, or other bytes altogether."""
    data = bytearray(draw(strategies.sampled_from(wholes)))
    for _ in range(draw(strategies.integers(1, 4))):
        at = draw(strategies.integers(0, len(data)))
        piece = draw(strategies.binary(max_size=8))
        kind = draw(strategies.sampled_from(["cut", "change", "drop", "add"]))
        if kind == "cut":
            del data[at:]
        elif kind == "change":
            data[at : at + len(piece)] = piece
        elif kind == "drop":
            del data[at : at + len(piece)]
        else:
            data[at:at] = piece
    return bytes(data)
