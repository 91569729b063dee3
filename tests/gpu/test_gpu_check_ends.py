"""scripts/gpu/check.sh: what hangs, is stopped or is killed, and
compute-sanitizer, which something else stands for here."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gpu import cxx_tests
from gpu_bundle import (
    BUILD,
    check,
    checker,
    put_program,
    small_case,
    write_cases,
)

NO_ERRORS = "memcheck 0 racecheck 0 synccheck 0 initcheck 0 "


@pytest.fixture
def sanitizer(cpu_bundle, monkeypatch):
    """Stands for compute-sanitizer: each run of a tool reports the tool's
    number of errors in $ERRORS, or that it does not support the device."""
    put_program(cpu_bundle / "tools/compute-sanitizer", f"""
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
echo $tool $kernels "$@" >>{cpu_bundle}/runs
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
    monkeypatch.setenv("PATH", f"{cpu_bundle}/tools:{os.environ['PATH']}")
    monkeypatch.setenv("WORD", "name")


@pytest.mark.parametrize("word", ["name", "regex"])
def test_races_in_cublas_are_not_looked_for(cpu_bundle, sanitizer, monkeypatch,
                                            word):
    monkeypatch.setenv("WORD", word)
    monkeypatch.setenv("ERRORS", NO_ERRORS)
    checker(cpu_bundle, limit=60).run("sanitizer")
    runs = {tuple(line.split(" --gtest")[0].split())
            for line in (cpu_bundle / "runs").read_text().splitlines()}
    ours = f"--kernel-{word}=kernel_substring=caffe"
    assert runs == {("memcheck",), ("racecheck", ours), ("synccheck", ours),
                    ("initcheck", ours)}


def test_sanitizer_errors_are_counted(cpu_bundle, sanitizer, monkeypatch):
    program = cpu_bundle / "caffe/bin/test.testbin"
    text = program.read_text()
    check = checker(cpu_bundle, limit=60)
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
    assert not list((cpu_bundle / "out").glob("sanitizer.*"))


def test_sanitizer_is_tried_with_one_test_first(cpu_bundle, sanitizer,
                                                monkeypatch):
    monkeypatch.setenv("CRASH", "1")
    result = checker(cpu_bundle, limit=60).run("sanitizer")
    assert result["status"].startswith("skipped: compute-sanitizer does not")
    assert (cpu_bundle / "runs").read_text() == (
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


def let_hang(cpu_bundle):
    """Has all programs wait for a child that holds their output too."""
    for build in ("caffe", "stock"):
        for name in ("caffe", "step_times", "test.testbin"):
            put_program(cpu_bundle / build / "bin" / name, f"""
case $1 in
  --gtest_list_tests) printf 'NetTest/0.\\n  Good\\n' ;;
  *) touch {cpu_bundle}/hangs; sleep 100; exit ;;
esac
""")
    training = {"name": "mnist/hangs", "stock": True, "solver": ""}
    case = small_case(cpu_bundle)
    write_cases(cpu_bundle, steps=[case], trainings=[training])


@pytest.mark.parametrize("part, said", [
    ("tests", "caffe: 1 tests not_run"), ("train", "no time was left"),
    ("bench", "its process ended")])
def test_what_hangs_is_stopped(cpu_bundle, part, said):
    let_hang(cpu_bundle)
    start = time.monotonic()
    status, output, _ = check(cpu_bundle, "--cpu", "--limit", "3", part)
    assert status == 1 and said in output
    assert time.monotonic() - start < 50


def test_what_runs_is_stopped_with_the_check(cpu_bundle):
    let_hang(cpu_bundle)
    with subprocess.Popen([cpu_bundle / "gpu_check.sh", "--cpu", "--output",
                           cpu_bundle / "out", "tests"],
                          env={**os.environ, "PYTHON": sys.executable}) as run:
        while not (cpu_bundle / "hangs").exists():
            time.sleep(0.1)
        run.send_signal(signal.SIGTERM)
        assert run.wait(50) == 1
    report = json.loads((cpu_bundle / "out/gpu_check.json").read_text())
    assert report["parts"]["tests"]["caffe"]["not_run"] == 1


@pytest.mark.parametrize("part", ["tests", "train"])
def test_what_runs_ends_with_the_check(cpu_bundle, part):
    """Even when that is killed; so does what the program has started."""
    let_hang(cpu_bundle)
    for name in ("caffe/bin/test.testbin", "stock/bin/caffe"):
        program = cpu_bundle / name
        program.write_text(program.read_text().replace(
            f"touch {cpu_bundle}/hangs; sleep 100; exit",
            f"sleep 100 & echo $! >{cpu_bundle}/id; "
            f"touch {cpu_bundle}/hangs; wait"))
    with subprocess.Popen([cpu_bundle / "gpu_check.sh", "--cpu", "--output",
                           cpu_bundle / "out", part],
                          env={**os.environ, "PYTHON": sys.executable}) as run:
        while not (cpu_bundle / "hangs").exists():
            time.sleep(0.1)
        run.kill()
    stat = Path("/proc", (cpu_bundle / "id").read_text().strip(), "stat")
    deadline = time.monotonic() + 50
    # Nobody may be there to collect it: then it stays, as a zombie.
    while stat.exists() and stat.read_text().rpartition(")")[2][1] != "Z":
        assert time.monotonic() < deadline
        time.sleep(0.05)
