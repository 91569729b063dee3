"""Libraries that Caffe can do without: what is said where one is missing."""

import subprocess

import pytest

from project import ROOT

OVERLAY = ROOT / "caffe_patches" / "overlay"
CAFFE = ROOT / "build" / "caffe"

PROJECT = """\
cmake_minimum_required(VERSION 3.10)
project(Probe CXX)
list(APPEND CMAKE_MODULE_PATH {caffe}/cmake/Modules)
include({caffe}/cmake/Utils.cmake)
set(USE_OPENCV ON)
set(USE_LEVELDB ON)
include({caffe}/cmake/OptionalLibraries.cmake)
message(STATUS "opencv=${{USE_OPENCV}} leveldb=${{USE_LEVELDB}}")
message(STATUS "libraries=${{OpenCV_LIBS}}")
"""

REASON = """\
#include <iostream>
#include "caffe/util/missing_layers.hpp"
int main(int count, char** types) {
  std::cout << caffe::MissingLayerReason(types[1]);
}
"""


def configure(folder, *without):
    """What CMake says on a system without some packages."""
    (folder / "CMakeLists.txt").write_text(PROJECT.format(caffe=CAFFE))
    return subprocess.run(
        ["cmake", "-S", folder, "-B", folder / "build",
         *(f"-DCMAKE_DISABLE_FIND_PACKAGE_{name}=ON" for name in without)],
        check=True, text=True, capture_output=True).stdout


def test_all_there(tmp_path):
    said = configure(tmp_path)
    assert "opencv=ON leveldb=ON" in said and "lacks" not in said
    libraries = said[said.index("libraries="):].split("\n")[0]
    assert "imgcodecs" in libraries and "highgui" not in libraries


@pytest.mark.parametrize("package, switch, lacks", [
    ("OpenCV", "opencv=OFF leveldb=ON", "ImageData, WindowData, encoded"),
    ("LevelDB", "opencv=ON leveldb=OFF", "LevelDB as data_param's backend"),
    ("Snappy", "opencv=ON leveldb=OFF", "LevelDB as data_param's backend"),
])
def test_goes_on_without(tmp_path, package, switch, lacks):
    said = configure(tmp_path, package)
    assert switch in said
    assert said.count("This build lacks") == 1
    assert f"-- This build lacks {lacks}" in said


@pytest.fixture(scope="module")
def reason(tmp_path_factory):
    """A function of a layer type and of what the build has: why it has no
    layer of that type."""
    folder = tmp_path_factory.mktemp("reason")
    (folder / "main.cpp").write_text(REASON)

    def say(layer_type, *defined):
        program = folder / "_".join(["reason", *defined])
        if not program.exists():
            subprocess.run(
                ["g++", *(f"-D{name}" for name in defined), "-I",
                 OVERLAY / "include", folder / "main.cpp",
                 OVERLAY / "src/caffe/util/missing_layers.cpp", "-o", program],
                check=True)
        return subprocess.run([program, layer_type], check=True, text=True,
                              capture_output=True).stdout

    return say


@pytest.mark.parametrize("layer_type", ["ImageData", "WindowData"])
def test_image_layers_without_opencv(reason, layer_type):
    said = reason(layer_type, "WITH_PYTHON_LAYER")
    assert "built without OpenCV 3 or 4 (Debian: libopencv-imgc" in said
    assert reason(layer_type, "USE_OPENCV") == ""


def test_python_layer_without_python(reason):
    assert "built without Python and Boost.Python" in reason("Python",
                                                             "USE_OPENCV")
    assert reason("Python", "WITH_PYTHON_LAYER") == ""


def test_unknown_type_has_no_reason(reason):
    assert reason("Convolutoin", "WITH_PYTHON_LAYER") == ""


def test_unknown_backend_is_named(tmp_path):
    """convert_imageset takes the backend's name from its user."""
    (tmp_path / "list.txt").write_text("a.jpg 0\n")
    done = subprocess.run(
        [ROOT / "build/bin/convert_imageset", "--backend=levledb",
         f"{tmp_path}/", tmp_path / "list.txt", tmp_path / "db"],
        text=True, capture_output=True, check=False)
    assert done.returncode != 0
    assert ("Unknown database backend levledb: this build of Caffe has "
            "LEVELDB LMDB; build it again where the backend's library"
            ) in done.stderr
