"""scripts/project.py: which pycaffe is taken, which commit and which processor
are named."""

import os
import shutil
import subprocess
import sys

import pytest

from project import ROOT, processor


@pytest.mark.parametrize("package", ["raise ImportError('too old')", ""])
def test_another_caffe_on_the_path_is_not_taken(tmp_path, package):
    """One that does not load, and stock Caffe's."""
    (tmp_path / "caffe").mkdir()
    (tmp_path / "caffe/__init__.py").write_text(package)
    script = "import project; print(project.import_caffe().__file__)"
    said = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT / "scripts",
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert said.strip() == str(ROOT / "build/caffe/python/caffe/__init__.py")


def test_the_commit_of_another_repository_is_not_ours(tmp_path):
    """An unpacked archive in somebody's repository."""
    (tmp_path / "unpacked/scripts").mkdir(parents=True)
    shutil.copy(ROOT / "scripts/project.py", tmp_path / "unpacked/scripts")
    script = "import project; c = project.commit(); print(project.is_clean(c))"

    def is_clean():
        return subprocess.run(
            [sys.executable, "-c", script],
            cwd=tmp_path / "unpacked/scripts",
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()

    def git(*arguments):
        who = ["-c", "user.name=x", "-c", "user.email=x"]
        subprocess.run(["git", *who, *arguments], cwd=tmp_path, check=True)

    assert is_clean() == "False"
    git("init", "-q")
    git("commit", "-q", "--allow-empty", "-m", "theirs")
    assert is_clean() == "False"


@pytest.mark.parametrize(
    "lines, shown",
    [
        (
            "cpu family\t: 25\nmodel\t: 17\nmodel name\t: AMD EPYC\n"
            "flags\t: sse2 avx2 avx512f\n\n"
            "cpu family\t: 25\nmodel\t: 17\nmodel name\t: AMD EPYC\n",
            "AMD EPYC (family 25 model 17, AVX-512)",
        ),
        (
            "cpu family\t: 25\nmodel\t: 1\nmodel name\t: AMD EPYC\n"
            "flags\t: sse2 avx2\n",
            "AMD EPYC (family 25 model 1, AVX2)",
        ),
        ("model name\t: ARMv8\nFeatures\t: fp asimd\n", "ARMv8"),
    ],
)
def test_processors_of_one_name_are_told_apart(tmp_path, lines, shown):
    """Hosts of virtual machines name them all AMD EPYC."""
    (tmp_path / "cpuinfo").write_text(lines)
    assert processor(tmp_path / "cpuinfo") == shown
