"""Caffe's own tests and ours in C++, all CPU tests of test.testbin."""

import re
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "scripts"))

from gpu_tests import OURS  # noqa: E402

CAFFE = Path(__file__).resolve().parent.parent / "build" / "caffe"
CAFFE_CPU_TESTS = 1162


def run_tests(gtest_filter):
    """Number of tests that ran; fails with the output if one failed."""
    done = subprocess.run(
        ["build/test/test.testbin", f"--gtest_filter={gtest_filter}"],
        cwd=CAFFE, capture_output=True, text=True, check=False)
    output = done.stdout + done.stderr[-4000:]
    assert done.returncode == 0, output[-8000:]
    return int(re.search(r"\[  PASSED  \] (\d+) tests", output)[1])


def ours():
    return ":".join(f"*{name}*" for name in OURS)


def test_caffes_own_tests_pass():
    assert run_tests(f"-*GPU*:{ours()}") == CAFFE_CPU_TESTS


def test_our_tests_pass():
    sources = (CAFFE.parent.parent / "caffe_patches" / "overlay").rglob(
        "test_*.cpp")
    cases = sum(len(re.findall(r"^TYPED_TEST\(|^TEST_F\(", path.read_text(),
                               re.M)) for path in sources)
    # Typed tests run once a type.
    assert run_tests(f"{ours()}:-*GPU*") >= cases > 0
