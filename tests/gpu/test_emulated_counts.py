"""What the emulated device counts, of kernels that can be counted by hand
(tests/cuda_emulator/counted.cu) and of iterations of nets."""

import dataclasses
import json
import os
import subprocess

import pytest

from gpu import bundle_nets, device_counts
from nets import registry
from nets.rewrite import input_layer

# Blocks of 64 threads. Of all launches: requests, the first to read something,
# sectors, lines and needed bytes; then bytes of the sectors read and written.

KERNELS = {
    ("CopyKernel", 3): (24, 12, 24 * 4, 24, 24 * 128, 2 * 768, 2 * 768),
    # Of 64 of the blocks, times 1000/64.
    ("CopyKernel", 1000): (
        4000, 2000, 4000 * 4, 4000, 4000 * 128, 256000, 256000),
    ("WideCopyKernel", 3): (12, 6, 12 * 16, 12 * 4, 12 * 512, 3072, 3072),
    ("StrideKernel<0>", 3): (12, 1, 6 * (1 + 4), 12, 6 * (4 + 128), 32, 768),
    ("StrideKernel<2>", 3): (12, 6, 6 * (8 + 4), 18, 12 * 128, 1536, 768),
    ("StrideKernel<32>", 3): (
        12, 6, 6 * (32 + 4), 6 * 33, 12 * 128, 32 * 192, 768),
    ("ShiftKernel", 3): (12, 6, 6 * (5 + 4), 18, 12 * 128, 800, 768),
    ("HalfKernel", 3): (12, 6, 12 * 2, 12, 12 * 64, 384, 384),
    # 31 and 63 reads of the two warps; the n-th is of the threads above n.
    ("TriangleKernel", 1): (
        31 + 63 + 2, 31 + 63, 288, 96, 4 * (64 * 63 // 2) + 256, 8960, 256),
    ("AtomicKernel", 3): (6, 1, 6, 6, 6 * 4, 32, 32),
    ("GraphKernel", 3): (
        4 * 12, 4 * 6, 12 * 4 + 3 * 6 * (5 + 4), 12 + 3 * 18, 4 * 12 * 128,
        768 + 3 * 800, 4 * 768),
    ("GraphKernel", 1): (4, 2, 4 * 4, 4, 4 * 128, 256, 256),
}
# Requests to shared memory, and turns beyond those of no conflict.
SHARED = {
    "BankKernel<1>": (12, 0),
    "BankKernel<2>": (12, 12),
    "BankKernel<32>": (12, 12 * 31),
    "BankKernel<33>": (12, 0),
    "BroadcastKernel": (3 + 6, 0),
    "WideBankKernel": (12, 0),
}
FIELDS = ("requests", "first_requests", "sectors", "lines", "needed_bytes",
          "read_bytes", "written_bytes")
CALLS = {
    ("graph", "cudaGraphLaunch"): (1, 5),
    ("allocation", "device"): (1, 24),
    ("allocation", "host"): (1, 24),
    ("copy", "device to host"): (1, 8),
    ("copy", "host to device"): (2, 44),
    ("wait", "cublasSasum"): (1, 0),
    ("wait", "cudaDeviceSynchronize"): (1, 0),
    ("wait", "cudaFree"): (1, 0),
    ("wait", "cudaFreeHost"): (1, 0),
    ("wait", "cudaMemcpy"): (2, 0),
    ("wait", "cudaStreamSynchronize"): (1, 0),
}
LIBRARIES = {
    "cublasSasum": (1, 400, 0),
    "cublasSaxpy": (1, 800, 400),
    "cudaMemcpy": (1, 12, 12),
    "cudaMemset": (2, 0, 16 + 24),
}


def run_counted(emulated, file, **environment):
    return subprocess.run(
        [emulated / "emulator_counted"], capture_output=True, text=True,
        check=False,
        env={**os.environ, "CUDA_EMULATOR_PROFILE": str(file), **environment})


@pytest.fixture(scope="module")
def counted(emulated, tmp_path_factory):
    file = tmp_path_factory.mktemp("counts") / "counts.json"
    done = run_counted(emulated, file)
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(file.read_text())


def of_kind(counts, kind):
    return [work for work in counts["work"] if work["kind"] == kind]


def test_memory_of_kernels(counted):
    found = {
        (work["name"], work["grid"][0]): tuple(work[f] for f in FIELDS)
        for work in of_kind(counted, "kernel") if not work["shared_requests"]}
    assert found == KERNELS
    launches = {work["grid"][0]: work["launches"]
                for work in of_kind(counted, "kernel")
                if work["name"] == "CopyKernel"}
    assert launches == {3: 2, 1000: 1}  # not those outside of what is profiled


def test_shared_memory(counted):
    assert SHARED == {
        work["name"]: (work["shared_requests"], work["bank_conflicts"])
        for work in of_kind(counted, "kernel") if work["shared_requests"]}


def test_products(counted):
    batched, single = of_kind(counted, "gemm")
    assert (single["name"], batched["name"]) == ("Sgemm NT", "Sgemm NN")
    shape = ("m", "n", "k", "batch", "aligned")
    assert [single[f] for f in shape] == [24, 20, 16, 1, True]
    assert [batched[f] for f in shape] == [6, 4, 5, 3, False]
    assert single["flops"] == 2 * 24 * 20 * 16
    assert single["read_bytes"] == 4 * 16 * (24 + 20)
    assert batched["flops"] == 2 * 3 * 6 * 4 * 5
    # One B for all; C is read too.
    assert batched["read_bytes"] == 4 * (3 * 30 + 20 + 3 * 24)
    assert batched["written_bytes"] == 4 * 3 * 24


def test_calls(counted):
    assert CALLS == {(call["kind"], call["name"]): (
        call["count"], call["bytes"]) for call in counted["calls"]}
    fields = ("launches", "read_bytes", "written_bytes")
    assert LIBRARIES == {work["name"]: tuple(work[f] for f in fields)
                         for work in of_kind(counted, "library")}


def test_needs_ascending_order(emulated, tmp_path):
    done = run_counted(emulated, tmp_path / "counts.json",
                       CUDA_EMULATOR_ORDER="shuffled")
    assert done.returncode
    assert "CUDA_EMULATOR_PROFILE needs threads in ascending" in done.stderr


def test_file_that_cannot_be_written(emulated, tmp_path):
    done = run_counted(emulated, tmp_path / "missing/counts.json")
    assert done.returncode
    assert f"cannot write {tmp_path}/missing/counts.json" in done.stderr


MLP = {"hidden": (48, 64), "tile_size": 16, "max_period": 4, "batch_size": 16}
LSTM = {"hidden": (24, 24), "tile_size": 16, "max_period": 4, "batch_size": 4,
        "sequence_length": 5, "vocabulary": 50}
MAPS = {"maps": (8, 8, 16), "hidden": (32,), "max_period": 4, "batch_size": 4}
# What Caffe does: the sum of losses, for the host to show.
LOSS = {("wait", "cublasSasum"): (1, 0)}


def image_inputs(experiment):
    count = experiment.batch_size
    shapes = {"data": (count, 3, 8, 8), "label": (count,)}
    return [input_layer(shapes)], "data:2,label:10"


@pytest.mark.parametrize("key, settings, inputs_of", [
    ("mnist/row_0.5", MLP, bundle_nets.perceptron_inputs),
    ("mnist/row_0.5", {**MLP, "groups": 4}, bundle_nets.perceptron_inputs),
    ("mnist/tile_0.5", MLP, bundle_nets.perceptron_inputs),
    ("ptb/small_row_0.5", {**LSTM, "groups": 1}, bundle_nets.language_inputs),
    ("ptb/small_row_0.5", {**LSTM, "groups": (2, 2, 4)},
     bundle_nets.language_inputs),
    ("ptb/small_tile_0.5", {**LSTM, "groups": 1},
     bundle_nets.language_inputs),
    ("cifar10/row_0.3", {**MAPS, "rates": (0.3,) * 4, "groups": 2},
     image_inputs),
])
def test_iteration_waits_for_the_loss_only(emulated, key, settings, inputs_of):
    """Nothing of ours is allocated, copied or waited for in an iteration."""
    experiment = dataclasses.replace(registry.find(key), **settings)
    # By then buffers have met the largest patterns.
    counts = device_counts.count_experiment(experiment, inputs_of, 12, 20)
    calls = {(call["kind"], call["name"]): (call["count"], call["bytes"])
             for call in counts["calls"]}
    expected = dict(LOSS)
    if key == "mnist/tile_0.5":
        # Caffe's InnerProduct at the end sets a vector of ones on the host.
        ones = 4 * experiment.batch_size
        expected["copy", "host to device"] = (1, ones)
        expected["wait", "cudaMemcpy"] = (1, 0)
    if key.startswith("ptb/"):
        # A graph for each layer and direction, a kernel for each time step.
        layers, steps = len(experiment.hidden), experiment.sequence_length
        expected["graph", "cudaGraphLaunch"] = (
            2 * layers, 2 * layers * steps)
    assert calls == expected


@pytest.mark.parametrize("key, settings, inputs_of", [
    ("mnist/row_0.5", MLP, bundle_nets.perceptron_inputs),
    ("ptb/small_row_0.5", {**LSTM, "groups": 1}, bundle_nets.language_inputs),
])
def test_step_of_one_iteration_costs_no_more(
        emulated, key, settings, inputs_of):
    """Each call of Solver::Step leaves what waits where it is: the same work
    as in one call, and step_times' own waits before and after."""
    experiment = dataclasses.replace(registry.find(key), **settings)
    many, one = (device_counts.count_experiment(
        experiment, inputs_of, 12, 20, in_one_call)
        for in_one_call in (True, False))
    assert many["work"] == one["work"]
    calls = [{(call["kind"], call["name"]): (call["count"], call["bytes"])
              for call in counts["calls"]} for counts in (many, one)]
    assert calls[1] == {**calls[0], ("wait", "cudaDeviceSynchronize"): (2, 0)}
