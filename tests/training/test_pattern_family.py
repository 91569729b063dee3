"""The family that K was searched for travels with K to DropoutPattern."""

import subprocess

import numpy as np
import pytest

from project import ROOT

CAFFE = ROOT / "build" / "bin" / "caffe"

NET = """
layer {{ name: "k" type: "Python" top: "k" python_param {{
  module: "approx_dropout" layer: "PatternSearchLayer"
  param_str: '{{"dropout_ratio": 0.5{search}}}' }} }}
layer {{ name: "p" type: "DropoutPattern" bottom: "k" top: "p"
  dropout_pattern_param {{ {pattern} }} }}
layer {{ name: "q" type: "DropoutPattern" bottom: "k" top: "q" }}
"""


def write_net(folder, search, pattern):
    path = folder / "net.prototxt"
    path.write_text(NET.format(search=search, pattern=pattern))
    return str(path)


@pytest.mark.parametrize("search, pattern", [
    (', "family": "PERIOD"', ""),
    (', "family": "PERIOD"', "family: PERIOD"),
    (', "family": "RESIDUE"', ""),
    ("", "family: RESIDUE"),
    ("", ""),
])
def test_patterns_drop_what_was_asked_for(tmp_path, search, pattern):
    import caffe

    net = caffe.Net(write_net(tmp_path, search, pattern), caffe.TRAIN)
    assert list(net.blobs["k"].shape) == [16]
    periods = []
    for _ in range(400):
        net.forward()
        for name in ("p", "q"):
            scale, period = net.blobs[name].data[0, :2]
            assert scale == pytest.approx(2, abs=0.01)
            kept = net.blobs[name].shape[1] - 2
            periods.append((period, kept / period))
    if "PERIOD" in search:
        assert len({period for period, _ in periods}) > 2
        assert all(part == 1 / period for period, part in periods)
    else:
        assert {period for period, _ in periods} == {16}
    # Of PERIOD's kept fractions, 0.5 on average, each is 0.3 off at most.
    assert np.mean([part for _, part in periods]) == pytest.approx(
        0.5, abs=4 * 0.35 / np.sqrt(len(periods)))


@pytest.mark.parametrize("search, pattern, families", [
    (', "family": "PERIOD"', "family: RESIDUE", ("RESIDUE", "PERIOD")),
    ("", "family: PERIOD", ("PERIOD", "RESIDUE")),
])
def test_another_family_is_refused(tmp_path, search, pattern, families):
    net = write_net(tmp_path, search, pattern)
    done = subprocess.run([CAFFE, "time", f"--model={net}"],
                          capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert (f"DropoutPattern layer 'p' has family: {families[0]}, but its K "
            f"is searched by layer 'k' for family: {families[1]}"
            ) in done.stderr
