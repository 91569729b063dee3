"""The parser of Caffe's logs, and logs as files: any format, any encoding."""

import math
import random

import pytest
from caffe_logs import DONE, LOG, MESSAGES, ROWS, SETTINGS, written

from approx_dropout.caffe_log import CaffeLog
from approx_dropout.log_file import LogFile


def without_times(rows):
    return [{k: v for k, v in row.items() if k != "seconds"} for row in rows]


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


@pytest.mark.parametrize("speed", ["1s/0 iters", "infs/5 iters", "nans/5 it"])
def test_speeds_that_tell_nothing(speed):
    log = CaffeLog()
    for iteration in 5, 5, 10, 10:
        log.feed(f"Iteration {iteration} (1 iter/s, {speed}), loss = 1")
    assert log.seconds_per_iteration == [] and log.pace() is None
