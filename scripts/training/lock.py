"""One training a folder: a lock that ends with the processes that hold it."""

import contextlib
import errno
import fcntl
import os

from project import StorageError, shown, writing

NAME = ".lock"


class LockedError(Exception):
    """Another process trains in the folder: which one."""


class Lock:
    """A locked file with the ids of the processes that train in its folder.

    A process that inherits `descriptor` holds the lock, too.
    """

    def __init__(self, path):
        self.path = path
        self.descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)

    def take(self):
        """LockedError if another process has it."""
        try:
            with writing(self.path):
                fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except StorageError as error:
            if error.errno != errno.EWOULDBLOCK:
                raise
            holders = ", ".join(map(str, self._living())) or "unknown"
            raise LockedError(
                f"{shown(self.path.parent)} is in use: process {holders} "
                "trains in it; nothing was changed"
            ) from None
        self.write(os.getpid())

    def write(self, *processes):
        """The ids that others are told."""
        with writing(self.path):
            os.ftruncate(self.descriptor, 0)
            text = " ".join(map(str, processes)) + "\n"
            os.pwrite(self.descriptor, text.encode(), 0)

    def _living(self):
        words = os.pread(self.descriptor, 1000, 0).decode(errors="replace")
        for word in words.split():
            if word.isdecimal() and _lives(int(word)):
                yield word


def _lives(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        pass
    return True


@contextlib.contextmanager
def locked(folder):
    """The Lock of a folder, which is made if there is none. LockedError if
    another process has it."""
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    lock = Lock(folder / NAME)
    try:
        lock.take()
        yield lock
    finally:
        os.close(lock.descriptor)
