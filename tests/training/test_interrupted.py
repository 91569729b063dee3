"""`caffe train --snapshot=auto`: killed at any moment, the run is the run that
was not, and what cannot be written or read is said."""

import re
import resource
import signal
import subprocess
import time
from pathlib import Path

import h5py
import lmdb
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
CAFFE = ROOT / "build" / "bin" / "caffe"
# Neither divides the other: snapshots lie within epochs.
SAMPLES, BATCH, SNAPSHOT, ITERATIONS = 83, 16, 12, 1800

MLP = """
layer {{ name: "data" type: "Data" top: "data" top: "label"
  data_param {{ source: "{folder}/lmdb" batch_size: {batch} backend: LMDB }}
  transform_param {{ mirror: true crop_size: 7 scale: 0.004 }} }}
layer {{ name: "pattern" type: "DropoutPattern" top: "pattern"
  dropout_pattern_param {{ probability: [0, 0.5, 0.5, 0] }} }}
layer {{ name: "fc1" type: "ApproxDropoutInnerProduct" bottom: "data"
  bottom: "pattern" top: "fc1"
  inner_product_param {{ num_output: 64 weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "relu" type: "ReLU" bottom: "fc1" top: "fc1" }}
layer {{ name: "drop" type: "Dropout" bottom: "fc1" top: "fc1" }}
layer {{ name: "fc2" type: "InnerProduct" bottom: "fc1" top: "fc2"
  inner_product_param {{ num_output: 10 weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "fc2" bottom: "label"
  top: "loss" }}
"""

LSTM = """
layer {{ name: "data" type: "HDF5Data" top: "x" top: "cont" top: "target"
  hdf5_data_param {{ source: "{folder}/list" batch_size: 5 shuffle: false }} }}
layer {{ name: "pattern" type: "DropoutPattern" top: "pattern"
  dropout_pattern_param {{ probability: [0, 0.5, 0.5, 0] }} }}
layer {{ name: "lstm1" type: "LSTM" bottom: "x" bottom: "cont" top: "h1"
  recurrent_param {{ num_output: 16
    weight_filler {{ type: "uniform" min: -0.2 max: 0.2 }} }} }}
layer {{ name: "drop" type: "Dropout" bottom: "h1" top: "h1" }}
layer {{ name: "lstm2" type: "ApproxDropoutLSTM" bottom: "h1" bottom: "cont"
  bottom: "pattern" top: "h2" recurrent_param {{ num_output: 8
    weight_filler {{ type: "uniform" min: -0.2 max: 0.2 }} }} }}
layer {{ name: "loss" type: "EuclideanLoss" bottom: "h2" bottom: "target"
  top: "loss" }}
"""

SOLVER = """
net: "{folder}/net.prototxt"
base_lr: 0.05 lr_policy: "fixed" momentum: 0.9 weight_decay: 0.001
max_iter: {iterations} snapshot: {snapshot} snapshot_prefix: "{folder}/{run}"
snapshot_format: {format} solver_mode: CPU random_seed: 6
test_interval: 25 test_iter: 2
"""


def write_lmdb(folder):
    """Random images, 8 x 8."""
    from caffe.proto import caffe_pb2
    random = np.random.default_rng(0)
    with lmdb.open(str(folder / "lmdb"), map_size=2**24) as database:
        with database.begin(write=True) as transaction:
            for i in range(SAMPLES):
                datum = caffe_pb2.Datum(channels=1, height=8, width=8)
                datum.data = random.bytes(64)
                datum.label = i % 10
                transaction.put(b"%08d" % i, datum.SerializeToString())


def write_hdf5(folder):
    """Two files of time steps of three sequences that go on and on."""
    random = np.random.default_rng(0)
    names = []
    for i, steps in enumerate((37, 24)):
        names.append(str(folder / f"steps{i}.h5"))
        with h5py.File(names[-1], "w") as file:
            file["x"] = random.normal(size=(steps, 3, 6)).astype("f4")
            file["cont"] = np.ones((steps, 3), "f4")
            file["target"] = random.uniform(
                -1, 1, size=(steps, 3, 8)).astype("f4")
    (folder / "list").write_text("\n".join(names))


@pytest.fixture
def mlp(tmp_path):
    """A folder with an MLP and its LMDB."""
    write_lmdb(tmp_path)
    (tmp_path / "net.prototxt").write_text(
        MLP.format(folder=tmp_path, batch=BATCH))
    return tmp_path


@pytest.fixture
def lstm(tmp_path):
    """A folder with a language model's kind of net and its HDF5 files."""
    write_hdf5(tmp_path)
    (tmp_path / "net.prototxt").write_text(LSTM.format(folder=tmp_path))
    return tmp_path


def command(folder, run, snapshot="auto", snapshot_format="BINARYPROTO",
            iterations=ITERATIONS):
    """`caffe train` of a run: its solver is written."""
    solver = folder / f"solver_{run}.prototxt"
    solver.write_text(SOLVER.format(
        folder=folder, run=run, iterations=iterations, snapshot=SNAPSHOT,
        format=snapshot_format))
    return [CAFFE, "train", f"--solver={solver}", f"--snapshot={snapshot}"]


def train(*args, limit=None, **options):
    """Runs it; returns (exit status, log)."""
    def set_limit():
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    done = subprocess.run(
        command(*args, **options), stdout=subprocess.PIPE, text=True,
        stderr=subprocess.STDOUT, check=False, preexec_fn=set_limit)
    return done.returncode, done.stdout


def weights(path):
    """The blobs of a model, of either format, as one list of bytes."""
    if path.suffix == ".h5":
        found = []
        with h5py.File(path) as file:
            file["data"].visititems(
                lambda name, item: found.append((name, item[()].tobytes()))
                if isinstance(item, h5py.Dataset) else None)
        return found
    from caffe.proto import caffe_pb2
    net = caffe_pb2.NetParameter.FromString(path.read_bytes())
    return [(layer.name, np.float32(blob.data).tobytes())
            for layer in net.layer for blob in layer.blobs]


def kill_and_resume(folder, snapshot_format, kills, whole_s):
    """Trains to the end in spite of so many kills, each some time after a
    session's first snapshot; the logs of all sessions. whole_s: how long it
    takes without kills."""
    random = np.random.default_rng(1)
    logs, status = [], None
    while status != 0:
        assert len(logs) <= kills, logs[-1]
        path = folder / f"log{len(logs)}"
        with path.open("w") as log:
            process = subprocess.Popen(
                command(folder, "killed", snapshot_format=snapshot_format),
                stdout=log, stderr=log)
        while (len(logs) < kills and process.poll() is None and
               "Snapshotting solver state" not in path.read_text()):
            time.sleep(0.01)
        if len(logs) < kills:
            time.sleep(random.uniform(0, whole_s / kills))
            process.kill()
        status = process.wait()
        logs.append(path.read_text())
    return logs


@pytest.mark.parametrize("net, snapshot_format", [
    ("mlp", "BINARYPROTO"), ("mlp", "HDF5"),
    ("lstm", "BINARYPROTO"), ("lstm", "HDF5")])
def test_killed_run_is_the_same_run(net, snapshot_format, request):
    folder = request.getfixturevalue(net)
    start = time.monotonic()
    status, log = train(folder, "whole", snapshot_format=snapshot_format)
    whole_s = time.monotonic() - start
    assert status == 0, log
    assert "There is no whole snapshot" in log
    logs = kill_and_resume(folder, snapshot_format, 4, whole_s)
    # On a fast machine the run may end before the last kills.
    assert len(logs) > 1
    assert all("Resuming from" in log for log in logs[1:])
    end = f"_iter_{ITERATIONS}.caffemodel" + (
        ".h5" if snapshot_format == "HDF5" else "")
    whole = weights(folder / f"whole{end}")
    assert whole
    assert weights(folder / f"killed{end}") == whole


@pytest.mark.parametrize("snapshot_format", ["BINARYPROTO", "HDF5"])
def test_stopped_run_is_the_same_run(mlp, snapshot_format):
    """Ctrl-C, wherever it falls, a test included: no snapshot is due there."""
    train(mlp, "whole", snapshot_format=snapshot_format)
    with (mlp / "log").open("w") as log, subprocess.Popen(
            command(mlp, "stopped", snapshot_format=snapshot_format),
            stdout=log, stderr=log) as process:
        while "Snapshotting solver state" not in (mlp / "log").read_text():
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
    assert process.returncode == 0
    assert "Optimization stopped early" in (mlp / "log").read_text()
    status, log = train(mlp, "stopped", snapshot_format=snapshot_format)
    assert status == 0, log
    end = f"_iter_{ITERATIONS}.caffemodel" + (
        ".h5" if snapshot_format == "HDF5" else "")
    assert weights(mlp / f"stopped{end}") == weights(mlp / f"whole{end}")


@pytest.mark.parametrize("snapshot_format", ["BINARYPROTO", "HDF5"])
def test_full_disk(mlp, snapshot_format):
    """A file's limit stands for a disk's: the model does not fit. Training
    goes on to its end, earlier snapshots stay, the exit status is 1."""
    options = {"snapshot_format": snapshot_format, "iterations": 30}
    status, log = train(mlp, "full", **options)
    assert status == 0, log
    before = {path: path.read_bytes() for path in mlp.glob("full_iter_*")}
    assert len(before) == 6
    options["iterations"] = 60
    status, log = train(mlp, "full", limit=5000, **options)
    assert status == 1, log
    assert "Optimization Done" in log
    for iteration in (36, 48, 60):
        assert re.search(
            f"No snapshot of iteration {iteration}. Cannot write "
            f"{mlp}/full_iter_{iteration}.caffemodel.*: File too large", log)
    after = {path: path.read_bytes() for path in mlp.glob("full_iter_*")}
    assert after == before


def test_newest_whole_snapshot(mlp):
    """What is cut off, missing or something else is passed over, and said."""
    status, log = train(mlp, "run", iterations=SNAPSHOT * 5)
    assert status == 0, log

    def state(k):
        return mlp / f"run_iter_{SNAPSHOT * k}.solverstate"

    state(5).write_bytes(state(5).read_bytes()[:1000])
    state(4).with_suffix(".caffemodel").unlink()
    model = state(3).with_suffix(".caffemodel")
    # Cut where a layer ends, which protobuf takes for a whole net.
    model.write_bytes(model.read_bytes()[:-60])
    (mlp / "run_iter_99.solverstate.h5").write_text("no HDF5")
    status, log = train(mlp, "run", iterations=SNAPSHOT * 5)
    assert status == 0, log
    passed = [re.search(f"Passed over. .*{re.escape(str(path))}: (.*)", log)
              for path in (mlp / "run_iter_99.solverstate.h5", state(5),
                           state(4), state(3))]
    assert all(passed), log
    assert "not an HDF5 file" in passed[0][1]
    assert "cut off" in passed[1][1]
    assert "No such file" in passed[2][1]
    assert "cut off" in passed[3][1]
    assert f"Resuming from {state(2)}" in log


@pytest.mark.parametrize("size", [0, 1, 100, 3000, -1])
def test_state_that_is_cut_off_is_refused(mlp, size):
    train(mlp, "run", iterations=SNAPSHOT)
    state = mlp / f"run_iter_{SNAPSHOT}.solverstate"
    state.write_bytes(state.read_bytes()[:size])
    status, log = train(mlp, "run", snapshot=state)
    assert status == 1, log
    assert f"Solver state {state}: it is cut off, or not a solver state" in log


def test_python_is_told(mlp):
    """What ends the tool is an exception in Python."""
    import caffe
    command(mlp, "python")
    solver = caffe.get_solver(str(mlp / "solver_python.prototxt"))
    state = mlp / "python_iter_0.solverstate"
    state.write_text("nothing of the kind")
    with pytest.raises(RuntimeError, match="not a solver state"):
        solver.restore(str(state))
    (mlp / "python_iter_0.caffemodel.part").symlink_to("/dev/full")
    with pytest.raises(RuntimeError, match="No space left on device"):
        solver.snapshot()
    solver.snapshot()
    solver.restore(str(state))
    assert solver.iter == 0
