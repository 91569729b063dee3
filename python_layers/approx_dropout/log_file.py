"""A Caffe log as a file: in any encoding, and while it grows."""

import codecs
import os

from .caffe_log import CaffeLog

_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def _encoding(data):
    """The encoding of a log that begins with data. PowerShell redirects in
    UTF-16."""
    for mark, name in _MARKS.items():
        if data.startswith(mark):
            return name
    return "utf-16-le" if data[1:2] == b"\0" else "utf-8"


class LogFile:
    """A log that may still grow, and need not be there yet.

    log: the CaffeLog of the lines read; another one once the file has been
    replaced or shortened, as a new run does.
    """

    def __init__(self, path):
        self.path = path
        self._forget(None)

    def _forget(self, identity):
        self.log = CaffeLog()
        self._identity = identity
        self._position = 0
        self._decoder = None
        self._rest = ""

    def read(self):
        """Feeds the log what was written since; whether there was anything.

        A last line waits for its end. OSError if the file cannot be read.
        """
        with open(self.path, "rb") as file:
            status = os.fstat(file.fileno())
            identity = status.st_dev, status.st_ino
            if identity != self._identity or status.st_size < self._position:
                self._forget(identity)
            file.seek(self._position)
            data = file.read()
        if not data:
            return False
        if self._decoder is None:
            decoder = codecs.getincrementaldecoder(_encoding(data))
            self._decoder = decoder(errors="backslashreplace")
        self._position += len(data)
        *lines, self._rest = (self._rest + self._decoder.decode(data)).split(
            "\n"
        )
        for line in lines:
            self.log.feed(line)
        return True
