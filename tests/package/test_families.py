"""Limits that Python and C++ both state."""

import re
from pathlib import Path

from approx_dropout.families import MAX_PERIOD_LIMITS

KEPT_CELLS = (
    Path(__file__).parents[2]
    / "caffe_patches/overlay/include/caffe/approx_dropout/pattern"
    / "kept_cells.hpp"
)


def test_limits_are_those_of_the_layers():
    text = KEPT_CELLS.read_text()
    found = dict(re.findall(r"^const int (kMax\w+) = (\d+);", text, re.M))
    assert {
        "PERIOD": int(found["kMaxPeriod"]),
        "RESIDUE": int(found["kMaxResidues"]),
    } == MAX_PERIOD_LIMITS
