"""A bundle made of the CPU build, which the tests of scripts/gpu/check.sh run
it in."""

import argparse
import json
import os
import shutil
import subprocess
import sys

from gpu import bundle_nets
from gpu import check as gpu_check
from project import ROOT

BUILD = ROOT / "build" / "caffe" / "build"
SCRIPTS = ("gpu/check", "gpu/cxx_tests", "gpu/step_times",
           "gpu/trainings", "measure/step_workers", "measure/timing",
           "measure/torch_steps",
           "training/caffe_log", "training/caffe_process",
           "approx_dropout/__init__",
           "approx_dropout/caffe_log")
OUR_SUITES = ["ApproxDropoutTest", "ApproxDropoutLSTMStateTest",
              "DeviceParameterGPUTest"]  # of fake_gtest.py


def put_program(path, text):
    """Puts a shell script in the place of a program."""
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(0o755)


def put_launcher(folder):
    """The launcher under the names of its programs, which need no CUDA."""
    for name in ("bin", "lib", "caffe/bin", "stock/bin", "scripts"):
        (folder / name).mkdir(parents=True)
    shutil.copy(ROOT / "scripts/gpu/launcher.sh", folder / "bin/launcher")
    (folder / "lib/cuda_libraries").write_text("")
    for name in ("caffe", "step_times", "test.testbin"):
        (folder / "bin" / name).symlink_to("launcher")
        (folder / "bin" / f"{name}-stock").symlink_to("launcher")


def make_bundle(tmp_path):
    """A bundle without cases."""
    folder = tmp_path / "bundle"
    put_launcher(folder)
    for build in ("caffe", "stock"):
        for name in ("caffe", "step_times"):
            (folder / build / "bin" / name).symlink_to(BUILD / "tools" / name)
    program = folder / "caffe/bin/test.testbin"
    shutil.copy(ROOT / "tests/gpu/fake_gtest.py", program)
    shutil.copy(ROOT / "scripts/gpu/check.sh", folder / "gpu_check.sh")
    for name in SCRIPTS:
        (folder / "scripts" / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / f"scripts/{name}.py", folder / f"scripts/{name}.py")
    write_cases(folder, steps=[], trainings=[])
    return folder


def write_cases(folder, **cases):
    (folder / "cases.json").write_text(json.dumps(
        {"commit": "1234", "data": {}, "our_suites": OUR_SUITES} | cases))


def check(bundle, *arguments):
    """Runs gpu_check.sh; returns status, output and the JSON."""
    done = subprocess.run(
        [bundle / "gpu_check.sh", "--output", bundle / "out", *arguments],
        cwd="/", capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHON": sys.executable})
    path = bundle / "out" / "gpu_check.json"
    report = json.loads(path.read_text()) if path.exists() else None
    return done.returncode, done.stdout + done.stderr, report


def checker(bundle, limit):
    """A Check without a command line, which would use a GPU."""
    check = gpu_check.Check(argparse.Namespace(
        output=bundle / "out", cpu=False, limit=limit), bundle)
    check.jobs = 2
    return check


def small_case(folder, **changes):
    case = bundle_nets.timed_case(
        folder, "small", "mnist/", bundle_nets.perceptron_inputs, (0.5,),
        hidden=(64, 64), batch_size=8, tile_size=4)
    return case | {"rounds": 2, "steps": 3} | changes
