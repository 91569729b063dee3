"""The C++ overlay is a tower of five floors, with ranks and math below all, and
below that util, what lets Caffe itself build. A file includes only its own
floor and those below."""

import re
from pathlib import Path

import pytest

OVERLAY = Path(__file__).parents[2] / "caffe_patches" / "overlay"
# From the top. Programs and tests may include anything.
FLOORS = (
    "solver", "layers", "product", "update", "pattern", "ranks", "math", "util",
)  # fmt: skip
SOURCES = sorted(
    path
    for kind in ("hpp", "cpp", "cuh", "cu")
    for path in OVERLAY.rglob(f"*.{kind}")
)
HEADERS = [path for path in SOURCES if path.suffix in (".hpp", ".cuh")]
TESTS = sorted((OVERLAY / "src" / "caffe" / "test").glob("test_*.cpp"))
INCLUDE = re.compile(r'#include "caffe/(.*)"')
PATCHED = {
    Path(file).stem
    for patch in OVERLAY.parent.glob("*.patch")
    for file in re.findall(r"^\+\+\+ b/(\S+)", patch.read_text(), re.M)
}


def name(path):
    return str(path.relative_to(OVERLAY))


def floor(path):
    """The floor that a file is on, as a number from the top, or None."""
    parts = path.split("caffe/", 1)[-1].split("/")
    folder = parts[1 if parts[0] == "approx_dropout" else 0]
    return FLOORS.index(folder) if folder in FLOORS else None


def files_tested_by(path):
    """Those of test_<file>.cpp or, where a file's tests are in parts,
    test_<file>_<part>.cpp. Files of ours, and of Caffe's those patched."""
    tested = path.stem.removeprefix("test_")
    files = PATCHED | {
        other.stem for other in SOURCES if not other.stem.startswith("test_")
    }
    return [
        file
        for file in files
        if tested == file or tested.startswith(f"{file}_")
    ]


def test_every_floor_has_files():
    assert {floor(name(path)) for path in SOURCES} == {
        *range(len(FLOORS)),
        None,
    }


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_includes_nothing_from_above(path):
    own = floor(name(path))
    if own is None:
        assert re.search(r"(^tools|/test)/", name(path)), "on no floor"
        return
    included = INCLUDE.findall(path.read_text())
    above = [
        header
        for header in included
        if floor(f"caffe/{header}") is not None
        and floor(f"caffe/{header}") < own
    ]
    assert not above


@pytest.mark.parametrize("path", HEADERS, ids=name)
def test_header_has_its_guard(path):
    parts = path.relative_to(OVERLAY / "include" / "caffe").parts
    # As in Caffe, layers and tests do not name their folder.
    parts = parts[1:] if parts[0] in ("layers", "test") else parts
    guard = "CAFFE_" + re.sub(r"\W", "_", "_".join(parts)).upper() + "_"
    lines = path.read_text().splitlines()
    assert lines[:2] == [f"#ifndef {guard}", f"#define {guard}"]
    assert lines[-1] == f"#endif  // {guard}"


@pytest.mark.parametrize("path", TESTS, ids=name)
def test_test_is_named_after_a_file(path):
    assert files_tested_by(path)


@pytest.mark.parametrize("path", TESTS, ids=name)
def test_a_suite_is_named_as_its_file(path):
    suites = re.findall(
        r"^(?:TYPED_TEST|TEST_F|TEST)\((\w+),", path.read_text(), re.M
    )
    assert suites

    def plain(name):
        return name.lower().replace("_", "").replace("layer", "")

    files = [plain(file) for file in files_tested_by(path)]
    named = [s for s in suites if any(file in plain(s) for file in files)]
    assert named, f"{set(suites)} are not of this file"
