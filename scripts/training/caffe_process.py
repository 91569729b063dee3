"""The tool `caffe` in a process of its own; processes that end together."""

import contextlib
import ctypes
import errno
import functools
import os
import select
import signal
import subprocess
import sys
import threading

LOGGING = {"GLOG_logtostderr": "1", "GLOG_minloglevel": "0"}
STOP = signal.SIGINT  # Caffe then ends after this iteration, with a snapshot
_PR_SET_PDEATHSIG = 1  # of Linux's prctl
_LIBC = ctypes.CDLL(None)


def end_with(parent, number=signal.SIGKILL):
    """This process gets the signal when its parent ends, however that is.

    parent: its process id. Nothing happens on systems other than Linux.
    """
    if not sys.platform.startswith("linux"):
        return
    if number != signal.SIGKILL:  # a shell's background ignores SIGINT
        signal.signal(number, signal.SIG_DFL)
    _LIBC.prctl(_PR_SET_PDEATHSIG, number)
    if os.getppid() != parent:  # it ended before
        os.kill(os.getpid(), signal.SIGKILL)


def end_after(process):
    """This process gets SIGTERM when another one ends, however that is; that
    need not be its parent.

    process: its id; ProcessLookupError if there is none. Nothing happens on
    systems other than Linux, nor before Linux 5.3.
    """
    if not hasattr(os, "pidfd_open"):
        return
    try:
        other = os.pidfd_open(process)
    except OSError as error:
        if error.errno == errno.ENOSYS:
            return
        raise

    def wait():
        select.select([other], [], [])
        print(f"ends, as process {process} has ended", file=sys.stderr)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGTERM)

    threading.Thread(target=wait, daemon=True).start()


@contextlib.contextmanager
def started(command, folder, kept_open=()):
    """The process, with everything that it logs as its stdout.

    It ends as Caffe does on Ctrl-C, with a snapshot, when this process gets
    SIGINT, SIGTERM or SIGHUP, is killed, or leaves by an exception.
    kept_open: file descriptors that it shares, a lock's say.
    """
    with subprocess.Popen(
        command,
        cwd=folder,
        env={**os.environ, **LOGGING},
        start_new_session=True,  # its signals come from here only
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        pass_fds=kept_open,
        # Where nobody reads its log any more it still takes its snapshot:
        # SIGPIPE, which Python ignores, stays ignored.
        restore_signals=False,
        preexec_fn=functools.partial(end_with, os.getpid(), STOP),
    ) as process:
        try:
            with _handed_on(process):
                yield process
        except BaseException:
            process.send_signal(STOP)
            for _ in process.stdout:  # a full pipe would keep it from ending
                pass
            raise


@contextlib.contextmanager
def _handed_on(process):
    """Hands signals that would end this process on to Caffe instead. SIGHUP
    stays ignored where it is, under nohup."""
    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    earlier = {
        number: signal.signal(number, lambda *_: process.send_signal(STOP))
        for number in numbers
    }
    try:
        yield
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)
