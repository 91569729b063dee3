"""The CUDA build compiles and links, where the toolkit is installed.

It runs nothing on a GPU.
"""

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
