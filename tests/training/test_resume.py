"""`caffe train --snapshot=…`: the resumed run is the run that was cut off."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from approx_dropout.draw import draw_pattern
from approx_dropout.families import drop_rates
from approx_dropout.state import read_state
from interrupted_nets import write_lmdb
from project import ROOT

CAFFE = ROOT / "build" / "bin" / "caffe"
# 4 batches of 16: 8 iterations are two whole epochs.
SAMPLES, BATCH, HALF = 64, 16, 8
HALF_STATE = f"{{}}/run_iter_{HALF}.solverstate"

NET = """
layer {{ name: "data" type: "Data" top: "data" top: "label"
  data_param {{ source: "{folder}/lmdb" batch_size: {batch} backend: LMDB }} }}
layer {{ name: "k" type: "Python" top: "k" python_param {{
  module: "approx_dropout" layer: "PatternSearchLayer"
  param_str: '{search}' }} }}
layer {{ name: "{name}" type: "DropoutPattern" bottom: "k" top: "pattern"
  dropout_pattern_param {{ family: {family} }} }}
layer {{ name: "fc1" type: "ApproxDropoutInnerProduct" bottom: "data"
  bottom: "pattern" top: "fc1" approx_dropout_param {{ compact_output: true }}
  inner_product_param {{ num_output: 40 weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "relu" type: "ReLU" bottom: "fc1" top: "fc1" }}
layer {{ name: "fc2" type: "ApproxDropoutInnerProduct" bottom: "fc1"
  bottom: "pattern" top: "fc2"
  approx_dropout_param {{ pattern: NONE compact_input: true }}
  inner_product_param {{ num_output: 10 weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "fc2" bottom: "label"
  top: "loss" }}
"""

SOLVER = """
net: "{folder}/{net}"
base_lr: 0.05 lr_policy: "fixed" momentum: 0.9 weight_decay: 0.001
max_iter: {iterations} snapshot: {half} snapshot_prefix: "{folder}/{run}"
snapshot_format: {format} solver_mode: CPU
{seed}
"""


@pytest.fixture
def folder(tmp_path):
    """A folder with a small LMDB of random images."""
    write_lmdb(tmp_path / "lmdb", SAMPLES, (1, 5, 5))
    return tmp_path


def write_net(folder, family, name="pattern", period=8, rate=0.4):
    search = json.dumps(
        {"dropout_ratio": rate, "family": family, "max_period": period})
    (folder / "net.prototxt").write_text(NET.format(
        folder=folder, batch=BATCH, family=family, name=name, search=search))


def train(folder, run, iterations, snapshot=None, seed="",
          snapshot_format="BINARYPROTO"):
    """Runs `caffe train`; returns (exit status, log)."""
    solver = folder / f"solver_{run}.prototxt"
    solver.write_text(SOLVER.format(
        folder=folder, net="net.prototxt", run=run, iterations=iterations,
        half=HALF, seed=seed, format=snapshot_format))
    command = [CAFFE, "train", f"--solver={solver}"]
    if snapshot:
        command.append(f"--snapshot={snapshot}")
    done = subprocess.run(command, capture_output=True, text=True,
                          check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("family", ["RESIDUE", "PERIOD"])
@pytest.mark.parametrize("snapshot_format, ending",
                         [("BINARYPROTO", ""), ("HDF5", ".h5")])
def test_resumed_run_is_the_same_run(folder, family, snapshot_format, ending):
    write_net(folder, family)
    # No random_seed: the fresh one must come back from the state.
    status, log = train(folder, "whole", 2 * HALF,
                        snapshot_format=snapshot_format)
    assert status == 0, log
    state = folder / f"whole_iter_{HALF}.solverstate{ending}"
    status, log = train(folder, "resumed", 2 * HALF, snapshot=state,
                        snapshot_format=snapshot_format)
    assert status == 0, log
    ends = [folder / f"{run}_iter_{2 * HALF}" for run in ("whole", "resumed")]
    states = [read_state(f"{end}.solverstate{ending}") for end in ends]
    for a, b in zip(*states, strict=True):
        assert (a.layer, a.seed, a.draws) == (b.layer, b.seed, b.draws)
        assert a.draws == 2 * HALF
        np.testing.assert_array_equal(a.probability, b.probability)
    if not ending:
        weights = [Path(f"{end}.caffemodel").read_bytes() for end in ends]
        assert weights[0] == weights[1]


def test_state_tells_the_patterns_drawn(folder):
    write_net(folder, "RESIDUE")
    assert train(folder, "run", HALF, seed="random_seed: 5")[0] == 0
    (state,) = read_state(folder / f"run_iter_{HALF}.solverstate")
    assert (state.layer, state.seed, state.draws) == ("pattern", 5, HALF)
    rate = sum(p * (1 - m / 8) for m, p in enumerate(state.probability, 1))
    assert rate == pytest.approx(0.4, abs=1e-3)
    kept = [draw_pattern(state.probability, state.family, state.seed,
                         state.layer, i).residues.shape[1]
            for i in range(HALF)]
    assert set(kept) <= {4, 5}


@pytest.mark.parametrize("change, messages", [
    ({"name": "other"}, [
        "holds no dropout patterns of 'other': these DropoutPattern layers "
        "start at draw 0",
        "The net has no DropoutPattern layers 'pattern', which the solver "
        "state has"]),
    ({"family": "PERIOD"}, [
        "'pattern': the solver state has family: RESIDUE and N = 8, the net "
        "family: PERIOD and N = 8; it starts at draw 0"]),
    ({"period": 10}, ["N = 8, the net family: RESIDUE and N = 10"]),
    ({"rate": 0.6}, [
        "'pattern': K of the solver state, of drop rate 0.", ", is not the "
        "net's, of drop rate 0."]),
])
def test_changed_net_wins(folder, change, messages):
    write_net(folder, "RESIDUE")
    assert train(folder, "run", HALF)[0] == 0
    write_net(folder, **{"family": "RESIDUE", **change})
    state = folder / f"run_iter_{HALF}.solverstate"
    status, log = train(folder, "next", 2 * HALF, snapshot=state)
    assert status == 0
    for message in messages:
        assert message in log
    (after,) = read_state(folder / f"next_iter_{2 * HALF}.solverstate")
    goes_on = "rate" in change
    assert after.draws == (2 * HALF if goes_on else HALF)
    assert len(after.probability) == change.get("period", 8)
    assert after.family == change.get("family", "RESIDUE")
    rate = np.dot(after.probability, drop_rates(
        after.family, len(after.probability)))
    assert rate == pytest.approx(change.get("rate", 0.4), abs=1e-3)


def test_net_without_patterns_resumes(folder):
    write_net(folder, "RESIDUE")
    assert train(folder, "run", HALF)[0] == 0
    text = (folder / "net.prototxt").read_text().replace(
        'bottom: "pattern"', "").replace(
        "compact_output: true", "pattern: NONE").replace(
        "pattern: NONE compact_input: true", "pattern: NONE")
    layers = [layer for layer in text.split("\nlayer ")
              if "Pattern" not in layer.split("top:")[0]]
    (folder / "net.prototxt").write_text("\nlayer ".join(layers))
    status, log = train(folder, "next", 2 * HALF, HALF_STATE.format(folder))
    assert status == 0, log
    assert "'pattern', which the solver state has: they are left out" in log
    assert read_state(folder / f"next_iter_{2 * HALF}.solverstate") == []


@pytest.mark.skipif(shutil.which("protoc") is None, reason="no protoc")
def test_stock_caffe_reads_our_state(folder):
    write_net(folder, "RESIDUE")
    assert train(folder, "run", HALF)[0] == 0
    source = ROOT / "build" / "caffe.orig" / "src" / "caffe" / "proto"
    subprocess.run(["protoc", f"--proto_path={source}",
                    f"--python_out={folder}", "caffe.proto"], check=True)
    read = """
import sys
import caffe_pb2
state = caffe_pb2.SolverState.FromString(open(sys.argv[1], "rb").read())
print(state.iter, len(state.history), "dropout_pattern" in str(state))
"""
    done = subprocess.run(
        [sys.executable, "-c", read, HALF_STATE.format(folder)], cwd=folder,
        capture_output=True, text=True, check=True)
    assert done.stdout == f"{HALF} 4 False\n"


def test_stock_state_starts_at_draw_zero(folder):
    from caffe.proto import caffe_pb2
    write_net(folder, "RESIDUE")
    assert train(folder, "run", HALF)[0] == 0
    path = folder / f"run_iter_{HALF}.solverstate"
    state = caffe_pb2.SolverState.FromString(path.read_bytes())
    state.ClearField("dropout_pattern")
    path.write_bytes(state.SerializeToString())
    status, log = train(folder, "next", 2 * HALF, snapshot=path)
    assert status == 0 and "start at draw 0" in log
    (after,) = read_state(folder / f"next_iter_{2 * HALF}.solverstate")
    assert after.draws == HALF
