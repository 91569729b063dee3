"""A build without MPI, which mpirun starts: it must not train N times."""

import os
import subprocess

import pytest

from conftest import ROOT

PROGRAM = """
#include <gflags/gflags.h>
#include "caffe/approx_dropout/ranks/ranks.hpp"
int main(int, char** argv) {
  google::InitGoogleLogging(argv[0]);
  caffe::Ranks::Start();
  return caffe::Ranks::Get() ? 2 : 0;
}
"""
RANKS = ROOT / "caffe_patches/overlay/src/caffe/approx_dropout/ranks"


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """What knows of ranks, compiled as a build without MPI compiles it."""
    folder = tmp_path_factory.mktemp("without_mpi")
    (folder / "main.cpp").write_text(PROGRAM)
    tree = ROOT / "build/caffe"
    subprocess.run(
        ["ccache", "g++", "-DCPU_ONLY", "-w", f"-I{tree}/include",
         f"-I{tree}/build/include", folder / "main.cpp", RANKS / "ranks.cpp",
         RANKS / "mpi_ranks.cpp", "-o", folder / "program", "-lglog",
         "-lgflags", "-lboost_system"],
        check=True, cwd=folder)  # fmt: skip
    return folder / "program"


@pytest.mark.parametrize(
    "variable",
    ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"),
)
def test_several_processes_are_refused(program, variable):
    done = subprocess.run(
        [program], env={**os.environ, variable: "3"}, text=True, check=False,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)  # fmt: skip
    assert done.returncode != 0
    assert "one of 3 processes" in done.stdout
    assert "make mpi" in done.stdout


def test_one_process_is_not(program):
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("OMPI_", "PMI", "SLURM_"))
    }
    for size in ({}, {"OMPI_COMM_WORLD_SIZE": "1"}):
        subprocess.run([program], env={**environment, **size}, check=True)
