"""The emulated device: it finds faults, our GPU tests pass on it, and nets
train on it as on the CPU. Builds build/caffe-emulate."""

import concurrent.futures
import dataclasses
import os
import re
import signal
import subprocess

import pytest

import nets.solver
from conftest import ROOT
from data import ptb
from gpu import cxx_tests
from nets import registry
from nets.rewrite import without_python
from nets.text import to_text

ORDERS = ("ascending", "descending", "shuffled")
# The C++ tests run in one of them, gradients by differences left out; with
# TESTS=all in each, and gradients in shuffled order.
ALL = os.environ.get("TESTS") == "all"
OURS = cxx_tests.suites_of(ROOT / "caffe_patches/overlay/src/caffe/test")
# Of a hundred thousand kernels and more: minutes each.
LONG_TESTS = ("ApproxDropoutLSTMStateTest/TestGradientStepByStep",
              *(name.replace("/2.", "/") for name in cxx_tests.LONG_TESTS))
LOSS = re.compile(r"Iteration (\d+) \(.*, loss = (\S+)")
ITERATIONS = 8  # rounding grows: to 1e-4 of the loss after twelve

FAULTS = {
    "out_of_bounds": "access out of bounds in ShiftKernel, 4 bytes",
    "use_after_free": "access out of bounds in ShiftKernel",
    "use_after_free_in_graph": "access out of bounds in ShiftKernel",
    "launch_beside_capture": "a thread that captures a stream uses the device",
    "allocation_while_capturing": "a thread that captures a stream uses",
    "uninitialised": "read of what is not initialised in ShiftKernel",
    "misaligned": "misaligned access in WideKernel, 16 bytes",
    "race_of_blocks": "race: two threads write in MeetKernel",
    "race_of_threads": "race: two threads write in MeetKernel",
    "read_and_write": "race: ",
    "no_barrier": "race: read of what another thread writes in RotateKernel",
    "unwritten_shared": "read of shared memory that is not initialised",
    "own_array": "index beyond an array's bounds in OwnArrayKernel",
    "shared_array": "index beyond an array's bounds in SharedArrayKernel",
    "early_return": "barrier that some threads never reach in ReturnKernel",
    "two_barriers": "barrier, while other threads wait at another in Branch",
    "shuffle_by_some": "shuffle that some lanes never reach in PairKernel",
    "shuffle_unnamed": "shuffle from a lane that its mask lacks in PairKernel",
    "two_shuffles": "shuffle, while other lanes are at another in TwoShuffles",
    "shuffle_no_barrier": "race: ",
    "atomic_and_plain": "race: ",
    "publishes_nothing": "race: read of what another thread writes in LastBloc",
    "sees_nothing": "race: read of what another thread writes in LastBlockKern",
    "not_the_last": "race: ",
    "host_memory": "access to the host's memory in ShiftKernel",
    "device_memory": "host code accesses the device's memory",
    "copy": "cudaMemcpy's source: byte 4 of 8 at ",
    "free": ", which is not allocated",
    "gemm": "A of a GEMM: byte 64 of 80 at ",
}


# The compiler's calls go to UBSan itself where the host's code is under it.
UBSAN_FAULTS = {
    "own_array": r"faults\.cu:\d+:\d+: runtime error: index 4 out of",
    "shared_array": r"faults\.cu:\d+:\d+: runtime error: index 64 out of",
}


def run(command, order="ascending", **environment):
    return subprocess.run(
        command, capture_output=True, text=True, check=False,
        env={**os.environ, "CUDA_EMULATOR_ORDER": order,
             "OMP_NUM_THREADS": "1", **environment})


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("fault", FAULTS)
def test_finds(emulated, fault, order):
    done = run([emulated / "emulator_faults", fault], order)
    sanitized = emulated.parent.name.endswith("-sanitize")
    if sanitized and fault in UBSAN_FAULTS:
        assert done.returncode, done
        assert re.search(UBSAN_FAULTS[fault], done.stderr)
        return
    assert done.returncode == -signal.SIGABRT, done
    assert FAULTS[fault] in done.stderr
    if "Kernel" in FAULTS[fault]:  # where it is
        assert re.search(r" at faults\.cu:\d+\n", done.stderr)


@pytest.mark.parametrize("order", ORDERS)
def test_says_nothing_of_what_is_right(emulated, order):
    done = run([emulated / "emulator_faults", "sound"], order)
    assert (done.returncode, done.stderr) == (0, "")


def test_unknown_order(emulated):
    done = run([emulated / "emulator_faults", "sound"], "random")
    assert done.returncode == -signal.SIGABRT
    assert "CUDA_EMULATOR_ORDER is random; legal: ascending" in done.stderr


def run_tests(emulated, tests, order):
    """Runs C++ tests, two processes at a time."""
    program = emulated / "test/test.testbin"
    command = [program, "--gtest_filter=" + ":".join(map(".".join, tests))]

    def share(index):
        return run(command, order, GTEST_TOTAL_SHARDS="2",
                   GTEST_SHARD_INDEX=str(index))

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        parts = list(pool.map(share, range(2)))
    for part in parts:
        said = part.stdout[-3000:] + part.stderr[-3000:]
        assert part.returncode == 0, said
    passed = sum(part.stdout.count("[       OK ]") for part in parts)
    assert passed == len(tests)


def gpu_tests(emulated, ours):
    listed = cxx_tests.list_tests(emulated / "test/test.testbin")
    return [test for test in listed if cxx_tests.on_gpu(test)
            and cxx_tests.is_ours(test[0], OURS) == ours]


def is_long(test):
    suite, name = test
    return f"{suite.split('/')[0]}/{name}" in LONG_TESTS


@pytest.mark.parametrize("order", ORDERS if ALL else ORDERS[-1:])
def test_our_tests_pass(emulated, order):
    tests = [test for test in gpu_tests(emulated, ours=True)
             if not is_long(test)
             and (ALL and order == "shuffled" or "Gradient" not in test[1])]
    assert len(tests) > 80
    run_tests(emulated, tests, order)


def test_caffes_tests_pass(emulated):
    tests = gpu_tests(emulated, ours=False)
    assert len(tests) > 50
    run_tests(emulated, tests, "shuffled")


def test_bfloat16_is_allowed(emulated):
    """The C++ test expects rounded factors then."""
    done = run([emulated / "test/test.testbin",
                "--gtest_filter=SgemmGPUTest.*"],
               CAFFE_ALLOW_BF16="1", GLOG_logtostderr="1")
    assert done.returncode == 0, done.stdout
    assert "[  PASSED  ] 1 test." in done.stdout
    assert "CAFFE_ALLOW_BF16=1: products of float32" in done.stderr


def test_reports_mutants(emulated):
    """A sample of them; `make emulate-mutants` tries all."""
    done = run(["/usr/bin/python3", ROOT / "tests/cuda_emulator/mutants.py",
                "--match", r"barrier, device_parameter|period > 1",
                "--every", "3"])
    assert done.returncode == 0, done.stdout
    assert re.search(r"\n1 explained, [1-9] reported\n$", done.stdout)


def digits(folder):
    """An experiment on the embedded digits."""
    subprocess.run(
        ["/usr/bin/python3", ROOT / "scripts/prepare_mnist.py",
         "--source", "embedded", "--output", folder / "digits"], check=True)
    return {"data": str(folder / "digits"), "hidden": (48, 64),
            "tile_size": 8, "max_period": 4, "batch_size": 16}


def sentences(folder):
    """An experiment on a few words."""
    files = {}
    for split in ("train", "valid", "test"):
        files[split] = folder / f"{split}.raw"
        files[split].write_text("the old cat sees a red toy\n" * 60)
    ptb.prepare(folder / "data", **files, batch_size=4, sequence_length=5)
    return {"data": str(folder / "data"), "hidden": (24, 24),
            "tile_size": 8, "max_period": 4, "batch_size": 4,
            "sequence_length": 5}


def losses(emulated, solver, *options):
    """A training's losses, one an iteration."""
    done = run([emulated / "tools/caffe", "train", f"--solver={solver}",
                *options])
    assert done.returncode == 0, done.stderr[-3000:]
    return {int(i): float(loss) for i, loss in LOSS.findall(done.stderr)}


@pytest.mark.parametrize("key, settings, groups", [
    ("mnist/row_0.5", digits, None),
    ("mnist/tile_0.5", digits, None),
    ("ptb/small_row_0.5", sentences, (2, 2, 4)),
    ("ptb/small_tile_0.5", sentences, (1, 1, 1)),
])
def test_trains_as_on_the_cpu(emulated, tmp_path, key, settings, groups):
    experiment = dataclasses.replace(
        registry.find(key), **settings(tmp_path),
        **({"groups": groups} if groups else {}))
    net, solver = tmp_path / "net.prototxt", tmp_path / "solver.prototxt"
    net.write_text(to_text(without_python(nets.solver.net(experiment))))
    fields = nets.solver.timed_solver(experiment) | {
        "net": str(net), "max_iter": ITERATIONS, "display": 1,
        "snapshot_after_train": False}
    solver.write_text(to_text(fields))
    on_cpu = losses(emulated, solver)
    on_device = losses(emulated, solver, "--gpu=0")
    assert len(on_cpu) >= ITERATIONS
    assert on_device == pytest.approx(on_cpu, rel=1e-4)
    assert len({*on_cpu.values()}) > ITERATIONS / 2  # it trains
