"""train.py: Caffe's logs, and runs with a program in Caffe's place."""

import dataclasses
import json
import math
import os
import pathlib
import re
import subprocess
import sys

import pytest

import nets.solver
import train
import training.run
from nets import registry
from training.caffe_log import CaffeLog

LINE = "I20261122 19:00:00.123456 12345 {}\n"
LOG = "".join(
    LINE.format(message)
    for message in (
        "caffe.cpp:239] Starting Optimization",
        "solver.cpp:289] Solving mnist/row_0.5",
        "solver.cpp:239] Iteration 0 (-nan iter/s, 0.25s/50 iters), loss = 2.5",
        "solver.cpp:258]     Train net output #0: loss = 2.5 (* 1 = 2.5 loss)",
        "solver.cpp:239] Iteration 50 (25 iter/s, 2s/50 iters), loss = 1.25",
        "solver.cpp:239] Iteration 100 (20 iter/s, 2.5s/50 iters), loss = 1",
        "solver.cpp:347] Iteration 120, Testing net (#0)",
        "data_layer.cpp:73] Restarting data prefetching from start.",
        "solver.cpp:414]     Test net output #0: accuracy = 0.75",
        "solver.cpp:414]     Test net output #1: loss = 0.5 (* 1 = 0.5 loss)",
        "solver.cpp:239] Iteration 150 (8.3 iter/s, 6s/50 iters), loss = 0.5",
        "solver.cpp:239] Iteration 200 (25 iter/s, 2.25s/50 iters), loss = 0.4",
        "solver.cpp:464] Snapshotting to binary proto file x_iter_240",
        "solver.cpp:327] Iteration 240, loss = 0.375",
        "solver.cpp:347] Iteration 240, Testing net (#0)",
        "solver.cpp:414]     Test net output #0: accuracy = 0.875",
        "solver.cpp:414]     Test net output #1: loss = 1e-05",
        "caffe.cpp:250] Optimization Done.",
    )
)


# Logs


def test_log_is_read():
    log = CaffeLog(LOG)
    assert log.losses == {
        0: 2.5, 50: 1.25, 100: 1, 150: 0.5, 200: 0.4, 240: 0.375,
    }  # fmt: skip
    assert log.tests == {
        (120, 0): {"accuracy": 0.75, "loss": 0.5},
        (240, 0): {"accuracy": 0.875, "loss": 1e-5},
    }
    assert log.iteration == 240
    assert not log.diverged


def test_stretches_with_a_test_are_not_timed():
    timing = CaffeLog(LOG).timing()
    assert timing["intervals_ms"] == pytest.approx([40, 50, 45])
    assert timing["median_ms"] == pytest.approx(45)
    assert timing["quartiles_ms"] == pytest.approx([42.5, 47.5])
    assert CaffeLog("").timing() == {
        "median_ms": None,
        "quartiles_ms": None,
        "intervals_ms": [],
    }


def test_interrupted_log_ends_before_the_cut_off_line():
    cut = LOG[: LOG.index("0.5\n", LOG.index("Iteration 150"))] + "0"
    log = CaffeLog(cut)
    assert max(log.losses) == 100
    assert log.tests[120, 0]["loss"] == 0.5


def test_resumed_session_replaces_later_iterations():
    session = "".join(
        LINE.format("solver.cpp:239] " + message)
        for message in (
            "Starting Optimization",
            "Iteration 150 (-3.1 iter/s, 9s/50 iters), loss = 0.75",
            "Iteration 200 (25 iter/s, 1s/50 iters), loss = 0.7",
        )
    )
    log = CaffeLog(LOG + session)
    assert log.losses[150] == 0.75
    assert log.timing()["intervals_ms"] == pytest.approx([40, 50, 45, 20])


@pytest.mark.parametrize("value", ["nan", "-nan", "inf"])
def test_loss_that_is_not_finite_is_divergence(value):
    log = CaffeLog(LOG.replace("loss = 0.4", f"loss = {value}"))
    assert log.diverged
    assert not math.isfinite(log.losses[200])


# Runs, with a program in Caffe's place

def test_run_leaves_what_was_used_and_measured(fake, tmp_path):
    metrics = fake()
    run = tmp_path / "run"
    assert metrics["status"] == "finished"
    assert metrics["tests"] == [
        {"iteration": 469, "epoch": 1, "net": 0, "accuracy": 0.9}
    ]
    assert metrics["train"] == [
        {"iteration": i, "loss": 0.5} for i in range(0, 469, 50)
    ]
    assert metrics["drop_rate"]["realised"] == 0.5
    assert metrics["machine"]["cores"] == os.cpu_count()
    assert metrics["data"]["used"] == "made up"
    assert f"--solver={run}/solver.prototxt" in metrics["command"]
    solver = (run / "solver.prototxt").read_text()
    assert re.search(r"^test_iter: 3$", solver, re.M)  # 300 test samples
    assert "Starting Optimization" in (run / "log.txt").read_text()
    assert (run / "done").exists() and (run / "net.prototxt").exists()


def test_only_the_last_snapshot_is_kept(fake, tmp_path):
    fake(epochs=3)
    assert {path.name for path in (tmp_path / "run").glob("snapshot_*")} == {
        "snapshot_iter_1407.solverstate",
        "snapshot_iter_1407.caffemodel",
    }


def test_state_is_removed_before_its_model(fake, tmp_path, monkeypatch):
    """Killed in between, it leaves no state that cannot be gone on from."""
    unlink, removed = pathlib.Path.unlink, []

    def noted(path, **settings):
        removed.append(path.name)
        unlink(path, **settings)

    monkeypatch.setattr(pathlib.Path, "unlink", noted)
    fake(epochs=3)
    for iteration in (469, 938):
        state, model = (
            removed.index(f"snapshot_iter_{iteration}.{suffix}")
            for suffix in ("solverstate", "caffemodel"))
        assert state < model


@pytest.mark.parametrize("state", ["die", "cut", "empty"])
def test_killed_run_goes_on_from_the_last_epoch(fake, tmp_path, state):
    """Killed while it wrote the next snapshot, whose state is missing, cut off
    or empty."""
    with pytest.raises(training.run.TrainingError, match="status -9"):
        fake(state, epochs=2)
    metrics = fake(state, epochs=2)
    assert metrics["status"] == "finished"
    assert "snapshot_iter_469.solverstate" in metrics["command"]
    assert [test["epoch"] for test in metrics["tests"]] == [1, 2]


@pytest.mark.parametrize("limit", [0, 300, 1000])
@pytest.mark.parametrize("key", ["mnist/row_0.5", "ptb/small_row_0.5"])
def test_snapshots_are_an_epoch_apart(key, limit):
    experiment = dataclasses.replace(
        registry.find(key), iteration_limit=limit
    )
    epoch = experiment.epoch_iterations
    expected = min(epoch, limit) if limit else epoch
    assert nets.solver.solver(experiment, "", "")["snapshot"] == expected


def test_gpu_is_handed_to_the_cuda_build(fake, tmp_path):
    with pytest.raises(
        training.run.TrainingError,
        match="caffe-cuda is missing.*"
        "--gpu 1 needs CUDA: `make cuda` builds it",
    ):
        fake(gpu=1)
    assert not (tmp_path / "run").exists()
    fake()
    (tmp_path / "caffe").rename(training.run.CUDA_CAFFE)
    metrics = fake(gpu=1, force=True)
    assert f"{training.run.CUDA_CAFFE} train --gpu=1 " in metrics["command"]


@pytest.mark.parametrize("number", ["-1", "0,1", "all", ""])
def test_what_is_no_gpu_is_refused(number, capsys):
    with pytest.raises(SystemExit):
        train.main(["mnist/row_0.5", f"--gpu={number}"])
    assert "is no number of one GPU" in capsys.readouterr().err


def test_finished_run_is_skipped_unless_forced(fake, tmp_path):
    first = fake()
    assert fake("fail") == first
    with pytest.raises(training.run.TrainingError, match="--force"):
        fake(epochs=2)
    assert fake(epochs=2, force=True)["tests"][-1]["iteration"] == 938


def test_unfinished_run_of_other_settings_is_kept(fake, tmp_path):
    with pytest.raises(training.run.TrainingError, match="status -9"):
        fake("die", epochs=2)
    logs_more = {"settings": {"display": 7}}
    for other in {"epochs": 3}, {"epochs": 1}, {"epochs": 2, **logs_more}:
        with pytest.raises(
            training.run.TrainingError, match="unfinished.*--force"
        ):
            fake(**other)
    assert fake("die", epochs=2)["status"] == "finished"


def test_failure_shows_the_last_lines_and_the_status(fake, tmp_path):
    with pytest.raises(training.run.TrainingError, match="no good\n.*status 3"):
        fake("fail")
    metrics = json.loads((tmp_path / "run/metrics.json").read_text())
    assert metrics["status"] == "failed"
    assert metrics["train"][-1] == {"iteration": 50, "loss": 0.5}
    assert not (tmp_path / "run/done").exists()
    assert fake()["status"] == "finished"


def test_divergence_is_reported(fake):
    metrics = fake(loss="nan")
    assert metrics["diverged"]
    assert metrics["train"][1] == {"iteration": 50, "loss": None}


def test_missing_data_is_named(fake, tmp_path):
    (tmp_path / "data/source.json").unlink()
    with pytest.raises(training.run.TrainingError, match="prepare_mnist.py"):
        fake()


def test_interrupted_run_goes_on_from_its_snapshot(fake, tmp_path):
    """The signal goes to train.py alone; Caffe must get it all the same."""
    metrics = tmp_path / "run/metrics.json"
    watcher = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import os, signal, sys, time, json, pathlib\n"
            "metrics = pathlib.Path(sys.argv[1])\n"
            "while not metrics.exists() or not json.loads("
            "metrics.read_text())['tests']:\n"
            "    time.sleep(0.05)\n"
            "os.kill(int(sys.argv[2]), signal.SIGTERM)\n",
            str(metrics),
            str(os.getpid()),
        ]
    )
    with pytest.raises(training.run.TrainingError, match="goes on from .*_500"):
        fake("hang", epochs=2)
    watcher.wait(10)
    before = json.loads(metrics.read_text())
    assert before["status"] == "interrupted"
    after = fake("hang", epochs=2)
    assert after["status"] == "finished"
    assert "_iter_500.solverstate" in after["command"]
    (earlier,) = after["earlier"]
    fields = training.run.SESSION_FIELDS
    assert earlier == {field: before[field] for field in fields}
    assert "--snapshot" not in earlier["command"]
    assert after["wall_s"] > before["wall_s"]
    log = (tmp_path / "run/log.txt").read_text()
    assert log.count("Starting Optimization") == 2
