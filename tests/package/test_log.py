"""approx-dropout log: any Caffe log, read, shown and followed."""

import csv
import io
import json
import math
import os
import random
import signal
import subprocess
import sys
import time

import pytest

from approx_dropout import log_picture
from approx_dropout.__main__ import main
from approx_dropout.caffe_log import CaffeLog
from approx_dropout.log_file import LogFile
from approx_dropout.log_table import LiveTable
from conftest import ROOT

SETTINGS = """\
Initializing solver from parameters:\x20
test_iter: 10
test_interval: 100
base_lr: 0.1
display: 50
max_iter: 400
lr_policy: "step"
net_param {
  layer {
    name: "max_iter: 7"
    top: "Iteration 9, loss = 1"
  }
}
snapshot_prefix: "x"
"""
MESSAGES = (
    "Starting Optimization",
    "Solving net",
    "Iteration 0, Testing net (#0)",
    "    Test net output #0: accuracy = 0.1",
    "    Test net output #1: loss = 2.5 (* 1 = 2.5 loss)",
    "Iteration 0 (0 iter/s, 0.5s/50 iters), loss = 2.5",
    "    Train net output #0: loss = 2.4 (* 1 = 2.4 loss)",
    "Iteration 0, lr = 0.1",
    "Iteration 50 (10 iter/s, 5s/50 iters), loss = 1.5",
    "    Train net output #0: loss = 1.4 (* 1 = 1.4 loss)",
    "Iteration 50, lr = 0.1",
    "Iteration 100, Testing net (#0)",
    "    Test net output #0: accuracy = 0.75",
    "    Test net output #1: loss = 0.5 (* 1 = 0.5 loss)",
    "Iteration 100 (8 iter/s, 6.25s/50 iters), loss = 1",
    "    Train net output #0: loss = 0.9 (* 1 = 0.9 loss)",
    "Iteration 100, lr = 0.01",
)
ROWS = [
    {
        "iteration": 0,
        "seconds": 5.0,
        "learning_rate": 0.1,
        "loss": 2.5,
        "train loss": 2.4,
        "test accuracy": 0.1,
        "test loss": 2.5,
    },
    {
        "iteration": 50,
        "seconds": 8.0,
        "learning_rate": 0.1,
        "loss": 1.5,
        "train loss": 1.4,
    },
    {
        "iteration": 100,
        "seconds": 14.0,
        "learning_rate": 0.01,
        "loss": 1.0,
        "train loss": 0.9,
        "test accuracy": 0.75,
        "test loss": 0.5,
    },
]


def written(messages, prefix="I20261129 {} 4242 solver.cpp:239] ", start=36000):
    """A log with a second between two lines."""
    lines = []
    for second, message in enumerate(messages, start):
        minute, second = divmod(second, 60)
        clock = f"{minute // 60:02}:{minute % 60:02}:{second:02}.000000"
        lines.append(prefix.format(clock) + message + "\n")
    return "".join(lines)


def without_times(rows):
    return [{k: v for k, v in row.items() if k != "seconds"} for row in rows]


LOG = written([SETTINGS.rstrip("\n"), *MESSAGES])
DONE = written(["Optimization Done."], start=36100)


# The parser


@pytest.mark.parametrize(
    "prefix",
    [
        "I20261129 {} 4242 solver.cpp:239] ",
        "I1129 {}  4242 solver.cpp:239] ",
        "I1129 {} 0x7fff8a solver.cpp:239] ",
        "I1129 {}  4242 C:\\caffe\\src\\solver.cpp:239] ",
        "\x1b[0;32mI1129 {} 4242 solver.cpp:239] ",
        "2026-11-29T10:00:00Z I1129 {} 4242 solver.cpp:239] ",
    ],
)
def test_prefixes(prefix):
    log = CaffeLog(written([SETTINGS, *MESSAGES], prefix))
    assert log.max_iter == 400
    rows = log.rows()
    assert without_times(rows) == without_times(ROWS)
    wanted = [x["seconds"] - 5 for x in ROWS]
    assert [row["seconds"] - rows[0]["seconds"] for row in rows] == wanted


def test_without_prefix():
    log = CaffeLog(SETTINGS + "\n".join(MESSAGES) + "\n")
    assert log.rows() == without_times(ROWS)
    assert log.max_iter == 400
    assert log.seconds_left() == pytest.approx(300 * 0.1)


def test_old_format_without_speed():
    old = [m.replace(" (8 iter/s, 6.25s/50 iters)", "") for m in MESSAGES]
    old = [m.replace(" (10 iter/s, 5s/50 iters)", "") for m in old]
    log = CaffeLog(written(old))
    assert without_times(log.rows()) == without_times(ROWS)
    assert log.pace() == pytest.approx(0.14)  # 14 lines, 100 iterations
    assert log.seconds_left() is None  # no settings, no max_iter


def test_time_left_counts_tests():
    log = CaffeLog(LOG)
    assert log.pace() == pytest.approx(0.14)
    assert log.seconds_left() == pytest.approx(300 * 0.14)
    assert CaffeLog(LOG + DONE).seconds_left() == 0


def test_several_test_nets_and_outputs_of_several_values():
    log = CaffeLog(
        "Iteration 5, Testing net (#0)\n"
        "Test net output #0: a = 1\n"
        "Test net output #1: a = 2\n"
        "Test net output #2: a = 3\n"
        "Test net output #3: loss = 4\n"
        "Iteration 5, Testing net (#1)\n"
        "Test net output #0: a = 5\n"
    )
    assert log.rows() == [
        {
            "iteration": 5,
            "test0 a": 1,
            "test0 a[1]": 2,
            "test0 a[2]": 3,
            "test0 loss": 4,
            "test1 a": 5,
        }
    ]


def test_sessions():
    """A session that goes back replaces what follows; one from 0, all."""
    resumed = CaffeLog(
        LOG
        + written(
            [
                SETTINGS,
                "Resuming from x_iter_60.solverstate",
                "Starting Optimization",
                "Iteration 75 (-3 iter/s, 9s/50 iters), loss = 7",
            ],
            start=90000,
        )
    )
    assert [row["iteration"] for row in resumed.rows()] == [0, 50, 75]
    assert resumed.tests.keys() == {(0, 0)}
    assert resumed.replaced
    assert resumed.seconds[75] == 8  # the time between sessions is none
    again = CaffeLog(LOG + LOG)
    assert again.rows() == CaffeLog(LOG).rows()
    assert again.replaced
    later = CaffeLog(LOG + written(["Iteration 150, loss = 0.5"]))
    assert not later.replaced
    assert len(later.rows()) == 4


def test_new_year():
    lines = [
        "I1231 23:59:59.000000 1 s.cpp:1] Iteration 0, loss = 1",
        "I0101 00:00:01.500000 1 s.cpp:1] Iteration 10, loss = 1",
    ]
    log = CaffeLog("\n".join(lines) + "\n")
    assert log.seconds == {0: 0, 10: 2.5}


@pytest.mark.parametrize(
    "text", ["nan", "-nan", "-nan(ind)", "1.#QNAN", "-1.#IND", "inf", "-1.#INF"]
)
def test_not_finite(text):
    log = CaffeLog(f"Iteration 10, loss = {text}\nIteration 20, loss = 1\n")
    assert log.diverged
    assert math.isnan(log.losses[10]) == ("inf" not in text.lower())
    assert log.losses[20] == 1


def test_other_makers_lines():
    log = CaffeLog(
        "Iteration 10 (2 iter/s, 5s/10 iter), 0.5/12.8ep, loss = 3\n"
        "Iteration 10, lr = 0.01, m = 0.9, wd = 0.0005\n"
        "Iteration 20, loss = broken\n"
        "Iteration 30, loss = 2, 5 minutes left\n"
    )
    assert log.losses == {10: 3, 30: 2}
    assert log.learning_rates == {10: 0.01}


def test_damaged_logs():
    """Cut, doubled and garbled anywhere: read as far as it makes sense."""
    draw = random.Random(1)
    for _ in range(300):
        text = LOG + DONE
        for _ in range(draw.randrange(1, 5)):
            start, end = sorted(draw.choices(range(len(text)), k=2))
            junk = "".join(draw.choices("\0\n:{}=,()#0Ie- ", k=3))
            text = text[:start] + junk + draw.choice((text[end:], text[start:]))
        log = CaffeLog(text)
        assert log.rows() is not None and log.seconds_left() != -1
        for row in log.rows():
            assert row["iteration"] >= 0


def test_stopped_run_is_not_done():
    log = CaffeLog(LOG + written(["Optimization stopped early."]) + DONE)
    assert log.ended == "stopped"
    assert log.seconds_left() > 0
    assert CaffeLog(LOG + DONE).ended == "done"


# The file


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "gbk"]
)
def test_encodings_and_line_ends(tmp_path, encoding):
    text = LOG.replace("accuracy", "精度").replace("\n", "\r\n")
    (tmp_path / "log").write_bytes(text.encode(encoding))
    file = LogFile(tmp_path / "log")
    assert file.read() and not file.read()
    outputs = file.log.tests[100, 0]
    assert 0.75 in outputs.values() and outputs["loss"] == 0.5
    if encoding != "gbk":
        assert "精度" in outputs


def test_file_grows_and_is_replaced(tmp_path):
    path = tmp_path / "log"
    file = LogFile(path)
    with pytest.raises(FileNotFoundError):
        file.read()
    data = LOG.replace("accuracy", "精度").encode()
    path.write_bytes(b"")
    with open(path, "ab", buffering=0) as output:
        for byte in range(len(data)):  # characters and lines come in parts
            output.write(data[byte : byte + 1])
            file.read()
    assert file.log.rows() == CaffeLog(data.decode()).rows()
    path.write_text("Iteration 7, loss = 1\nIteration 14, loss = 0.1")
    assert file.read()
    assert file.log.losses == {7: 1}  # the last line may have been cut off


# The command


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
        "a.log: iteration 100 of 400, 140 ms an iteration, 0:00:42 left"
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
