"""What build_caffe.sh says, with stand-ins for all that it calls."""

import os
import pty
import shutil
import subprocess

import pytest

from project import ROOT

SCRIPTS = ROOT / "scripts" / "setup"

WARNINGS = """\
boost/bind.hpp:36:1: note: '#pragma message: placeholders' is deprecated
io.cpp:7:3: warning: unused variable 'x' [-Wunused-variable]"""


def write_program(path, text=""):
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


@pytest.fixture
def project(tmp_path):
    """A project whose cmake and make only print; its root."""
    root, programs = tmp_path / "project", tmp_path / "programs"
    for folder in root / "scripts/setup", root / "build/caffe/build", programs:
        folder.mkdir(parents=True)
    shutil.copy(SCRIPTS / "build_caffe.sh", root / "scripts/setup")
    write_program(root / "scripts/setup/get_caffe.sh")
    (root / "scripts/setup/patch_caffe.py").write_text("")
    write_program(programs / "cmake", "cat <<'END'\n-- Configuring done\nEND")
    return root


def make_prints(project, text, status=0):
    write_program(project.parent / "programs/make",
                  f"cat <<'END'\n{text}\nEND\nexit {status}")


def build(project, *arguments, stdout=subprocess.PIPE):
    path = f"{project.parent / 'programs'}:{os.environ['PATH']}"
    return subprocess.run(
        [project / "scripts/setup/build_caffe.sh", *arguments], text=True,
        stdout=stdout, stderr=subprocess.PIPE, check=False,
        env={**os.environ, "PATH": path})


def steps(target, percents):
    return "\n".join(
        f"[{percent:3d}%] Building CXX object src/CMakeFiles/{target}.dir/"
        f"a{percent}.cpp.o\n{WARNINGS}" for percent in percents)


def test_progress_in_steps_of_ten(project):
    make_prints(project, "\n".join([
        steps("caffe", range(3, 100)), steps("caffe.bin", (100,)),
        steps("test.testbin", range(61, 101)),
        "[ 99%] Building NVCC (Device) object src/CMakeFiles/cuda_compile_1"
        ".dir/a.cu.o"]))
    done = build(project)
    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        *(f"build_caffe: caffe {x} %" for x in range(10, 100, 10)),
        *(f"build_caffe: test.testbin {x} %" for x in (70, 80, 90))]
    log = (project / "build/caffe/build.log").read_text()
    assert log.count("warning: unused variable") == 138


def test_nothing_to_build_says_nothing(project):
    make_prints(project, "[ 40%] Built target caffeproto\n"
                "[100%] Built target caffe")
    assert build(project).stdout == ""


def test_one_line_on_a_terminal(project):
    make_prints(project, steps("caffe", (7, 50)))
    ours, theirs = pty.openpty()
    done = build(project, stdout=theirs)
    os.close(theirs)
    said = os.read(ours, 4096).decode()
    os.close(ours)
    assert done.returncode == 0
    assert said == ("\rbuild_caffe: caffe 7 %\x1b[K"
                    "\rbuild_caffe: caffe 50 %\x1b[K\r\n")


def test_failure_shows_errors_and_keeps_the_status(project):
    make_prints(project, steps("caffe", (7,)) + """
io.cpp:76:25: error: 'CV_LOAD_IMAGE_COLOR' was not declared in this scope
make[2]: *** [io.cpp.o] Error 1""", 2)
    done = build(project)
    assert done.returncode == 2
    assert done.stderr == """\
io.cpp:76:25: error: 'CV_LOAD_IMAGE_COLOR' was not declared in this scope
make[2]: *** [io.cpp.o] Error 1
build_caffe: the build failed; all that it said is in build/caffe/build.log
"""
    assert not (project / "build/bin/caffe").exists()


def test_says_what_the_build_lacks(project):
    write_program(project.parent / "programs/cmake", "echo '-- This build "
                  "lacks ImageData: no OpenCV 3 or 4'")
    make_prints(project, "")
    assert build(project).stdout == ("build_caffe: this build lacks ImageData:"
                                     " no OpenCV 3 or 4\n")


def test_cudnn_that_is_not_there(project, monkeypatch):
    write_program(project.parent / "programs/nvcc", "echo compute_90")
    make_prints(project, "")
    (project / "build/caffe-cuda/build").mkdir(parents=True)
    monkeypatch.setenv("CUDNN", "1")
    done = build(project, "--cuda")
    assert done.returncode == 1
    assert "CUDNN=1, but there is no cudnn.h" in done.stderr


def test_every_tool_has_a_wrapper(project):
    make_prints(project, "")
    assert build(project).returncode == 0
    tools = project / "build/caffe/build/tools"
    tools.mkdir()
    write_program(tools / "convert_imageset",
                  'echo "$1 $PYTHONPATH $OMP_WAIT_POLICY"')
    said = subprocess.run(
        [project / "build/bin/convert_imageset", "--encoded"], check=True,
        text=True, capture_output=True,
        env={"PATH": os.environ["PATH"]}).stdout
    assert said == (f"--encoded {project}/python_layers:"
                    f"{project}/build/caffe/python passive\n")
    caffes = (ROOT / "build/caffe.orig/tools").glob("*.cpp")
    assert {path.name for path in (project / "build/bin").iterdir()} == {
        "approx-dropout", *(path.stem for path in caffes)}
