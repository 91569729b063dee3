"""Caffe's own tests and ours in C++, all CPU tests of test.testbin."""

import concurrent.futures
import os
import re
import subprocess

from conftest import CAFFE_CPU_TESTS
from gpu.cxx_tests import suites_of
from project import ROOT

CAFFE = ROOT / "build" / "caffe"
OVERLAY = ROOT / "caffe_patches" / "overlay"


def run_tests(gtest_filter):
    """Number of tests that ran, half of them in each of two processes; fails
    with the output if one failed."""
    command = ["build/test/test.testbin", f"--gtest_filter={gtest_filter}"]

    def share(index):
        return subprocess.run(
            command, cwd=CAFFE, capture_output=True, text=True, check=False,
            env={**os.environ, "GTEST_TOTAL_SHARDS": "2",
                 "GTEST_SHARD_INDEX": str(index)})

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        parts = list(pool.map(share, range(2)))
    for done in parts:
        output = done.stdout + done.stderr[-4000:]
        assert done.returncode == 0, output[-8000:]
    return sum(int(re.search(r"\[  PASSED  \] (\d+) tests", done.stdout)[1])
               for done in parts)


def ours():
    suites = suites_of(OVERLAY / "src/caffe/test")
    return ":".join(f"{suite}.*:{suite}/*" for suite in suites)


def test_caffes_own_tests_pass():
    assert run_tests(f"-*GPU*:{ours()}") == CAFFE_CPU_TESTS


def test_our_tests_pass():
    sources = OVERLAY.rglob("test_*.cpp")
    cases = sum(len(re.findall(r"^TYPED_TEST\(|^TEST_F\(", path.read_text(),
                               re.M)) for path in sources)
    # Typed tests run once a type.
    assert run_tests(f"{ours()}:-*GPU*") >= cases > 0
