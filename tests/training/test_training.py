"""Whole `caffe train` runs, small: each method learns, and its weights give
the same answers in the net with Caffe's own InnerProduct layers.

Needs build/bin/caffe and the digits that come with scikit-learn.
"""

import dataclasses
import fcntl
import json
import os
import re
import signal
import subprocess
import sys
import time
from statistics import mean

import pytest

import training.run
from approx_dropout.state import read_solver_state
from nets import registry
from project import ROOT

METHODS = ("conventional", "row", "tile", "row_period", "tile_period")
TEST_SAMPLES = 300
RATE = 0.5
EPOCHS = 8


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """A folder with the embedded digits as LMDBs: 1,497 and 300 of them."""
    folder = tmp_path_factory.mktemp("data") / "digits"
    script = ROOT / "scripts/prepare_mnist.py"
    options = ["--source", "embedded", "--output", folder]
    subprocess.run(["/usr/bin/python3", script, *options], check=True)
    return folder


@pytest.fixture(scope="module")
def trained(digits, tmp_path_factory):
    """trained(method): metrics and folder of its run, made at first use;
    trained.experiment(method): what is trained."""
    runs = {}
    root = tmp_path_factory.mktemp("runs")

    def experiment(method):
        return dataclasses.replace(
            registry.find(f"mnist/{method}_{RATE}"),
            data=str(digits),
            hidden=(256, 256),
            tile_size=8,
            batch_size=32,
            epochs=EPOCHS,
            display=5,
        )

    def run(method):
        if method not in runs:
            folder = root / method
            metrics = training.run.train(experiment(method), folder)
            runs[method] = metrics, folder
        return runs[method]

    run.experiment = experiment

    with pytest.MonkeyPatch.context() as patch:
        # Products this small only lose by being shared among threads.
        patch.setenv("OMP_NUM_THREADS", "1")
        yield run


def correct_in(net_folder, weights_folder):
    """Test digits that the one run's net gets right with the other's
    weights, counted by `caffe test`."""
    (weights,) = weights_folder.glob("*.caffemodel")
    result = subprocess.run(
        [
            training.run.CAFFE,
            "test",
            f"--model={net_folder / 'net.prototxt'}",
            f"--weights={weights}",
            f"--iterations={TEST_SAMPLES // 100}",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    batches = re.findall(r"Batch \d+, accuracy = (\S+)", result.stderr)
    assert len(batches) == TEST_SAMPLES // 100
    return sum(round(100 * float(accuracy)) for accuracy in batches)


@pytest.mark.parametrize("method", METHODS)
def test_training_learns(trained, method):
    metrics, folder = trained(method)
    losses = [point["loss"] for point in metrics["train"]]
    quarter = len(losses) // 4
    assert metrics["status"] == "finished" and not metrics["diverged"]
    assert [test["epoch"] for test in metrics["tests"]] == [
        *range(1, EPOCHS + 1)
    ]
    # PERIOD's kept share changes between passes, and with it the loss.
    fall = 0.85 if metrics["family"] == "PERIOD" else 0.6
    assert mean(losses[-quarter:]) < fall * mean(losses[:quarter])
    assert metrics["tests"][-1]["accuracy"] > 0.5  # chance: 0.1
    assert metrics["timing"]["median_ms"] > 0
    assert (folder / "done").exists()


def test_every_epoch_had_its_snapshot_and_the_last_is_left(trained):
    _, folder = trained("row")
    log = (folder / "log.txt").read_text()
    written = re.findall(r"Snapshotting to .*snapshot_iter_(\d+)\.", log)
    assert written == [str(47 * epoch) for epoch in range(1, EPOCHS + 1)]
    assert {path.name for path in folder.glob("snapshot_*")} == {
        f"snapshot_iter_{47 * EPOCHS}.{end}"
        for end in ("caffemodel", "solverstate")
    }


def test_interrupted_training_is_the_same_run(trained, tmp_path, monkeypatch):
    """Stopped as soon as it begins, then once more, at any iteration."""
    whole, whole_folder = trained("row")
    folder = tmp_path / "run"
    experiment = trained.experiment("row")
    write_metrics = training.run.Run.write_metrics

    def stop(run, log, *rest):
        write_metrics(run, log, *rest)
        if rest[0] == "running" and rest[1]:  # not before Caffe runs
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(training.run.Run, "write_metrics", stop)
    for _ in range(2):
        with pytest.raises(training.run.TrainingError, match="goes on from"):
            training.run.train(experiment, folder)
    monkeypatch.undo()
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    resumed = training.run.train(experiment, folder)
    assert len(resumed["earlier"]) == 2
    stops = [
        int(re.search(r"_iter_(\d+)", session["command"])[1])
        for session in [resumed["earlier"][1], resumed]
    ]
    assert 0 < stops[0] < stops[1] < whole["tests"][-1]["iteration"]
    assert resumed["tests"] == whole["tests"]
    (weights,) = folder.glob("*.caffemodel")
    assert weights.read_bytes() == (whole_folder / weights.name).read_bytes()


@pytest.fixture
def small_disk(tmp_path):
    """A disk that has room for one snapshot, not for two."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", disk]
    try:
        done = subprocess.run(mount, capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip("no mount on this machine")
    if done.returncode:
        pytest.skip("no tmpfs may be mounted here")
    yield disk
    subprocess.run(["umount", "--lazy", disk], check=True)


def test_full_disk_is_survived(trained, small_disk):
    """The first snapshot stays whole; with more room the run is the same."""
    whole, whole_folder = trained("row")
    folder = small_disk / "run"
    with pytest.raises(
        (training.run.TrainingError, OSError), match="No space left on device"
    ):
        training.run.train(trained.experiment("row"), folder)
    assert not (folder / "done").exists()
    states = list(folder.glob("snapshot_iter_*.solverstate"))
    assert states and all(read_solver_state(path) for path in states)
    remount = ["mount", "-o", "remount,size=30m", small_disk]
    subprocess.run(remount, check=True)
    resumed = training.run.train(trained.experiment("row"), folder)
    assert "--snapshot=" in resumed["command"]
    assert resumed["tests"] == whole["tests"]
    (weights,) = folder.glob("*.caffemodel")
    assert weights.read_bytes() == (whole_folder / weights.name).read_bytes()


KILLED = """
import dataclasses, pathlib, sys
import training.run
from approx_dropout.state import read_solver_state
from nets import registry
experiment = dataclasses.replace(
    registry.find("mnist/row_0.5"), data=sys.argv[1], hidden=(64, 64),
    epochs=100000)
training.run.train(experiment, pathlib.Path(sys.argv[2]))
"""


def test_killed_training_ends_caffe_with_a_whole_snapshot(digits, tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, digits, tmp_path / "run"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(
            str(ROOT / folder) for folder in ("scripts", "python_layers"))},
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    metrics = tmp_path / "run/metrics.json"
    deadline = time.monotonic() + 120
    while not metrics.exists() or not json.loads(metrics.read_text())["tests"]:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.1)
    process.kill()
    process.wait()
    descriptor = os.open(tmp_path / "run/.lock", os.O_RDWR)
    while True:  # until caffe has ended, too
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            assert time.monotonic() < deadline
            time.sleep(0.1)
    os.close(descriptor)
    files = list((tmp_path / "run").glob("snapshot_iter_*.solverstate"))
    states = {read_solver_state(path).iteration: path for path in files}
    logged = json.loads(metrics.read_text())["train"][-1]["iteration"]
    assert max(states) >= logged
    for iteration, path in states.items():
        assert path.name == f"snapshot_iter_{iteration}.solverstate"
        assert path.with_suffix(".caffemodel").exists()


@pytest.mark.parametrize("method", METHODS[1:])
def test_drop_rate_is_achieved(trained, method):
    """K gives the rate to 0.001; the draws made scatter around it, by 0.3 a
    draw with PERIOD."""
    rates = trained(method)[0]["drop_rate"]
    assert set(rates["layers"]) == {"pattern1", "pattern2"}
    assert rates["expected"] == pytest.approx(RATE, abs=1e-3)
    tolerance = 0.06 if method.endswith("period") else 0.01
    assert rates["realised"] == pytest.approx(RATE, abs=tolerance)
    for layer in rates["layers"].values():
        assert layer["draws"] == EPOCHS * 47


@pytest.mark.parametrize("method", METHODS[1:])
def test_weights_give_the_same_accuracy_in_the_stock_net(trained, method):
    metrics, folder = trained(method)
    stock = trained("conventional")[1]
    accuracy = metrics["tests"][-1]["accuracy"]
    logged = round(TEST_SAMPLES * accuracy)
    assert correct_in(stock, folder) == pytest.approx(logged, abs=1)
    assert correct_in(folder, folder) == pytest.approx(logged, abs=1)


@pytest.mark.parametrize("method", METHODS[1:])
def test_stock_weights_load_into_the_other_nets(trained, method):
    stock = trained("conventional")[1]
    folder = trained(method)[1]
    expected = correct_in(stock, stock)
    assert correct_in(folder, stock) == pytest.approx(expected, abs=1)
