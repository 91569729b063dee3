"""approx-dropout log: tables, JSON, CSV, pictures, and logs that grow."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time

import pytest
from caffe_logs import DONE, LOG, ROWS, SETTINGS

from approx_dropout import log_picture
from approx_dropout.__main__ import main
from approx_dropout.log_file import LogFile
from approx_dropout.log_table import LiveTable
from project import ROOT


@pytest.fixture
def logs(tmp_path, monkeypatch):
    """a.log goes on, b.log is done, at iteration 100 of 400."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.log").write_text(LOG)
    (tmp_path / "b.log").write_text(LOG.replace("= 0.75", "= 0.5") + DONE)
    return ["a.log", "b.log"]


def output(capsys, *arguments):
    assert main(["log", *arguments]) == 0
    return capsys.readouterr().out


def test_table_of_one_run(logs, capsys):
    lines = output(capsys, "a.log").splitlines()
    assert lines[0].split() == (
        "iteration left time learning rate loss train loss test accuracy "
        "test loss".split()
    )
    assert lines[1].split() == ("0 0:00:56 0:00:05 0.1 2.5 2.4 0.1 2.5".split())
    assert lines[-3].split() == (
        "100 0:00:42 0:00:14 0.01 1 0.9 0.75 0.5".split()
    )
    assert lines[-1] == (
        "a.log: iteration 100 of 400, 140 ms/iteration, 0:00:42 left"
    )


def test_table_of_several_runs(logs, capsys):
    head, a, b = output(capsys, *logs).splitlines()
    assert a.split()[:4] == ["a.log", "400", "0:00:42", "140"]
    assert b.split()[:3] == ["b.log", "400", "done"]
    assert a.split()[-2:] == ["0.75", "0.5"] and b.split()[-2] == "0.5"
    assert head.endswith("test accuracy  test loss")


def test_long_run_is_thinned(tmp_path, capsys):
    path = tmp_path / "log"
    path.write_text(
        "".join(f"Iteration {i}, loss = {i}\n" for i in range(1000))
    )
    lines = output(capsys, str(path)).splitlines()
    assert len(lines) == 1 + 24 + 2
    assert lines[1].split() == ["0", "0"] and lines[24].split()[0] == "999"
    assert lines[-1].endswith("the log does not show max_iter")


def test_json_and_csv(logs, capsys):
    with open("a.log", "a") as file:
        file.write("Iteration 150, loss = nan\n")
    runs = json.loads(output(capsys, "--json", *logs))["runs"]
    assert [run["file"] for run in runs] == logs
    assert runs[0]["rows"][:3] == ROWS
    assert runs[0]["rows"][3]["loss"] is None and runs[0]["diverged"]
    assert runs[1]["ended"] == "done" and runs[1]["seconds_left"] == 0
    rows = [*csv.DictReader(io.StringIO(output(capsys, "--csv", *logs)))]
    assert len(rows) == 4 + 3
    assert rows[2]["test accuracy"] == "0.75" and rows[1]["test loss"] == ""
    assert rows[3]["loss"] == "nan" and rows[6]["file"] == "b.log"


@pytest.mark.parametrize(
    "name, start", [("x.png", b"\x89PNG"), ("x.pdf", b"%PDF")]
)
def test_picture(logs, capsys, name, start):
    output(capsys, "--picture", name, *logs)
    with open(name, "rb") as file:
        assert file.read(4) == start


def test_panels_of_the_picture():
    assert log_picture.panels(ROWS) == {
        "training loss": ["loss"],
        "loss": ["train loss", "test loss"],
        "accuracy": ["test accuracy"],
        "learning rate": ["learning_rate"],
    }


def test_refuses_what_is_no_log(tmp_path, capsys):
    (tmp_path / "x").write_bytes(os.urandom(1000))
    for path in (tmp_path / "x", tmp_path / "missing"):
        assert main(["log", str(path)]) == 1
        err = capsys.readouterr().err
        assert err.startswith("approx-dropout: ") and str(path) in err
    with pytest.raises(SystemExit):
        main(["log", "--follow", "--csv", "x"])


@pytest.fixture
def follow(tmp_path):
    """Starts `log --follow`; it is killed at the end."""
    started = []

    def follow(*files):
        started.append(
            subprocess.Popen(
                [sys.executable, "-m", "approx_dropout", "log", "--follow",
                 *files],
                cwd=tmp_path,
                env={**os.environ, "PYTHONPATH": str(ROOT / "python_layers")},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )  # fmt: skip
        return started[-1]

    yield follow
    for process in started:
        process.kill()
        process.communicate()


def test_follow_waits_shows_what_comes_and_ends(tmp_path, follow):
    process = follow("log")
    assert process.stderr.readline() == "waiting for log\n"
    middle = LOG.index("Iteration 100, lr")
    (tmp_path / "log").write_text(LOG[:middle])
    assert process.stdout.readline().split()[0] == "iteration"
    shown = [process.stdout.readline().split()[0] for _ in range(2)]
    assert shown[0] == "0"
    with open(tmp_path / "log", "a") as file:
        file.write(LOG[middle:] + DONE)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0 and err == ""
    lines = out.splitlines()
    assert lines[-2].split()[0] == "100" and lines[-2].split()[2] == "0.01"
    assert lines[-1].endswith("done")


def test_live_table_shows_each_row_once(tmp_path, capsys):
    """Though a row lacks values, or is looked at while it is in the making."""
    path = tmp_path / "log"
    path.write_text(LOG + "Iteration 120, Testing net (#0)\n")
    file = LogFile(str(path))
    live = LiveTable([file])

    def shown(idle):
        file.read()
        live.show(file, idle)
        lines = capsys.readouterr().out.splitlines()
        return [line.split()[0] for line in lines if "loss" not in line]

    assert shown(False) == ["0", "50"]
    assert shown(True) == ["100"]
    assert shown(False) == shown(True) == []
    with open(path, "a") as output:
        output.write("    Test net output #0: accuracy = 0.8\n")
    assert shown(False) == []
    assert shown(True) == ["120"]
    with open(path, "a") as output:
        output.write("Iteration 150, loss = 0.5\nIteration 200, loss = 0.4\n")
    assert shown(False) == ["150"]
    path.write_text("Iteration 1, loss = 2\n")
    assert shown(True) == ["1"]


def test_follow_ends_at_control_c(tmp_path, follow):
    (tmp_path / "log").write_text(LOG)
    process = follow("log")
    for _ in range(3):
        process.stdout.readline()
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0 and err == ""
    assert out.splitlines()[-1].startswith("log: iteration 100 of 400")


def test_endless_time_left_is_unknown(tmp_path, capsys):
    """Seconds that a number can hold, times iterations, may be none."""
    log = tmp_path / "log"
    log.write_text(
        SETTINGS
        + "".join(
            f"Iteration {i} (1 iter/s, 1e308s/5 iters), loss = 1\n"
            for i in (0, 5)
        )
    )
    assert main(["log", str(log)]) == 0
    assert "? left" in capsys.readouterr().out
    assert main(["log", "--json", str(log)]) == 0
    (run,) = json.loads(capsys.readouterr().out)["runs"]
    assert run["seconds_left"] is None
