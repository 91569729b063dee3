"""The CUDA build compiles and links, where the toolkit is installed.

It runs nothing on a GPU. One architecture is built, to save time.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LIBRARY = ROOT / "build" / "caffe-cuda" / "build" / "lib" / "libcaffe.so"
KERNELS = ("ListUnitsKernel", "GatherKernel", "ScatterKernel",
           "AddColumnSumsKernel", "KeepKernel", "KeepGradientKernel")

NVCC = shutil.which("nvcc") or shutil.which(
    "nvcc", path=os.environ.get("CUDA_HOME", "/usr/local/cuda") + "/bin")


@pytest.mark.skipif(NVCC is None, reason="no nvcc on this machine")
def test_cuda_build_compiles_and_links():
    done = subprocess.run(
        [ROOT / "scripts" / "build_caffe.sh", "--cuda"], text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
        env={**os.environ, "CUDA_ARCH": "90"})
    assert done.returncode == 0, done.stdout[-8000:]
    symbols = subprocess.run(["nm", "-C", LIBRARY], check=True, text=True,
                             capture_output=True).stdout
    for kernel in KERNELS:
        assert kernel in symbols, f"{kernel} is not in {LIBRARY}"
    tool = ROOT / "build" / "bin" / "caffe-cuda"
    version = subprocess.run([tool, "--version"], check=True, text=True,
                             capture_output=True).stdout
    assert "caffe version" in version
