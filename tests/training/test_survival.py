"""train.py: one training a folder, ends of all kinds, logs with holes."""

import fcntl
import json
import os
import pty
import re
import resource
import shutil
import signal
import subprocess
import termios
import time

import pytest

import training.run
from failing_writes import run_survey

FOLDER = "runs/mnist/conventional_0.5"


def wait_for(condition, what):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def at_first_epoch(tmp_path):
    """Waits until the first epoch's test is logged; the ids of train.py and
    of caffe, which both train."""
    metrics = tmp_path / FOLDER / "metrics.json"
    wait_for(
        lambda: metrics.exists() and json.loads(metrics.read_text())["tests"],
        "no test was logged",
    )
    ids = (tmp_path / FOLDER / ".lock").read_text().split()
    return [int(word) for word in ids]


def lives(process):
    """Whether a process runs: one that nobody waited for does not."""
    try:
        with open(f"/proc/{process}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def finished(program, tmp_path):
    """Runs the program to its end; the metrics."""
    process = program()
    errors = process.communicate()[1]
    assert process.returncode == 0, errors
    assert (tmp_path / FOLDER / "done").exists()
    return json.loads((tmp_path / FOLDER / "metrics.json").read_text())


def check_whole(metrics):
    assert metrics["status"] == "finished"
    assert [row["iteration"] for row in metrics["train"]] == [
        *range(0, 939, 50)
    ]
    assert [test["epoch"] for test in metrics["tests"]] == [1, 2]


def test_second_training_of_a_folder_is_refused(program, tmp_path):
    first = program("hang")
    ids = at_first_epoch(tmp_path)
    assert ids[0] == first.pid
    before = files(tmp_path / FOLDER)
    for options in [], ["--force"]:
        second = program("hang", *options)
        errors = second.communicate()[1]
        assert second.returncode == 1
        assert f"{FOLDER} is in use: process {ids[0]}, {ids[1]}" in errors
        assert "Traceback" not in errors
    assert files(tmp_path / FOLDER) == before
    assert first.poll() is None and lives(ids[1])


@pytest.mark.parametrize(
    "number", [signal.SIGHUP, signal.SIGTERM, signal.SIGINT]
)
def test_signal_ends_caffe_with_a_snapshot(program, tmp_path, number):
    process = program("hang")
    _, caffe = at_first_epoch(tmp_path)
    process.send_signal(number)
    errors = process.communicate()[1]
    assert process.returncode == 1
    assert "goes on from snapshot_iter_500.solverstate" in errors
    assert "Traceback" not in errors and not lives(caffe)
    assert (tmp_path / FOLDER / "snapshot_iter_500.solverstate").exists()
    check_whole(finished(program, tmp_path))


def test_closed_terminal_ends_caffe(program, tmp_path):
    terminal, end = pty.openpty()

    def own_terminal():
        os.setsid()
        fcntl.ioctl(end, termios.TIOCSCTTY, 0)

    process = program(
        "hang", stdin=end, stdout=end, stderr=end, preexec_fn=own_terminal
    )
    os.close(end)
    _, caffe = at_first_epoch(tmp_path)
    os.close(terminal)
    process.wait(30)
    assert not lives(caffe)
    assert (tmp_path / FOLDER / "snapshot_iter_500.solverstate").exists()
    check_whole(finished(program, tmp_path))


def test_nohup_goes_on(program, tmp_path):
    process = program(
        "hang",
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
    )
    _, caffe = at_first_epoch(tmp_path)
    process.send_signal(signal.SIGHUP)
    time.sleep(0.3)
    assert process.poll() is None and lives(caffe)
    process.terminate()
    process.communicate()


def test_killed_training_takes_caffe_with_it(program, tmp_path):
    """Caffe, whose log nobody reads any more, still takes its snapshot; the
    folder is locked until it has ended."""
    process = program("hang")
    _, caffe = at_first_epoch(tmp_path)
    os.kill(caffe, signal.SIGSTOP)
    process.kill()
    process.communicate()
    second = program("hang")
    errors = second.communicate()[1]
    assert second.returncode == 1
    assert f"{FOLDER} is in use: process {caffe} trains" in errors
    os.kill(caffe, signal.SIGCONT)
    wait_for(lambda: not lives(caffe), "caffe trains on")
    assert (tmp_path / FOLDER / "snapshot_iter_500.solverstate").exists()
    check_whole(finished(program, tmp_path))


def test_killed_script_takes_training_with_it(program, tmp_path):
    """That is one which says so: see test_nohup_goes_on."""
    with subprocess.Popen(["sleep", "100"]) as script:
        process = program("hang", f"--end-after={script.pid}")
        _, caffe = at_first_epoch(tmp_path)
        script.kill()
    errors = process.communicate()[1]
    assert process.returncode == 1
    assert f"as process {script.pid} has ended" in errors
    assert "goes on from snapshot_iter_500.solverstate" in errors
    assert "Traceback" not in errors and not lives(caffe)
    process = program("", f"--end-after={script.pid}")
    assert "No such process" in process.communicate()[1]
    assert process.returncode == 1
    check_whole(finished(program, tmp_path))


def test_killed_before_any_snapshot_starts_again(program, tmp_path):
    """In a shell's background, too, where SIGINT is ignored."""
    process = program(
        "early",
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    )
    lock = tmp_path / FOLDER / ".lock"
    wait_for(
        lambda: lock.exists() and len(lock.read_text().split()) == 2,
        "caffe did not start",
    )
    caffe = int(lock.read_text().split()[1])
    process.kill()
    wait_for(lambda: not lives(caffe), "caffe trains on")
    check_whole(finished(program, tmp_path))


# A log with holes


def test_snapshot_behind_a_hole_in_the_log_is_not_used(fake, tmp_path):
    """Nor is it removed, unless that is asked for."""
    with pytest.raises(training.run.TrainingError, match="status -9"):
        fake("die", epochs=2)
    state = tmp_path / "run/snapshot_iter_469.solverstate"
    shutil.copy(state, tmp_path / "run/snapshot_iter_938.solverstate")
    (tmp_path / "run/log.txt").write_text("")
    with pytest.raises(
        training.run.TrainingError,
        match="snapshot_iter_938 is not used, since its log lacks the loss of "
        "iteration 0 and .* more; --force",
    ):
        fake("", epochs=2)
    assert (tmp_path / "run/snapshot_iter_938.solverstate").exists()
    metrics = fake("", epochs=2, force=True)
    assert "--snapshot" not in metrics["command"]
    check_whole(metrics)


def test_first_epoch_with_a_hole_starts_again(fake, tmp_path, capsys):
    with pytest.raises(training.run.TrainingError, match="status -9"):
        fake("die", epochs=2)
    log = tmp_path / "run/log.txt"
    lines = log.read_text().splitlines(keepends=True)
    log.write_text("".join(x for x in lines if "Iteration 150 " not in x))
    metrics = fake("", epochs=2)
    assert "--snapshot" not in metrics["command"]
    said = capsys.readouterr().out
    assert "snapshot_iter_469 is not used, since its log lacks the loss" in said
    check_whole(metrics)


def test_cut_off_line_is_removed_before_the_next_session(fake, tmp_path):
    with pytest.raises(training.run.TrainingError, match="status -9"):
        fake("die", epochs=2)
    with open(tmp_path / "run/log.txt", "a") as log:
        log.write("I1122 19:00:00.1 1 solver.cpp:1] Iteration 4")
    metrics = fake("", epochs=2)
    assert "_iter_469.solverstate" in metrics["command"]
    check_whole(metrics)
    assert "Iteration 4I1122" not in (tmp_path / "run/log.txt").read_text()


def test_end_with_a_hole_is_not_finished(fake, tmp_path, monkeypatch):
    feed = training.run.CaffeLog.feed
    monkeypatch.setattr(
        training.run.CaffeLog,
        "feed",
        lambda self, x: "Iteration 700 " not in x and feed(self, x),
    )
    with pytest.raises(
        training.run.TrainingError,
        match="came to its end, but its log lacks the loss of iteration 700; "
        "the same command goes on from snapshot_iter_469.solverstate",
    ):
        fake(epochs=2)
    assert not (tmp_path / "run/done").exists()
    monkeypatch.undo()


def test_finished_run_with_a_hole_is_refused(fake, tmp_path):
    fake(epochs=2)
    file = tmp_path / "run/metrics.json"
    metrics = json.loads(file.read_text())
    metrics["tests"].pop(0)
    file.write_text(json.dumps(metrics))
    with pytest.raises(
        training.run.TrainingError,
        match="lacks the test of net 0 at iteration 469; --force removes",
    ):
        fake(epochs=2)
    check_whole(fake(epochs=2, force=True))


@pytest.mark.parametrize("content", ["", "{", "[]", "\0\0"])
def test_damaged_metrics_are_named(fake, tmp_path, content):
    with pytest.raises(training.run.TrainingError, match="status -9"):
        fake("die", epochs=2)
    (tmp_path / "run/metrics.json").write_text(content)
    with pytest.raises(
        training.run.TrainingError, match="metrics.json is damaged.*--force"
    ):
        fake(epochs=2)


@pytest.mark.parametrize(
    "content, message",
    [
        ("{", "source.json is damaged"),
        ("[]", "source.json is damaged"),
        ('{"used": "x"}', "source.json is damaged.*'counts'"),
        (
            '{"used": "", "counts": {}, "bytes": {"lmdb/data.mdb": 9}}',
            "lmdb/data.mdb has 5 bytes, not the 9 that were written: prepare",
        ),
    ],
)
def test_damaged_data_are_named(fake, tmp_path, content, message):
    (tmp_path / "data/source.json").write_text(content)
    (tmp_path / "data/lmdb").mkdir()
    (tmp_path / "data/lmdb/data.mdb").write_bytes(b"short")
    with pytest.raises(training.run.TrainingError, match=message):
        fake()
    assert not (tmp_path / "run").exists()


# A full disk


def test_full_disk_ends_the_training_at_once(program, tmp_path):
    limit = 2000  # bytes of a file
    process = program(
        preexec_fn=lambda: resource.setrlimit(
            resource.RLIMIT_FSIZE, (limit, limit)
        ),
    )
    errors = process.communicate()[1]
    assert process.returncode == 1
    last = errors.splitlines()[-1]
    assert re.fullmatch(f"train.py: .*{FOLDER}/[a-z.]+: File too large", last)
    assert "Traceback" not in errors
    check_whole(finished(program, tmp_path))


SURVEY = """
import json, pathlib, shutil, sys
from failing_writes import survey
import training.run
root = pathlib.Path(sys.argv[1])
training.run.ROOT = root
training.run.CAFFE = root / "caffe"
import train
folder = root / "runs/mnist/conventional_0.5"

def program():
    return train.main(["--max-iter=200", "mnist/conventional_0.5"])

def after(which, text):
    metrics = json.loads((folder / "metrics.json").read_text()) if (
        (folder / "metrics.json").exists()) else None
    done = folder / "done"
    assert metrics or not done.exists(), which
    assert not done.exists() or metrics["status"] == "finished", which
    assert not [*folder.glob("*.part")], which
    if text is not None:
        assert not program(), which  # what failed goes on to its end
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["status"] == "finished" and done.exists(), which
    assert [x["iteration"] for x in metrics["train"]] == [
        0, 50, 100, 150, 200], which

survey(root / "runs", program, lambda: shutil.rmtree(root / "runs", True),
       after)
"""


def test_every_failing_write_is_survived(program, tmp_path):
    """The training ends with path and reason and is not called finished; the
    next is whole."""
    program("").communicate()  # makes the data and the program
    print(run_survey(tmp_path, SURVEY))
