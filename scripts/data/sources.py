"""What the data scripts share: where data comes from and how it is stored.

Data comes from DATA_DIR, from a checked download, or from an embedded default;
it is stored in a folder that appears whole or not at all, with a source.json
that says what was used. A second run with the same request does no work.
"""
import argparse
import contextlib
import ctypes
import errno
import fcntl
import hashlib
import http.client
import json
import os
import queue
import shutil
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

from tqdm import tqdm

from project import ROOT, StorageError, write_whole, writing

DOWNLOADS = ROOT / "build/downloads"
FORMAT = 1  # of the prepared data; another number makes every folder stale


def sha256_of(path):
    """Hexadecimal SHA-256 of a file's bytes."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def record_of(kind, what, paths=None):
    """What was used, for source.json.

    kind: "DATA_DIR", "files", "download" or "embedded"; what: the same in
    words; paths: {name: path} of the files, whose SHA-256 is recorded.
    """
    return {"used": what, "kind": kind, "files": checksums_of(paths or {})}


def check_file(path):
    """Raises ValueError if a path is a folder, a device or a pipe: reading
    from those need not end."""
    if path.exists() and not path.is_file():
        raise ValueError(f"{path}: is no file")


def checksums_of(paths):
    """{name: SHA-256} for {name: path}."""
    return {name: sha256_of(path) for name, path in paths.items()}


def data_folder(name):
    """Folder `name` of DATA_DIR, or None if DATA_DIR is not set."""
    data_dir = os.environ.get("DATA_DIR")
    return Path(data_dir) / name if data_dir else None


def download(checksums, mirrors, cache, timeout_s=5.0, limit_s=120.0):
    """Gets files from the first mirror that has them all, intact.

    checksums: {file name: SHA-256}; mirrors: base addresses ending in "/".
    Files already in the folder `cache` are used if their checksum is right.
    timeout_s: longest wait for an answer and for each piece of a file;
    limit_s: longest time for one file. A mirror that fails once is left.

    Returns {file name: path in `cache`}, or None if no mirror could give
    what is missing; why is printed, a line a mirror. Raises StorageError if
    `cache` cannot be written.
    """
    with writing(cache):
        cache.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(cache, os.O_RDONLY)
    try:
        # A second process waits, and finds what the first one got.
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        return _download(checksums, mirrors, cache, timeout_s, limit_s)
    finally:
        os.close(descriptor)


def _download(checksums, mirrors, cache, timeout_s, limit_s):
    for mirror in mirrors:
        try:
            for name, sha256 in checksums.items():
                path = cache / name
                if not path.exists() or sha256_of(path) != sha256:
                    _fetch(mirror + name, path, sha256, timeout_s, limit_s)
            return {name: cache / name for name in checksums}
        except StorageError:
            raise
        except (OSError, http.client.HTTPException, ValueError) as error:
            print(f"{mirror}{name}: {error}", flush=True)
    return None


def _fetch(url, path, sha256, timeout_s, limit_s):
    """Downloads `url` to `path`, which appears only if its SHA-256 is right."""
    deadline = time.monotonic() + limit_s
    part = path.with_name(path.name + ".part")
    try:
        with writing(part):
            file = open(part, "wb")
        with _open(url, timeout_s) as answer, file:
            size = answer.headers.get("Content-Length")
            with tqdm(desc=path.name, total=size and int(size), unit="B",
                      unit_scale=True, delay=2, disable=None) as progress:
                while chunk := answer.read1(1 << 16):
                    with writing(part):
                        file.write(chunk)
                        file.flush()
                    progress.update(len(chunk))
                    if time.monotonic() > deadline:
                        raise TimeoutError(f"not done after {limit_s} s")
        found = sha256_of(part)
        if found != sha256:
            raise ValueError(f"corrupt: SHA-256 is {found}, not {sha256}")
        with writing(path):
            part.rename(path)
    finally:
        part.unlink(missing_ok=True)


def _open(url, timeout_s):
    """urlopen that answers or raises within `timeout_s`.

    It runs in a thread of its own, because a name look-up and a host with
    many addresses take longer than the time limit of one socket.
    """
    answers = queue.SimpleQueue()

    def work():
        try:
            answers.put(urllib.request.urlopen(url, timeout=timeout_s))
        except Exception as error:  # raised again in the caller's thread
            answers.put(error)

    threading.Thread(target=work, daemon=True).start()
    try:
        answer = answers.get(timeout=timeout_s)
    except queue.Empty:
        raise TimeoutError(f"no answer after {timeout_s} s") from None
    if isinstance(answer, Exception):
        raise answer
    return answer


def is_current(output, request, force):
    """Whether `output` holds what `request` asks for; says so if it does.

    Never if `force`. Raises ValueError if `output` must not be replaced.
    """
    if not output.exists():
        return False
    if not output.is_dir():
        raise ValueError(f"{output}: is not a folder")
    record = output / "source.json"
    if not record.exists():
        if any(output.iterdir()):
            raise ValueError(f"{output}: holds files but no source.json, so it "
                             "was not made here; give an empty or new folder")
        return False
    try:
        found = json.loads(record.read_text(encoding="utf-8"))
        current = (found["format"] == FORMAT
                   and (found["request"] == request
                        or is_real(found, request))
                   and all((output / name).exists() for name in found["holds"])
                   and found["bytes"] == sizes_of(output)
                   and not force)
    except (ValueError, KeyError, TypeError):
        return False
    if current:
        print(f"{output}: up to date, holds {found['used']} "
              "(--force prepares it again)")
    return current


def is_real(found, request):
    """Whether a record is of real data, prepared as the request has it, which
    names no files: without DATA_DIR a download that fails must not put digits
    in its place."""
    fields = found["request"].keys() | request.keys()
    return (request["source"] == "auto" and not request["files"]
            and found["kind"] in ("DATA_DIR", "download")
            and all(found["request"].get(name) == request.get(name)
                    for name in fields - {"source", "files"}))


def sizes_of(folder):
    """{name: bytes} of the data's files: not of locks, which readers make."""
    return {str(path.relative_to(folder)): path.stat().st_size
            for path in sorted(folder.rglob("*")) if path.is_file()
            and path.name not in ("lock.mdb", "source.json")}


def exchange(one, other):
    """Two folders change names, at once where the file system can do that:
    no moment finds neither."""
    library = ctypes.CDLL(None, use_errno=True)
    here, swap = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    names = os.fsencode(one), os.fsencode(other)
    if not library.renameat2(here, names[0], here, names[1], swap):
        return
    error = ctypes.get_errno()
    if error == errno.EXDEV:  # of a lower layer of a container's file system
        shutil.rmtree(other)
        one.rename(other)
        return
    if error not in (errno.EINVAL, errno.ENOSYS):
        raise OSError(error, os.strerror(error))
    aside = one.with_suffix(".old")
    other.rename(aside)
    one.rename(other)
    aside.rename(one)


@contextlib.contextmanager
def replacing(output, request, source, **facts):
    """Gives an empty folder that takes the place of `output` at the end.

    If the body raises, `output` stays as it was. Adds source.json, with
    `request` (see is_current), `source` (see record_of) and `facts`.
    """
    with writing(output.parent):
        output.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix=f".{output.name}.", suffix=".new",
                                      dir=output.parent))
    try:
        fresh.chmod(0o755)  # others may read it
        yield fresh
        record = {"format": FORMAT, "request": request, **source, **facts,
                  "holds": sorted(path.name for path in fresh.iterdir()),
                  "bytes": sizes_of(fresh)}
        write_whole(fresh / "source.json", json.dumps(record, indent=2) + "\n")
        with writing(output):
            exchange(fresh, output) if output.exists() else fresh.rename(output)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def main(prepare, description, name, arguments, add_options=None):
    """The command line of a program that prepares data.

    prepare: takes the options; what it refuses ends the program with its
    message alone. name: of the folder in build/data. add_options: adds the
    program's own options to the parser.
    """
    parser = argparse.ArgumentParser(
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", metavar="DIR",
                        default=ROOT / "build/data" / name,
                        help=f"folder to write (default: build/data/{name})")
    parser.add_argument("--source", choices=["auto", "embedded"],
                        default="auto", help="embedded: do not look elsewhere")
    if add_options:
        add_options(parser)
    parser.add_argument("--force", action="store_true",
                        help="prepare again what is up to date")
    options = parser.parse_args(arguments)
    try:
        prepare(**vars(options))
    except (ValueError, OSError, ImportError) as error:
        sys.exit(f"{parser.prog}: error: {error}")
