"""Programs run with a disk that fills up at the n-th write, for every n.

A test file that imports this calls `survey` in a process of its own, with
fail_writes.c preloaded: see run_survey.
"""

import contextlib
import ctypes
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import PYTHONPATH

FOR_GOOD = 2**62
REASON = "No space left on device"


def preloaded(tmp_path):
    """fail_writes.c, compiled into tmp_path."""
    library = tmp_path / "fail_writes.so"
    source = Path(__file__).with_name("fail_writes.c")
    subprocess.run(
        ["cc", "-shared", "-fPIC", "-O1", "-Wall", "-Wno-nonnull-compare",
         "-Werror", source, "-o", library, "-ldl"],
        check=True,
    )  # fmt: skip
    return library


def run_survey(tmp_path, code):
    """Runs Python code with fail_writes.c preloaded, this folder and that of
    the scripts on its path, and tmp_path as sys.argv[1]; what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path],
        env={
            **os.environ,
            "LD_PRELOAD": preloaded(tmp_path),
            "PYTHONPATH": PYTHONPATH,
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def survey(folder, program, before, after):
    """Runs a program undisturbed and then with each of its writes below the
    folder failing, once alone and once with all that follow.

    program: returns its exit status; what it prints is caught. before: makes
    the folder as it was. after: takes a description; checks that what was
    there before is whole, or that the program's own work is, and cleans up.
    Prints how many writes there were.
    """
    library = ctypes.CDLL(os.environ["LD_PRELOAD"])
    library.writes_counted.restype = ctypes.c_long

    def attempt(first, last):
        before()
        said = io.StringIO()
        arguments = map(ctypes.c_long, (first, last))
        library.fail_writes(os.fsencode(folder), *arguments)
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            try:
                status = program()
            except SystemExit as end:
                said.write(str(end.code))
                status = 1
        count = library.writes_counted()
        library.fail_writes(b"", ctypes.c_long(0), ctypes.c_long(0))
        return status, said.getvalue(), count

    status, text, count = attempt(0, 0)
    assert not status, text
    after("undisturbed", None)
    for n in range(1, count + 1):
        for last in n, FOR_GOOD:
            status, text, _ = attempt(n, last)
            which = f"write {n} of {count} failing" + (
                "" if last == n else ", and all later"
            )
            assert status == 1, (which, status, text)
            lines = [line for line in text.splitlines() if REASON in line]
            assert lines, (which, text)
            assert str(folder) in lines[-1], (which, text)
            assert "Traceback" not in text, (which, text)
            after(which, text)
    print(f"{count} writes, {2 * count} failures")


def in_small_disk(disk, script):
    """Runs a shell script with 450 KiB of tmpfs mounted at a folder, which go
    with it; skips where the system does not let us."""
    script = f"mount -t tmpfs -o size=450k tmpfs {disk} || exit 77\n{script}"
    for options in "-m", "-rm":
        done = subprocess.run(
            ["unshare", options, "sh", "-c", script],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode == 0:
            return
    pytest.skip(f"no tmpfs can be mounted here: {done.stdout.strip()}")
