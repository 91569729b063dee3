"""The program that times training steps, tools/step_times.cpp, of a build."""

import contextlib
import ctypes
import os
import re

from measure.step_workers import StepProcess
from project import ROOT, shown


def let_waiting_threads_sleep():
    """As build/bin/caffe does it: threads that wait spin for about as long as
    waking them takes, unless the user says something else. Longer, they would
    take the cores of the process whose turn it is."""
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ["OMP_WAIT_POLICY"] = "passive"
        os.environ.setdefault("GOMP_SPINCOUNT", "2000")


def cpu_flags():
    """What the processor can do, as Linux names it; OSError elsewhere."""
    with open("/proc/cpuinfo") as lines:
        return set(re.findall(r"\b(?:avx|fma)\w*", lines.read()))


def use_blas_kernels():
    """As our build does it for itself (math/blas_kernels.hpp), for stock Caffe
    and NumPy: tells an OpenBLAS that does not know this processor, and would
    take kernels without AVX, which ones to take."""
    with contextlib.suppress(OSError, AttributeError):
        corename = ctypes.CDLL("libopenblas.so.0").openblas_get_corename
        corename.restype = ctypes.c_char_p
        if corename() != b"Prescott":
            return
        flags = cpu_flags()
        if {"avx512f", "avx512dq", "avx512bw", "avx512vl"} <= flags:
            os.environ.setdefault("OPENBLAS_CORETYPE", "SkylakeX")
        elif {"avx2", "fma"} <= flags:
            os.environ.setdefault("OPENBLAS_CORETYPE", "Haswell")


def start(label, build, solver, log, steps_per_call=0):
    """A StepProcess of build/BUILD that takes steps of the solver's file.

    log: open file for its messages. Raises ValueError if it is not built.
    """
    folder = ROOT / "build" / build
    program = folder / "build/tools/step_times"
    if not program.exists():
        raise ValueError(f"{shown(program)} is missing: build it")
    return StepProcess(
        label,
        [program, f"--solver={solver}"],
        log,
        steps_per_call,
        cwd=ROOT,  # the nets' data paths are relative to it
        env={
            **os.environ,
            # The interpreter inside Caffe finds its library by way of PATH.
            "PATH": f"/usr/bin:{os.environ['PATH']}",
            "PYTHONPATH": f"{ROOT / 'python_layers'}:{folder / 'python'}",
        },
    )
