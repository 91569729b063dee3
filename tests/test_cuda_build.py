"""The CUDA build compiles and links, where the toolkit is installed.

It runs nothing on a GPU.
"""

import os
import subprocess

from conftest import ROOT

LIBRARY = ROOT / "build" / "caffe-bundle" / "build" / "lib" / "libcaffe.so"
KERNELS = ("ListUnitsKernel", "GatherKernel", "ScatterKernel",
           "AddColumnSumsKernel", "KeepKernel", "KeepGradientKernel",
           "CatchUpKernel", "AddGradientKernel", "UpdateKernel",
           "AppendStepKernel")


def test_cuda_build_compiles_and_links(bundle):
    symbols = subprocess.run(["nm", "-C", LIBRARY], check=True, text=True,
                             capture_output=True).stdout
    for kernel in KERNELS:
        assert kernel in symbols, f"{kernel} is not in {LIBRARY}"
    version = subprocess.run([bundle / "bin" / "caffe", "--version"],
                             check=True, text=True, capture_output=True).stdout
    assert "caffe version" in version


def test_refused_host_compiler(tmp_path):
    nvcc = tmp_path / "nvcc"
    nvcc.write_text('#!/bin/sh\necho "nvcc was given: $*" >&2\nexit 1\n')
    nvcc.chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    build = subprocess.run(
        [ROOT / "scripts" / "build_caffe.sh", "--cuda"], text=True,
        capture_output=True,
        env=dict(os.environ, PATH=path, CUDAHOSTCXX="g++-7"))
    assert build.returncode == 1
    assert "nvcc was given: -ccbin g++-7 " in build.stderr
    assert "Set CUDAHOSTCXX" in build.stderr
