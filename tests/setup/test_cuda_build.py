"""The CUDA build compiles and links, where the toolkit is installed.

It runs nothing on a GPU.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from conftest import NVCC
from project import ROOT

LIBRARY = ROOT / "build" / "caffe-bundle" / "build" / "lib" / "libcaffe.so"
KERNELS = ("ListUnitsKernel", "GatherBlocksKernel", "ScatterBlocksKernel",
           "SumBlocksKernel", "AddPartsKernel", "AddOutputSumsKernel",
           "KeepKernel", "KeepGradientKernel", "CatchUpKernel",
           "AddGradientKernel", "UpdateKernel", "AppendStepKernel")


def kernels():
    """The .cu files that are ours or patched, as the patched tree has them."""
    overlay = ROOT / "caffe_patches" / "overlay"
    files = {str(path.relative_to(overlay)) for path in overlay.rglob("*.cu")}
    for patch in overlay.parent.glob("*.patch"):
        files.update(
            re.findall(r"^\+\+\+ b/(\S+\.cu)$", patch.read_text(), re.M))
    return sorted(files)


@pytest.mark.skipif(NVCC is None, reason="no nvcc on this machine")
@pytest.mark.parametrize("source", kernels())
def test_kernels_compile(source, tmp_path):
    caffe = ROOT / "build" / "caffe"
    subprocess.run(
        [NVCC, "-arch=sm_90", "-c", "-Xcompiler", "-O0", "-o", tmp_path / "o",
         "-I", caffe / "include", "-I", caffe / "build" / "include", "-isystem",
         "/usr/include/hdf5/serial", "-I", caffe / "src", caffe / source],
        check=True)


def test_cuda_build_compiles_and_links(bundle):
    symbols = subprocess.run(["nm", "-C", LIBRARY], check=True, text=True,
                             capture_output=True).stdout
    for kernel in KERNELS:
        assert kernel in symbols, f"{kernel} is not in {LIBRARY}"
    version = subprocess.run([bundle / "bin" / "caffe", "--version"],
                             check=True, text=True, capture_output=True).stdout
    assert "caffe version" in version


def test_gpu_tests_compile_and_link(bundle):
    subprocess.run(
        [ROOT / "scripts/setup/build_caffe.sh", "--bundle", "--tests"],
        check=True, stdout=subprocess.DEVNULL,
        env={**os.environ, "CUDA_ARCH": "90"})
    program = ROOT / "build" / "caffe-bundle" / "build/test/test.testbin"
    symbols = subprocess.run(["nm", "-C", program], check=True, text=True,
                             capture_output=True).stdout
    for test in ("SGDUpdaterTest_TestRectified_Test<caffe::GPUDevice<double> >",
                 "DeviceParameterGPUTest_", "Im2colKernelTest_"):
        assert test in symbols


@pytest.mark.parametrize("header, switch, source", [
    ("cudnn.h", "USE_CUDNN", "layers/cudnn_conv_layer.cpp"),
    ("cudnn.h", "USE_CUDNN", "layers/cudnn_deconv_layer.cpp"),
    ("cudnn.h", "USE_CUDNN", "layers/cudnn_softmax_layer.cpp"),
    ("cudnn.h", "USE_CUDNN", "layer_factory.cpp"),
    ("nccl.h", "USE_NCCL", "parallel.cpp"),
])
def test_compiles_with_nvidias_other_libraries(header, switch, source):
    """What only `CUDNN=1 make cuda` and NCCL compile; about the syntax."""
    include = Path(NVCC).parents[1] / "include" if NVCC else Path("/none")
    if not (include / header).exists():
        pytest.skip(f"no {header} in {include}")
    caffe = ROOT / "build" / "caffe"
    subprocess.run(
        ["g++", "-fsyntax-only", "-Wno-deprecated-declarations",
         f"-D{switch}", "-DUSE_HDF5", "-I", caffe / "include", "-I",
         caffe / "build" / "include", "-isystem", include, "-isystem",
         "/usr/include/hdf5/serial", caffe / "src" / "caffe" / source],
        check=True)


def write_program(path, text=""):
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def test_another_toolkit_builds_anew(tmp_path):
    """With stand-ins for all that build_caffe.sh calls and builds."""
    root, programs = tmp_path / "some where", tmp_path / "programs"
    scripts, tree = root / "scripts/setup", root / "build" / "caffe-cuda"
    for folder in scripts, programs, tree / "build":
        folder.mkdir(parents=True)
    shutil.copy(ROOT / "scripts/setup/build_caffe.sh", scripts)
    write_program(scripts / "get_caffe.sh")
    (scripts / "patch_caffe.py").write_text("")
    write_program(programs / "cmake")
    write_program(programs / "make")
    write_program(programs / "nvcc", 'echo "compute_90 of $TOOLKIT"')

    def build(toolkit):
        subprocess.run(
            [scripts / "build_caffe.sh", "--cuda"], check=True,
            capture_output=True,
            env=dict(os.environ, TOOLKIT=toolkit,
                     PATH=f"{programs}:{os.environ['PATH']}"))

    build("12.4")
    compiled = tree / "build" / "kernel.o"
    compiled.touch()
    build("12.4")
    assert compiled.exists()
    build("13.0")
    assert not compiled.exists()
    (tree / "build" / "tools").mkdir()
    write_program(tree / "build" / "tools" / "caffe", 'echo "caffe $*"')
    wrapper = root / "build" / "bin" / "caffe-cuda"
    said = subprocess.run([wrapper, "train"], check=True, text=True,
                          capture_output=True).stdout
    assert said == "caffe train\n"


def test_refused_host_compiler(tmp_path):
    write_program(tmp_path / "nvcc",
                  'echo "nvcc was given: $*" >&2\nexit 1')
    path = f"{tmp_path}:{os.environ['PATH']}"
    build = subprocess.run(
        [ROOT / "scripts/setup/build_caffe.sh", "--cuda"], text=True,
        capture_output=True,
        env=dict(os.environ, PATH=path, CUDAHOSTCXX="g++-7"))
    assert build.returncode == 1
    assert "nvcc was given: -ccbin g++-7 " in build.stderr
    assert "Set CUDAHOSTCXX" in build.stderr
