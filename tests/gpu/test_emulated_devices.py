"""Several GPUs, emulated: NCCL's calls, and trainings on two that end with the
weights of trainings on one."""

import dataclasses
import os
import signal
import subprocess

import h5py
import numpy
import pytest

import nets.solver
from conftest import ROOT
from data import ptb
from nets import registry
from nets.rewrite import without_python
from nets.text import to_text

ITERATIONS = 8
TOLERANCE = 1e-4  # of a parameter's largest value; sums differ in order


def run(command, **environment):
    return subprocess.run(
        command, capture_output=True, text=True, check=False,
        env={**os.environ, "CUDA_EMULATOR_DEVICES": "2",
             "OMP_NUM_THREADS": "1", **environment})


def test_sums_and_copies(emulated):
    done = run([emulated / "emulator_faults", "two_devices"])
    assert (done.returncode, done.stderr) == (0, "")


def test_memory_of_another_device(emulated):
    done = run([emulated / "emulator_faults", "other_device"])
    assert done.returncode == -signal.SIGABRT
    assert "access to another device's memory in ShiftKernel" in done.stderr


def test_number_of_devices(emulated):
    done = run([emulated / "emulator_faults", "sound"],
               CUDA_EMULATOR_DEVICES="3")
    assert "CUDA_EMULATOR_DEVICES is 3; legal: 1, 2, 4, 8" in done.stderr


def test_gradients_of_ranks(emulated):
    """Threads that act as ranks exchange them by NCCL."""
    done = run([emulated / "test/test.testbin",
                "--gtest_filter=DeviceSumsGPUTest.*"])
    assert done.returncode == 0, done.stdout
    assert "[  PASSED  ] 3 tests." in done.stdout
    assert "Not tested" not in done.stderr


def parameters(path):
    """Those of a .caffemodel, by the layer's name and index."""
    from caffe.proto import caffe_pb2

    net = caffe_pb2.NetParameter.FromString(path.read_bytes())
    return {(layer.name, i): numpy.array(blob.data)
            for layer in net.layer for i, blob in enumerate(layer.blobs)}


def trained(emulated, folder, experiment, gpus):
    """The parameters that a training on these devices ends with."""
    net, solver = folder / "net.prototxt", folder / "solver.prototxt"
    net.write_text(to_text(without_python(nets.solver.net(experiment))))
    solver.write_text(to_text(nets.solver.timed_solver(experiment) | {
        "net": str(net), "max_iter": ITERATIONS, "snapshot_after_train": True,
        "snapshot_prefix": str(folder / "weights")}))
    done = run([emulated / "tools/caffe", "train", f"--solver={solver}",
                f"--gpu={gpus}"])
    assert done.returncode == 0, done.stderr[-3000:]
    one_device = "Whole parameters are updated" not in done.stderr
    assert one_device == (gpus == "0")
    return parameters(folder / f"weights_iter_{ITERATIONS}.caffemodel")


def assert_same(found, wanted):
    assert found.keys() == wanted.keys()
    for name, values in wanted.items():
        largest = numpy.abs(values).max()
        assert numpy.abs(found[name] - values).max() <= TOLERANCE * largest


@pytest.mark.parametrize("method", ["row", "tile"])
def test_halves_of_a_batch(emulated, tmp_path, method):
    """Two devices take every other sample of the data each, and draw the same
    patterns: as one device with batches twice as large."""
    subprocess.run(
        ["/usr/bin/python3", ROOT / "scripts/prepare_mnist.py",
         "--source", "embedded", "--output", tmp_path / "digits"], check=True)
    experiment = dataclasses.replace(
        registry.find(f"mnist/{method}_0.5"), data=str(tmp_path / "digits"),
        hidden=(48, 64), tile_size=8, max_period=4, batch_size=8)
    found = trained(emulated, tmp_path, experiment, "0,1")
    whole = dataclasses.replace(experiment, batch_size=16)
    assert_same(found, trained(emulated, tmp_path, whole, "0"))
    half = trained(emulated, tmp_path, experiment, "0")
    with pytest.raises(AssertionError):
        assert_same(found, half)


def repeat_rows(folder):
    """Each time step twice: two devices then get the same text."""
    (path,) = (folder / "train.txt").read_text().split()
    with h5py.File(path, "r") as file:
        twice = {name: numpy.repeat(file[name][:], 2, axis=0) for name in file}
    with h5py.File(path, "w") as file:
        for name, rows in twice.items():
            file[name] = rows


@pytest.mark.parametrize("method, groups", [("row", (2, 2, 4)), ("tile", 1)])
def test_same_text_twice(emulated, tmp_path, method, groups):
    files = {}
    for split in ("train", "valid", "test"):
        files[split] = tmp_path / f"{split}.raw"
        files[split].write_text("the old cat sees a red toy\n" * 60)
    ptb.prepare(tmp_path / "data", **files, batch_size=4, sequence_length=5)
    experiment = dataclasses.replace(
        registry.find(f"ptb/small_{method}_0.5"), data=str(tmp_path / "data"),
        hidden=(24, 24), tile_size=8, max_period=4, batch_size=4,
        sequence_length=5, groups=groups)
    wanted = trained(emulated, tmp_path, experiment, "0")
    repeat_rows(tmp_path / "data")
    assert_same(trained(emulated, tmp_path, experiment, "0,1"), wanted)
