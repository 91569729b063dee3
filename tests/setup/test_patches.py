"""The patch set: setup/patch_caffe.py finds what is wrong with it, and what it
makes is Caffe with the series and the overlay applied."""

import shutil
import subprocess
import sys

import patch_caffe
import pytest

from project import ROOT

SOURCE = ROOT / "build" / "caffe.orig"


def run(patches, *options):
    """The command line on a patch set; returns (exit status, its message)."""
    done = subprocess.run(
        [sys.executable, ROOT / "scripts/setup/patch_caffe.py", "--patches",
         patches, "--source", SOURCE, *options],
        capture_output=True, text=True, check=False)
    return done.returncode, done.stderr


@pytest.fixture
def patches(tmp_path):
    """A copy of the patch set, to be damaged."""
    shutil.copytree(ROOT / "caffe_patches", tmp_path / "patches")
    return tmp_path / "patches"


def first_patch(patches):
    return patches / patch_caffe.read_series(patches)[0]


def test_committed_patch_set_is_good():
    assert run(ROOT / "caffe_patches", "--check") == (0, "")


def test_finds_a_missing_patch(patches):
    name = first_patch(patches).name
    first_patch(patches).unlink()
    status, message = run(patches, "--check")
    assert status == 1 and f"lists {name}, which is missing" in message


def test_the_series_is_checked_without_caffe(patches, tmp_path):
    options = "--check-series", "--source", tmp_path / "nowhere"
    assert run(patches, *options) == (0, "")
    name = first_patch(patches).name
    first_patch(patches).unlink()
    status, message = run(patches, *options)
    assert status == 1 and f"lists {name}, which is missing" in message


def test_finds_an_unlisted_patch(patches):
    shutil.copy(first_patch(patches), patches / "stray.patch")
    status, message = run(patches, "--check")
    assert status == 1 and "not listed in series: stray.patch" in message


def test_finds_a_duplicate(patches):
    name = first_patch(patches).name
    with open(patches / "series", "a") as series:
        series.write(name + "\n")
    status, message = run(patches, "--check")
    assert status == 1 and f"lists {name} 2 times" in message


@pytest.mark.parametrize("word", ["Why:", "Test:"])
def test_finds_a_patch_without_header(patches, word):
    path = first_patch(patches)
    path.write_text(path.read_text().replace(word, "Note:"))
    status, message = run(patches, "--check")
    assert status == 1 and f"the header has no '{word}' line" in message


def changed_context(text):
    """The patch with one context line changed, which only fuzz would take."""
    lines = text.split("\n")
    hunk = next(i for i, x in enumerate(lines) if x.startswith("@@"))
    at = next(i for i in range(hunk + 1, len(lines))
              if lines[i].startswith(" "))
    lines[at] = " something else"
    return "\n".join(lines)


def shifted(text):
    """The patch with its first hunk three lines off."""
    head, old, rest = text.partition("@@ -")
    start, _, rest = rest.partition(",")
    return f"{head}{old}{int(start) - 3},{rest}"


def cut_short(text):
    """The patch without its last line."""
    return text.rstrip("\n").rpartition("\n")[0]


@pytest.mark.parametrize("damage", [changed_context, shifted, cut_short])
def test_finds_a_patch_that_does_not_fit_exactly(patches, damage):
    path = first_patch(patches)
    path.write_text(damage(path.read_text()))
    status, message = run(patches, "--check")
    assert status == 1 and path.name in message


def test_finds_an_overlay_file_that_replaces_caffes(patches):
    path = patches / "overlay" / "src" / "caffe" / "net.cpp"
    path.write_text("// nothing\n")
    status, message = run(patches, "--check")
    assert status == 1 and "src/caffe/net.cpp replaces a file" in message


def test_target_is_source_with_patches_and_overlay(patches, tmp_path):
    target = tmp_path / "target"
    assert run(patches, "--target", target)[0] == 0
    for path in patch_caffe.overlay_files(patches):
        assert ((target / path).read_bytes() ==
                (patches / "overlay" / path).read_bytes())
    proto = (target / "src/caffe/proto/caffe.proto").read_text()
    assert "message DropoutPatternParameter" in proto
    unpatched = "src/caffe/layers/tanh_layer.cpp"
    assert ((target / unpatched).read_bytes() ==
            (SOURCE / unpatched).read_bytes())


def test_second_run_touches_only_what_changed(patches, tmp_path):
    target = tmp_path / "target"
    run(patches, "--target", target)
    (target / "build_output").write_text("kept")
    overlay = patch_caffe.overlay_files(patches)
    times = {x: (target / x).stat().st_mtime_ns for x in overlay}
    with open(patches / "overlay" / overlay[0], "a") as file:
        file.write("// changed\n")
    (patches / "overlay" / overlay[1]).unlink()
    run(patches, "--target", target)
    after = {x: (target / x).stat().st_mtime_ns for x in overlay
             if (target / x).exists()}
    assert (target / "build_output").read_text() == "kept"
    assert overlay[1] not in after
    assert [x for x in after if after[x] != times[x]] == [overlay[0]]
