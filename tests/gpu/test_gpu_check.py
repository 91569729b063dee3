"""scripts/gpu/check.sh and the bundle's launcher, in a bundle made of the CPU
build. Nothing here needs a GPU or CUDA; test_bundle.py makes a real
bundle, where nvcc is installed."""

import argparse
import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import nets.solver
from conftest import CAFFE_CPU_TESTS
from data import mnist
from gpu import bundle_nets, cxx_tests, step_times
from gpu import check as gpu_check
from nets import registry
from nets.rewrite import without_python
from nets.text import to_text
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


@pytest.fixture
def bundle(tmp_path):
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


def test_goes_on_after_tests_that_fail_or_crash(bundle):
    status, output, report = check(bundle, "tests")
    # The CPU build has no device 0.
    assert status == 1 and "no GPU that it can use" in output
    assert report["device"] is None and report["failures"]

    program = bundle / "caffe/bin/test.testbin"
    all_tests = cxx_tests.list_tests(program)
    tests = [x for x in all_tests if cxx_tests.on_gpu(x)]
    checks = checker(bundle, limit=60)
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


def test_timers_run_by_themselves(bundle):
    result = checker(bundle, limit=60).run("tests")
    assert result["caffe"]["passed"] == 5
    lines = [line for line in (bundle / "out/gpu_check.log").read_text()
             .splitlines() if line.startswith("[ ")]
    assert lines[-2:] == ["[ RUN      ] BenchmarkTest/2.Timer",
                          "[       OK ] BenchmarkTest/2.Timer (1 ms)"]


def test_tests_without_time_are_not_run(bundle):
    program = bundle / "caffe/bin/test.testbin"
    tests = cxx_tests.list_tests(program)
    found = cxx_tests.run_tests([program], tests, tests,
                                checker(bundle, limit=0))
    assert len(found["not_run"]) == len(tests) == 13 and not found["passed"]


def test_lists_all_of_caffes_tests():
    tests = cxx_tests.list_tests(BUILD / "test/test.testbin")
    ours = cxx_tests.suites_of(ROOT / bundle_nets.OUR_TESTS)
    caffes = [x for x in tests if not cxx_tests.is_ours(x[0], ours)
              and not cxx_tests.on_gpu(x)]
    assert len(caffes) == CAFFE_CPU_TESTS


def test_parts_are_added_to_an_earlier_report(bundle):
    # Of the CPU's suites, the fake has one of Caffe's and none of ours.
    status, output, report = check(bundle, "--cpu", "tests")
    assert status == 1 and "ours: no tests found" in output
    assert report["parts"]["tests"]["status"] == "failed"
    assert report["parts"]["tests"]["caffe"]["passed"] == 1
    status, output, report = check(bundle, "--cpu", "sanitizer", "bench")
    assert status == 0, output
    assert set(report["parts"]) == {"tests", "sanitizer", "bench"}
    assert report["parts"]["sanitizer"]["status"].startswith("skipped: no ")
    write_cases(bundle, commit="5678", steps=[], trainings=[])
    _, _, report = check(bundle, "--cpu", "bench")
    assert set(report["parts"]) == {"bench"}  # of another bundle


def test_parts_are_added_where_nvidia_smi_is_missing(bundle, monkeypatch):
    put_program(bundle / "tools/nvidia-smi", "exit 9")
    monkeypatch.setenv("PATH", f"{bundle}/tools:{os.environ['PATH']}")
    put_program(bundle / "caffe/bin/caffe", """
echo "I0101 $(date +%H:%M:%S.%N) $$ common.cpp:178] Device id: 0" >&2
""")
    check(bundle, "tests")
    _, _, report = check(bundle, "bench")
    assert set(report["parts"]) == {"tests", "bench"}
    assert report["device"] == {"query": ["Device id: 0"]}


def test_unknown_parts_are_refused(bundle):
    status, output, report = check(bundle, "--cpu", "benhc")
    assert status == 2 and "no part 'benhc'" in output and report is None


def small_case(folder, **changes):
    case = bundle_nets.timed_case(
        folder, "small", "mnist/", bundle_nets.perceptron_inputs, (0.5,),
        hidden=(64, 64), batch_size=8, tile_size=4)
    return case | {"rounds": 2, "steps": 3} | changes


def test_steps_are_checked_and_timed(bundle, monkeypatch):
    name = step_times.GOALS[0][0]
    write_cases(bundle, steps=[small_case(bundle, name=name)], trainings=[])
    (bundle / "torch.py").write_text("raise RuntimeError('old driver')\n")
    monkeypatch.setenv("PYTHONPATH", str(bundle))
    status, output, report = check(bundle, "--cpu", "bench")
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


def test_a_wrong_loss_fails_the_benchmark_which_goes_on(bundle):
    case = small_case(bundle)
    # Each process trains from another seed.
    put_program(bundle / "caffe/bin/step_times", f"""
for argument; do
  case $argument in --solver=*) solver=${{argument#*=}} ;; esac
done
sed "s/random_seed: 1/random_seed: $$/" $solver >{bundle}/solver.$$
exec {BUILD}/tools/step_times "$@" --solver={bundle}/solver.$$
""")
    broken = small_case(bundle, name="broken", inputs="nosuch:2")
    write_cases(bundle, steps=[broken, case], trainings=[])
    status, output, report = check(bundle, "--cpu", "bench")
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


def test_trainings_are_judged(bundle):
    mnist.prepare(bundle / "data", source="embedded")
    stock = small_training(bundle, "conventional")
    row = small_training(bundle, "row")
    write_cases(bundle, steps=[], trainings=[stock, row])
    status, output, report = check(bundle, "--cpu", "train")
    assert status == 0, output
    results = report["parts"]["train"]["trainings"]
    assert [x["name"] for x in results] == ["mnist/conventional_0.5",
                                            "mnist/row_0.5"]
    for result in results:
        assert result["tests"]["test"]["accuracy"] > 0.8
        assert result["median_ms"] > 0

    # One that learns nothing, and one that does not start.
    net = bundle / "nets" / "mnist_row_0.5.prototxt"
    net.write_text(net.read_text().replace('type: "xavier"',
                                           'type: "constant"'))
    lost = row | {"name": "mnist/lost", "solver": "nets/nosuch"}
    write_cases(bundle, steps=[], trainings=[lost, stock, row])
    status, output, report = check(bundle, "--cpu", "train")
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


NO_ERRORS = "memcheck 0 racecheck 0 synccheck 0 initcheck 0 "


@pytest.fixture
def sanitizer(bundle, monkeypatch):
    """Stands for compute-sanitizer: each run of a tool reports the tool's
    number of errors in $ERRORS, or that it does not support the device."""
    put_program(bundle / "tools/compute-sanitizer", f"""
for argument; do
  shift
  case $argument in
    --help) echo "  --kernel-$WORD arg  key1=val1"; exit ;;
    --kernel-*) kernels=$argument ;;
    --log-file=*) log=$(echo "${{argument#*=}}" | sed "s/%p/$$/") ;;
    --tool=*) tool=${{argument#*=}} ;;
    --*) ;;
    *) break ;;
  esac
done
echo $tool $kernels "$@" >>{bundle}/runs
count=$(echo "$ERRORS" | sed "s/.*$tool //; s/ .*//")
case $tool in
  racecheck)
    text="RACECHECK SUMMARY: $count hazards displayed (0 errors, $count warn"
    ;;
  *) text="ERROR SUMMARY: $count errors" ;;
esac
[ -z "$CRASH" ] || text="Error: Device not supported."
echo "========= $text" >"$log"
exec "$argument" "$@"
""")
    monkeypatch.setenv("PATH", f"{bundle}/tools:{os.environ['PATH']}")
    monkeypatch.setenv("WORD", "name")


@pytest.mark.parametrize("word", ["name", "regex"])
def test_races_in_cublas_are_not_looked_for(bundle, sanitizer, monkeypatch,
                                            word):
    monkeypatch.setenv("WORD", word)
    monkeypatch.setenv("ERRORS", NO_ERRORS)
    checker(bundle, limit=60).run("sanitizer")
    runs = {tuple(line.split(" --gtest")[0].split())
            for line in (bundle / "runs").read_text().splitlines()}
    ours = f"--kernel-{word}=kernel_substring=caffe"
    assert runs == {("memcheck",), ("racecheck", ours), ("synccheck", ours),
                    ("initcheck", ours)}


def test_sanitizer_errors_are_counted(bundle, sanitizer, monkeypatch):
    program = bundle / "caffe/bin/test.testbin"
    text = program.read_text()
    check = checker(bundle, limit=60)
    monkeypatch.setenv("ERRORS",
                       "memcheck 1 racecheck 3 synccheck 0 initcheck 0 ")
    program.write_text(text.replace("StepByStep", "Bad"))
    result = check.run("sanitizer")
    assert result["status"] == "failed" and len(result["failures"]) == 2
    # Of two suites, each in a process of its own.
    assert result["memcheck"]["errors"] == 2
    assert result["memcheck"]["names"] == {
        "failed": ["ApproxDropoutLSTMStateTest/2.TestGradientBad"]}
    assert result["racecheck"]["errors"] == 3
    assert result["synccheck"]["errors"] == 0

    program.write_text(text)
    monkeypatch.setenv("ERRORS", NO_ERRORS)
    result = check.run("sanitizer")
    assert result["status"] == "passed"
    assert [result[tool]["passed"]
            for tool in ("memcheck", "racecheck", "synccheck", "initcheck")
            ] == [3, 2, 2, 2]
    assert not list((bundle / "out").glob("sanitizer.*"))


def test_sanitizer_is_tried_with_one_test_first(bundle, sanitizer,
                                                monkeypatch):
    monkeypatch.setenv("CRASH", "1")
    result = checker(bundle, limit=60).run("sanitizer")
    assert result["status"].startswith("skipped: compute-sanitizer does not")
    assert (bundle / "runs").read_text() == (
        "memcheck --gtest_filter=DeviceParameterGPUTest/0.TestRows\n")


def test_sanitized_tests_are_there():
    """By name; those of the CPU have the same names but for the number."""
    tests = {".".join(test).replace("/0.", "/2.")
             for test in cxx_tests.list_tests(BUILD / "test/test.testbin")}
    assert set(cxx_tests.LONG_TESTS) <= tests
    assert sorted(filter(cxx_tests.SHARED_MEMORY.match, tests)) == [
        "ApproxDropoutConvolutionLayerTest/2.TestAgainstMaskedConvolution",
        "ApproxDropoutInnerProductLayerTest/2.TestAgainstMaskedProduct",
        "ApproxDropoutLSTMLayerTest/2.TestAgainstMaskedLSTM",
        "ApproxDropoutLayerTest/2.TestKeepsAndScales"]


def let_hang(bundle):
    """Has all programs wait for a child that holds their output too."""
    for build in ("caffe", "stock"):
        for name in ("caffe", "step_times", "test.testbin"):
            put_program(bundle / build / "bin" / name, f"""
case $1 in
  --gtest_list_tests) printf 'NetTest/0.\\n  Good\\n' ;;
  *) touch {bundle}/hangs; sleep 100; exit ;;
esac
""")
    training = {"name": "mnist/hangs", "stock": True, "solver": ""}
    write_cases(bundle, steps=[small_case(bundle)], trainings=[training])


@pytest.mark.parametrize("part, said", [
    ("tests", "caffe: 1 tests not_run"), ("train", "no time was left"),
    ("bench", "its process ended")])
def test_what_hangs_is_stopped(bundle, part, said):
    let_hang(bundle)
    start = time.monotonic()
    status, output, _ = check(bundle, "--cpu", "--limit", "3", part)
    assert status == 1 and said in output
    assert time.monotonic() - start < 50


def test_what_runs_is_stopped_with_the_check(bundle):
    let_hang(bundle)
    with subprocess.Popen([bundle / "gpu_check.sh", "--cpu", "--output",
                           bundle / "out", "tests"],
                          env={**os.environ, "PYTHON": sys.executable}) as run:
        while not (bundle / "hangs").exists():
            time.sleep(0.1)
        run.send_signal(signal.SIGTERM)
        assert run.wait(50) == 1
    report = json.loads((bundle / "out/gpu_check.json").read_text())
    assert report["parts"]["tests"]["caffe"]["not_run"] == 1


@pytest.mark.parametrize("part", ["tests", "train"])
def test_what_runs_ends_with_the_check(bundle, part):
    """Even when that is killed; so does what the program has started."""
    let_hang(bundle)
    for name in ("caffe/bin/test.testbin", "stock/bin/caffe"):
        program = bundle / name
        program.write_text(program.read_text().replace(
            f"touch {bundle}/hangs; sleep 100; exit",
            f"sleep 100 & echo $! >{bundle}/id; touch {bundle}/hangs; wait"))
    with subprocess.Popen([bundle / "gpu_check.sh", "--cpu", "--output",
                           bundle / "out", part],
                          env={**os.environ, "PYTHON": sys.executable}) as run:
        while not (bundle / "hangs").exists():
            time.sleep(0.1)
        run.kill()
    stat = Path("/proc", (bundle / "id").read_text().strip(), "stat")
    deadline = time.monotonic() + 50
    # Nobody may be there to collect it: then it stays, as a zombie.
    while stat.exists() and stat.read_text().rpartition(")")[2][1] != "Z":
        assert time.monotonic() < deadline
        time.sleep(0.05)
