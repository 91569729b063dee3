"""An OpenBLAS that is older than the processor: which kernels it takes."""

import os
import subprocess
from pathlib import Path

import pytest

from project import ROOT

PROGRAM = ROOT / "build/caffe/build/tools/caffe"
SHIM = """
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>

const char* openblas_get_corename(void) { return "@"; }

__attribute__((constructor)) static void say(void) {
  const char* kernels = getenv("OPENBLAS_CORETYPE");
  char name[16] = "";
  prctl(PR_GET_NAME, name);
  fprintf(stderr, "%s started with %s\\n", name, kernels ? kernels : "none");
}
"""


def cpu_flags():
    return Path("/proc/cpuinfo").read_text().split()


@pytest.fixture
def start(tmp_path):
    """Runs a command with an OpenBLAS that says it took the kernels of `core`;
    what OPENBLAS_CORETYPE was each time that a program named caffe started, and
    the completed process."""

    def run(core, *command, **environment):
        source, library = tmp_path / "shim.c", tmp_path / "shim.so"
        source.write_text(SHIM.replace("@", core))
        subprocess.run(
            ["cc", "-shared", "-fPIC", source, "-o", library], check=True
        )
        known = {**os.environ, "LD_PRELOAD": str(library), **environment}
        if not environment:
            known.pop("OPENBLAS_CORETYPE", None)
        done = subprocess.run(
            command, env=known, capture_output=True, text=True, check=False
        )
        lines = done.stderr.splitlines()
        said = [line.partition(" started with ") for line in lines]
        starts = [after for name, _, after in said if name == "caffe"]
        return starts, done

    return run


def kernels():
    flags = cpu_flags()
    if "avx512vl" in flags and "avx512dq" in flags:
        return "SkylakeX"
    if "avx2" in flags and "fma" in flags:
        return "Haswell"
    pytest.skip("a processor without AVX2")
    return None


def test_program_restarts_with_todays_kernels(start):
    starts, done = start("Prescott", PROGRAM, "--version", "a  b")
    assert starts == ["none", kernels()]
    assert done.stdout.startswith("caffe version"), done


def test_arguments_are_those_of_the_first_start(start, tmp_path):
    name = tmp_path / "no such \u00e9 solver"
    starts, done = start("Prescott", PROGRAM, "train", f"--solver={name}")
    assert starts == ["none", kernels()]
    assert str(name) in done.stderr and done.returncode == 1


def test_known_processor_and_the_users_choice_stay(start):
    assert start("Haswell", PROGRAM, "--version")[0] == ["none"]
    chosen = {"OPENBLAS_CORETYPE": "Nehalem"}
    starts, _ = start("Prescott", PROGRAM, "--version", **chosen)
    assert starts == ["Nehalem"]


def test_a_net_says_what_to_set_once(start, tmp_path):
    (tmp_path / "net.prototxt").write_text(
        """layer { name: "x" type: "Input" top: "x"
          input_param { shape { dim: 1 } } }"""
    )
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import caffe; "
        "[caffe.Net(sys.argv[2], caffe.TEST) for i in range(3)]"
    )
    command = (
        "/usr/bin/python3",
        "-c",
        code,
        ROOT / "build/caffe/python",
        tmp_path / "net.prototxt",
    )
    advice = f"Set OPENBLAS_CORETYPE={kernels()} before this program starts"
    assert start("Prescott", *command)[1].stderr.count(advice) == 1
    assert "OPENBLAS_CORETYPE" not in start("Haswell", *command)[1].stderr
