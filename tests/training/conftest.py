"""A program in Caffe's place, for tests of train.py."""

import dataclasses
import json
import subprocess
import sys

import pytest

import training.run
from conftest import ROOT
from nets import registry

FAKE_CAFFE = f"""\
#!{sys.executable}
import os, pathlib, re, signal, sys, time
assert os.getpgrp() == os.getpid()  # out of reach of Ctrl-C in a terminal
flags = dict(flag.lstrip("-").split("=") for flag in sys.argv[2:])
solver = pathlib.Path(flags["solver"]).read_text()
def value(field):
    return re.search("^" + field + r': "?([^"\\n]+)', solver, re.M)[1]
last, epoch, display, test = (int(value(field)) for field in (
    "max_iter", "snapshot", "display", "test_interval"))
resumed = "snapshot" in flags
first = int(re.search(r"_iter_(\\d+)", flags["snapshot"])[1]) if resumed else 0
prefix = value("snapshot_prefix")
def log(message):
    line = "I1122 19:00:00.123456 1 solver.cpp:1] " + message
    try:
        print(line, file=sys.stderr, flush=True)
    except BrokenPipeError:  # as glog does
        pass
def write(iteration, end, content=b"\\x08\\x32"):  # a state's iter
    pathlib.Path(prefix + f"_iter_{{iteration}}.{{end}}").write_bytes(content)
def pair(iteration):
    write(iteration, "caffemodel")
    write(iteration, "solverstate")
def stop(*_):  # within an epoch
    pair(500)
    log("Optimization stopped early.")
    os._exit(0)
signal.signal(signal.SIGINT, stop)
log("Starting Optimization")
for i in range(first, last + 1):
    if i > first and i % epoch == 0:
        pair(i)
    if i and i % test == 0:
        log(f"Iteration {{i}}, Testing net (#0)")
        log("    Test net output #0: accuracy = 0.9")
    if i % display == 0:
        log(f"Iteration {{i}} (9 iter/s, 5s/50 iters), loss = LOSS")
    if "MODE" == "fail" and i == display:
        log("Check failed: no good")
        sys.exit(3)
    if "MODE" == "early" and i == 20:
        time.sleep(60)
    if i != epoch or resumed:
        continue
    if "MODE" == "hang":
        time.sleep(60)
    if "MODE" in ("die", "cut", "empty"):
        write(2 * i, "caffemodel")
        if "MODE" != "die":
            cut = b"" if "MODE" == "empty" else b"\\x1a\\x7f"
            write(2 * i, "solverstate", cut)
        os.kill(os.getpid(), signal.SIGKILL)
"""
SOURCE = {"used": "made up", "counts": {"train": 60000, "test": 300}}
PROGRAM = f"""\
import pathlib, sys
sys.path[:0] = [{str(ROOT / "scripts")!r}, {str(ROOT / "python_layers")!r}]
import training.run
training.run.ROOT = pathlib.Path(sys.argv[1])
training.run.CAFFE = training.run.ROOT / "caffe"
import train
sys.exit(train.main(sys.argv[2:]))
"""


def write_fake(path, mode="", loss="0.5"):
    path.write_text(FAKE_CAFFE.replace("MODE", mode).replace("LOSS", loss))
    path.chmod(0o755)


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """Trains with a program in Caffe's place: fake(mode, loss, **options)
    trains the conventional net in tmp_path/run and returns its metrics.
    settings: of the experiment."""
    data = tmp_path / "data"
    data.mkdir()
    (data / "source.json").write_text(json.dumps(SOURCE))
    monkeypatch.setattr(training.run, "CAFFE", tmp_path / "caffe")
    monkeypatch.setattr(training.run, "CUDA_CAFFE", tmp_path / "caffe-cuda")

    def run(mode="", loss="0.5", epochs=1, settings=(), **options):
        write_fake(training.run.CAFFE, mode, loss)
        experiment = dataclasses.replace(
            registry.find("mnist/conventional_0.5"),
            data=str(data),
            epochs=epochs,
            **dict(settings),
        )
        return training.run.train(experiment, tmp_path / "run", **options)

    return run


@pytest.fixture
def program(tmp_path):
    """train.py as a process, with a program in Caffe's place and tmp_path in
    the repository's: program(mode, *arguments, **options of Popen) starts it
    on two epochs of the conventional net, in runs/mnist/conventional_0.5.
    """
    data = tmp_path / "build/data/mnist"
    data.mkdir(parents=True)
    (data / "source.json").write_text(json.dumps(SOURCE))
    (tmp_path / "train.py").write_text(PROGRAM)
    started = []

    def start(mode="", *arguments, **options):
        write_fake(tmp_path / "caffe", mode)
        command = [
            sys.executable, tmp_path / "train.py", tmp_path, "--epochs=2",
            "mnist/conventional_0.5", *arguments,
        ]  # fmt: skip
        options = {"stderr": subprocess.PIPE, "text": True, **options}
        started.append(subprocess.Popen(command, **options))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()
        if process.stderr:
            process.stderr.close()
