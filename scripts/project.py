"""What all programs share: the folder, whole files, Caffe's Python package,
and where numbers come from, that is the machine and the commit."""

import contextlib
import importlib
import importlib.util
import json
import os
import platform
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILDS = ("caffe", "caffe-cuda")  # folders in build/ that may hold pycaffe
VECTORS = {"avx512f": "AVX-512", "avx2": "AVX2"}  # flags of a processor


def shown(path):
    """The path as commands run in the repository root take it."""
    return str(path.relative_to(ROOT) if path.is_relative_to(ROOT) else path)


def read_json(path):
    """What a JSON file holds; ValueError names it if it is damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{shown(path)} is damaged: {error}") from None


class StorageError(OSError):
    """A file that cannot be written: its path and why."""

    def __str__(self):
        return f"{self.filename}: {self.strerror}"


@contextlib.contextmanager
def writing(path):
    """Names the path in what the system says when a write fails."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise StorageError(error.errno, reason, str(path)) from None


def write_whole(path, content):
    """Writes a text or bytes as a file that is never seen half-written, not
    even after a power failure. StorageError leaves an earlier file as it was.
    A link leads to the new file; what is no file, as /dev/null, is written to.
    """
    data = content.encode() if isinstance(content, str) else content
    whole = path.resolve()
    part = whole.with_name(whole.name + ".part")
    with writing(path):
        if whole.exists() and not whole.is_file():
            whole.write_bytes(data)
            return
        try:
            with open(part, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            part.replace(whole)
        except OSError:
            with contextlib.suppress(OSError):
                part.unlink()
            raise


def whole_lines(path):
    """The text of a log; a last line that was cut off is removed from it."""
    data = path.read_bytes() if path.exists() else b""
    whole = data.rfind(b"\n") + 1
    if whole < len(data):
        with writing(path):
            os.truncate(path, whole)
    return data[:whole].decode(errors="replace")


def import_caffe(build=None):
    """pycaffe of build/BUILD; without a build that of PYTHONPATH, if it is a
    patched one, or else the first of BUILDS. `import caffe` gives the same from
    then on.

    ImportError if there is none.
    """
    if build is None and _is_patched(importlib.util.find_spec("caffe")):
        return importlib.import_module("caffe")
    for name in [build] if build else BUILDS:
        folder = ROOT / "build" / name / "python/caffe"
        if (folder / "_caffe.so").exists():
            package = sys.modules.get("caffe")
            package = package or _import_package("caffe", folder)
            if not Path(package.__file__).parent.samefile(folder):
                raise ImportError(f"{package.__file__} is loaded, not {folder}")
            return package
    raise ImportError(f"pycaffe is not built in build/{build or BUILDS[0]}")


def _is_patched(spec):
    """Whether a package is the patched pycaffe; it is not imported for that."""
    if spec is None or spec.origin is None:
        return False
    messages = Path(spec.origin).parent / "proto/caffe_pb2.py"
    return messages.exists() and b"approx_dropout" in messages.read_bytes()


def _import_package(name, folder):
    spec = importlib.util.spec_from_file_location(
        name, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    package = importlib.util.module_from_spec(spec)
    sys.modules[name] = package
    try:
        spec.loader.exec_module(package)
    except BaseException:
        del sys.modules[name]
        raise
    return package


def command_line():
    """This process's command, its program as shown() gives it."""
    return shlex.join([shown(Path(sys.argv[0]).resolve()), *sys.argv[1:]])


def processor(cpuinfo="/proc/cpuinfo"):
    """The processor's name and, as far as known, its family, model and widest
    vectors: hosts of virtual machines give different processors one name."""
    fields = {}
    with contextlib.suppress(OSError), open(cpuinfo) as lines:
        for line in lines:
            name, _, value = line.partition(":")
            fields.setdefault(name.strip(), value.strip())
    more = []
    if "cpu family" in fields and "model" in fields:
        more.append(f"family {fields['cpu family']} model {fields['model']}")
    flags = fields.get("flags", "").split()
    more += [name for flag, name in VECTORS.items() if flag in flags][:1]
    name = fields.get("model name") or platform.processor() or "unknown"
    return f"{name} ({', '.join(more)})" if more else name


def machine():
    """Processor, cores and thread settings, as far as they set the speed."""
    threads = {
        name: os.environ[name]
        for name in (
            "OPENBLAS_NUM_THREADS",
            "OMP_NUM_THREADS",
            "OMP_WAIT_POLICY",
            "GOMP_SPINCOUNT",
            "OPENBLAS_CORETYPE",
        )
        if name in os.environ
    }
    cores = len(os.sched_getaffinity(0))
    return {"cpu": processor(), "cores": cores, **threads}


def commit():
    """The working tree's commit, with -dirty if files differ from it; "unknown"
    where there is no git, or ROOT is a mere folder in another's tree."""
    top = _git("rev-parse --show-toplevel")
    if not top or not ROOT.samefile(top):
        return "unknown"
    found = _git("describe --always --dirty --abbrev=12 --exclude *")
    return found or "unknown"


def is_clean(commit):
    """Whether what commit() gave names one version of the code."""
    return commit != "unknown" and not commit.endswith("-dirty")


def _git(arguments):
    try:
        result = subprocess.run(
            ["git", *arguments.split()],
            cwd=ROOT,
            capture_output=True,
            text=True,
            # A limit of files' sizes must not kill git, which would leave
            # the lock of its index behind.
            restore_signals=False,
        )
    except FileNotFoundError:  # in an image
        return ""
    return result.stdout.strip()
