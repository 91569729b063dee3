"""`caffe train --snapshot=auto`: killed at any moment, the run is the run that
was not, and what cannot be written or read is said."""

import os
import re
import signal
import subprocess
import time

import numpy as np
import pytest

from interrupted_nets import (
    FORMATS,
    NETS,
    SNAPSHOT,
    command,
    prepare,
    train,
    weights,
)

KILLS = int(os.environ.get("KILLS", 4))  # of each training
ITERATIONS = 450 * max(KILLS, 4)
TRAININGS = [
    (net, snapshot_format) for net in NETS for snapshot_format in FORMATS
    if KILLS > 4 or (net, snapshot_format) != ("images", "HDF5")
]


@pytest.fixture
def mlp(tmp_path):
    """A folder with an MLP and its LMDB."""
    prepare("mlp", tmp_path)
    return tmp_path


def last_model(folder, run, snapshot_format):
    end = ".caffemodel.h5" if snapshot_format == "HDF5" else ".caffemodel"
    return weights(folder / f"{run}_iter_{ITERATIONS}{end}")


def kill_and_resume(folder, snapshot_format, whole_s):
    """Trains to the end in spite of KILLS kills, each some time after a
    session's first snapshot; the logs of all sessions. whole_s: how long it
    takes without kills."""
    random = np.random.default_rng(1)
    logs, status = [], None
    while status != 0:
        assert len(logs) <= KILLS, logs[-1]
        path = folder / f"log{len(logs)}"
        with path.open("w") as log:
            process = subprocess.Popen(
                command(folder, "killed", snapshot_format=snapshot_format,
                        iterations=ITERATIONS), stdout=log, stderr=log)
        while (len(logs) < KILLS and process.poll() is None and
               "Snapshotting solver state" not in path.read_text()):
            time.sleep(0.01)
        if len(logs) < KILLS:
            time.sleep(random.uniform(0, whole_s / KILLS))
            process.kill()
        status = process.wait()
        logs.append(path.read_text())
    return logs


@pytest.mark.parametrize("net, snapshot_format", TRAININGS)
def test_killed_run_is_the_same_run(tmp_path, net, snapshot_format):
    prepare(net, tmp_path)
    start = time.monotonic()
    status, log = train(tmp_path, "whole", snapshot_format=snapshot_format,
                        iterations=ITERATIONS)
    whole_s = time.monotonic() - start
    assert status == 0, log
    assert "There is no whole snapshot" in log
    logs = kill_and_resume(tmp_path, snapshot_format, whole_s)
    print(f"{net}, {snapshot_format}: {len(logs) - 1} kills")
    # On a fast machine the run may end before the last kills.
    assert len(logs) > 1
    assert all("Resuming from" in log for log in logs[1:])
    whole = last_model(tmp_path, "whole", snapshot_format)
    assert whole
    assert last_model(tmp_path, "killed", snapshot_format) == whole


@pytest.mark.parametrize("snapshot_format", FORMATS)
def test_stopped_run_is_the_same_run(mlp, snapshot_format):
    """Ctrl-C, wherever it falls, a test included: no snapshot is due there."""
    options = {"snapshot_format": snapshot_format, "iterations": ITERATIONS}
    train(mlp, "whole", **options)
    with (mlp / "log").open("w") as log, subprocess.Popen(
            command(mlp, "stopped", **options), stdout=log,
            stderr=log) as process:
        while "Snapshotting solver state" not in (mlp / "log").read_text():
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
    assert process.returncode == 0
    assert "Optimization stopped early" in (mlp / "log").read_text()
    status, log = train(mlp, "stopped", **options)
    assert status == 0, log
    assert (last_model(mlp, "stopped", snapshot_format) ==
            last_model(mlp, "whole", snapshot_format))


@pytest.mark.parametrize("snapshot_format", FORMATS)
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
