"""The tool `caffe` in a process of its own."""

import contextlib
import os
import signal
import subprocess

LOGGING = {"GLOG_logtostderr": "1", "GLOG_minloglevel": "0"}


@contextlib.contextmanager
def started(command, folder):
    """The process, with everything that it logs as its stdout.

    It ends as Caffe does on Ctrl-C, with a snapshot, when this process gets
    SIGINT or SIGTERM.
    """
    with (
        subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, **LOGGING},
            start_new_session=True,  # its signals come from here only
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as process,
        _handed_on(process),
    ):
        yield process


@contextlib.contextmanager
def _handed_on(process):
    """Hands SIGINT and SIGTERM on to Caffe as SIGINT instead of ending."""
    numbers = signal.SIGINT, signal.SIGTERM
    earlier = {
        number: signal.signal(
            number, lambda *_: process.send_signal(signal.SIGINT)
        )
        for number in numbers
    }
    try:
        yield
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)
