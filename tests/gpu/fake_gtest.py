#!/usr/bin/python3
"""Stands for Caffe's test program: some tests pass, one fails, one crashes;
all crash if CRASH is set."""

import fnmatch
import os
import sys

TESTS = {
    "BenchmarkTest/2": ["Timer"],
    "NetTest/0": ["Good"],
    "NetTest/2": ["Good", "Better"],
    "ApproxDropoutTest/3": ["Good", "Bad"],
    "ApproxDropoutLSTMStateTest/2": ["TestGradient", "TestGradientStepByStep"],
    "DeviceParameterGPUTest/0": ["TestRows", "TestWords"],
    "GPUMathTest/1": ["Good", "Crash", "AfterCrash"],
}


def main():
    print("Cuda number of devices: 1")
    chosen = "*"
    for argument in sys.argv[1:]:
        if argument == "--gtest_list_tests":
            for suite, tests in TESTS.items():
                print(f"{suite}.")
                print(*(f"  {test}\n" for test in tests), sep="", end="")
            return 0
        chosen = argument.removeprefix("--gtest_filter=")
    failed = False
    for suite, tests in TESTS.items():
        for name in [f"{suite}.{test}" for test in tests]:
            if not any(fnmatch.fnmatch(name, x) for x in chosen.split(":")):
                continue
            print("[ RUN      ]", name, flush=True)
            if name.endswith(".Crash") or "CRASH" in os.environ:
                os.abort()
            bad = name.endswith("Bad")
            failed = failed or bad
            verdict = "[  FAILED  ]" if bad else "[       OK ]"
            print(verdict, name, "(1 ms)", flush=True)
    return 1 if failed else 0


sys.exit(main())
