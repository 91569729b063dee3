"""scripts/gpu/check.sh and the bundle's launcher, in a bundle made of the CPU
build. Nothing here needs a GPU or CUDA; test_bundle.py makes a real
bundle, where nvcc is installed."""

import dataclasses
import os
import subprocess
import sys

import pytest

import nets.solver
from conftest import CAFFE_CPU_TESTS
from data import mnist
from gpu import bundle_nets, cxx_tests, step_times
from gpu_bundle import (
    BUILD,
    check,
    checker,
    put_launcher,
    put_program,
    small_case,
    write_cases,
)
from nets import registry
from nets.rewrite import without_python
from nets.text import to_text
from project import ROOT


def test_goes_on_after_tests_that_fail_or_crash(cpu_bundle):
    status, output, report = check(cpu_bundle, "tests")
    # The CPU build has no device 0.
    assert status == 1 and "no GPU that it can use" in output
    assert report["device"] is None and report["failures"]

    program = cpu_bundle / "caffe/bin/test.testbin"
    all_tests = cxx_tests.list_tests(program)
    tests = [x for x in all_tests if cxx_tests.on_gpu(x)]
    checks = checker(cpu_bundle, limit=60)
    found = cxx_tests.run_in_parallel([program], tests, all_tests, checks)
    assert sorted(found["passed"]) == [
        "ApproxDropoutLSTMStateTest/2.TestGradient",
        "ApproxDropoutLSTMStateTest/2.TestGradientStepByStep",
        "ApproxDropoutTest/3.Good", "BenchmarkTest/2.Timer",
        "DeviceParameterGPUTest/0.TestRows",
        "DeviceParameterGPUTest/0.TestWords",
        "GPUMathTest/1.AfterCrash",
        "GPUMathTest/1.Good", "NetTest/2.Better", "NetTest/2.Good"]
    assert found["failed"] == ["ApproxDropoutTest/3.Bad"]
    assert found["crashed"] == ["GPUMathTest/1.Crash"]
    assert found["not_run"] == []
    ours = cxx_tests.counts(found, checks.is_ours)
    assert (ours["total"], ours["passed"], ours["failed"]) == (6, 5, 1)
    assert ours["names"] == {"failed": ["ApproxDropoutTest/3.Bad"]}


def test_timers_run_by_themselves(cpu_bundle):
    result = checker(cpu_bundle, limit=60).run("tests")
    assert result["caffe"]["passed"] == 5
    lines = [line for line in (cpu_bundle / "out/gpu_check.log").read_text()
             .splitlines() if line.startswith("[ ")]
    assert lines[-2:] == ["[ RUN      ] BenchmarkTest/2.Timer",
                          "[       OK ] BenchmarkTest/2.Timer (1 ms)"]


def test_tests_without_time_are_not_run(cpu_bundle):
    program = cpu_bundle / "caffe/bin/test.testbin"
    tests = cxx_tests.list_tests(program)
    found = cxx_tests.run_tests([program], tests, tests,
                                checker(cpu_bundle, limit=0))
    assert len(found["not_run"]) == len(tests) == 13 and not found["passed"]


def test_lists_all_of_caffes_tests():
    tests = cxx_tests.list_tests(BUILD / "test/test.testbin")
    ours = cxx_tests.suites_of(ROOT / bundle_nets.OUR_TESTS)
    caffes = [x for x in tests if not cxx_tests.is_ours(x[0], ours)
              and not cxx_tests.on_gpu(x)]
    assert len(caffes) == CAFFE_CPU_TESTS


def test_parts_are_added_to_an_earlier_report(cpu_bundle):
    # Of the CPU's suites, the fake has one of Caffe's and none of ours.
    status, output, report = check(cpu_bundle, "--cpu", "tests")
    assert status == 1 and "ours: no tests found" in output
    assert report["parts"]["tests"]["status"] == "failed"
    assert report["parts"]["tests"]["caffe"]["passed"] == 1
    status, output, report = check(cpu_bundle, "--cpu", "sanitizer", "bench")
    assert status == 0, output
    assert set(report["parts"]) == {"tests", "sanitizer", "bench"}
    assert report["parts"]["sanitizer"]["status"].startswith("skipped: no ")
    write_cases(cpu_bundle, commit="5678", steps=[], trainings=[])
    _, _, report = check(cpu_bundle, "--cpu", "bench")
    assert set(report["parts"]) == {"bench"}  # of another bundle


def test_parts_are_added_where_nvidia_smi_is_missing(cpu_bundle, monkeypatch):
    put_program(cpu_bundle / "tools/nvidia-smi", "exit 9")
    monkeypatch.setenv("PATH", f"{cpu_bundle}/tools:{os.environ['PATH']}")
    put_program(cpu_bundle / "caffe/bin/caffe", """
echo "I0101 $(date +%H:%M:%S.%N) $$ common.cpp:178] Device id: 0" >&2
""")
    check(cpu_bundle, "tests")
    _, _, report = check(cpu_bundle, "bench")
    assert set(report["parts"]) == {"tests", "bench"}
    assert report["device"] == {"query": ["Device id: 0"]}


def test_unknown_parts_are_refused(cpu_bundle):
    status, output, report = check(cpu_bundle, "--cpu", "benhc")
    assert status == 2 and "no part 'benhc'" in output and report is None


def test_steps_are_checked_and_timed(cpu_bundle, monkeypatch):
    name = step_times.GOALS[0][0]
    case = small_case(cpu_bundle, name=name)
    write_cases(cpu_bundle, steps=[case], trainings=[])
    (cpu_bundle / "torch.py").write_text("raise RuntimeError('old driver')\n")
    monkeypatch.setenv("PYTHONPATH", str(cpu_bundle))
    status, output, report = check(cpu_bundle, "--cpu", "bench")
    assert status == 0, output
    assert f"{name}: PyTorch: its process ended, not timed" in output
    # A missed goal is no failure; that at another rate was not run.
    goal, = report["parts"]["bench"]["goals"]
    assert goal["goal"] == f"{name} at rate 0.5 against stock 0.5"
    assert goal["met"] == (goal["measured"] >= goal["wanted"] == 2.5)
    assert f"{goal['goal']}: {goal['measured']:.2f} times as fast" in output
    case, = report["parts"]["bench"]["cases"]
    assert case["without_torch"] == "PyTorch: its process ended"
    rows = {row["case"]: row for row in case["rows"]}
    assert {"stock 0.5", "row 0.5", "tile 0.5"} <= rows.keys()
    for row in rows.values():
        assert row["wall_ms"] > 0 and len(row["wall_ms_all"]) == 2
    for losses in case["losses"].values():
        # It learns, on whichever side: the check can see a difference.
        assert losses["device"][0] - losses["device"][1] > 0.1
        assert losses["device"] == pytest.approx(losses["cpu"], rel=1e-4)


def test_goals_are_for_the_faster_of_row_and_tile():
    times = {"stock 0.7": [30, 33, 90], "row 0.7": [10, 10, 10],
             "tile 0.7": [20, 20, 20], "PyTorch": [10, 11, 9.5]}
    rows = [{"case": name, "wall_ms_all": each} for name, each in times.items()]
    met = [{"goal": "LSTM 2x1500 at rate 0.7 against stock 0.7", "wanted": 4,
            "measured": 3.3, "met": False},
           {"goal": "LSTM 2x1500 at rate 0.7 against PyTorch", "wanted": 1,
            "measured": 1, "met": True}]
    assert step_times.judge([{"case": "LSTM 2x1500", "rows": rows},
                            {"case": "LSTM 2x650", "rows": rows}]) == met
    assert step_times.judge(
        [{"case": "LSTM 2x1500", "rows": rows[:3]}]) == met[:1]


def test_a_wrong_loss_fails_the_benchmark_which_goes_on(cpu_bundle):
    case = small_case(cpu_bundle)
    # Each process trains from another seed.
    put_program(cpu_bundle / "caffe/bin/step_times", f"""
for argument; do
  case $argument in --solver=*) solver=${{argument#*=}} ;; esac
done
sed "s/random_seed: 1/random_seed: $$/" $solver >{cpu_bundle}/solver.$$
exec {BUILD}/tools/step_times "$@" --solver={cpu_bundle}/solver.$$
""")
    broken = small_case(cpu_bundle, name="broken", inputs="nosuch:2")
    write_cases(cpu_bundle, steps=[broken, case], trainings=[])
    status, output, report = check(cpu_bundle, "--cpu", "bench")
    assert status == 1
    assert "broken: row 0.5: its process ended" in output
    assert "small, row 0.5: losses" in output
    assert report["parts"]["bench"]["status"] == "failed"
    # Timed all the same.
    assert [x["case"] for x in report["parts"]["bench"]["cases"]] == ["small"]


def small_training(folder, method, **changes):
    """A training on 1,497 digits with a small net, as bundle_nets makes it."""
    experiment = dataclasses.replace(
        registry.find(f"mnist/{method}_0.5"), hidden=(64, 64),
        data=str(folder / "data"), iteration_limit=300, epochs=300,
        test_samples=300)
    return bundle_nets.training(folder, experiment, 0.05) | changes


def test_trainings_are_judged(cpu_bundle):
    mnist.prepare(cpu_bundle / "data", source="embedded")
    stock = small_training(cpu_bundle, "conventional")
    row = small_training(cpu_bundle, "row")
    write_cases(cpu_bundle, steps=[], trainings=[stock, row])
    status, output, report = check(cpu_bundle, "--cpu", "train")
    assert status == 0, output
    results = report["parts"]["train"]["trainings"]
    assert [x["name"] for x in results] == ["mnist/conventional_0.5",
                                            "mnist/row_0.5"]
    for result in results:
        assert result["tests"]["test"]["accuracy"] > 0.8
        assert result["median_ms"] > 0

    # One that learns nothing, and one that does not start.
    net = cpu_bundle / "nets" / "mnist_row_0.5.prototxt"
    net.write_text(net.read_text().replace('type: "xavier"',
                                           'type: "constant"'))
    lost = row | {"name": "mnist/lost", "solver": "nets/nosuch"}
    write_cases(cpu_bundle, steps=[], trainings=[lost, stock, row])
    status, output, report = check(cpu_bundle, "--cpu", "train")
    assert status == 1
    assert "mnist/lost: caffe ended with status" in output
    assert "mnist/row_0.5: accuracy" in output and "is worse than" in output
    assert len(report["parts"]["train"]["trainings"]) == 2


def test_nets_carry_k_and_need_no_python(tmp_path):
    experiment = registry.find("mnist/row_0.5")
    net = without_python(nets.solver.net(experiment))
    assert all(each["type"] != "Python" for each in net["layer"])
    patterns = [each for each in net["layer"]
                if each["type"] == "DropoutPattern"]
    assert len(patterns) == 2
    for each in patterns:
        k = each["dropout_pattern_param"]["probability"]
        assert len(k) == 16 and sum(k) == pytest.approx(1)
        assert sum(p * (1 - (m + 1) / 16) for m, p in enumerate(k)) == (
            pytest.approx(0.5, abs=1e-3))
        assert each["bottom"] == []
    assert "Python" not in to_text(net)


def run_launcher(folder, name, **environment):
    return subprocess.run(
        [folder / "bin" / name, "argument"], capture_output=True, text=True,
        check=False,
        env={"PATH": os.environ["PATH"], "PYTHON": sys.executable,
             **environment})


def test_launcher_finds_cudas_libraries(tmp_path):
    put_launcher(tmp_path)
    for build in ("caffe", "stock"):
        program = tmp_path / build / "bin" / "caffe"
        program.write_text(f"#!/bin/sh\necho {build} $1 $LD_LIBRARY_PATH\n")
        program.chmod(0o755)
    needed = tmp_path / "lib/cuda_libraries"
    needed.write_text("libfakeblas.so.13\nlibfakerand.so.10\n")
    done = run_launcher(tmp_path, "caffe")
    assert done.returncode == 1 and done.stdout == ""
    assert "libfakeblas.so.13 is not on this machine" in done.stderr

    home = tmp_path / "a toolkit"
    packages = tmp_path / "site packages"
    blas = packages / "nvidia" / "cu13" / "lib"
    for folder, name in ((home / "lib64", "libfakerand.so.10"),
                         (blas, "libfakeblas.so.13")):
        folder.mkdir(parents=True)
        (folder / name).write_text("")
    done = run_launcher(tmp_path, "caffe", CUDA_HOME=str(home),
                        PYTHONPATH=str(packages))
    assert done.stdout == f"caffe argument {blas}:{home}/lib64\n", done.stderr
    # What the user says comes first, and is enough.
    done = run_launcher(tmp_path, "caffe-stock",
                        LD_LIBRARY_PATH=f"{blas}:{home}/lib64")
    assert done.stdout == f"stock argument {blas}:{home}/lib64\n"
