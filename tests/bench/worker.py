"""What runs in a process of its own: one solver that is timed.

step_times.py calls these functions there, start() first.
"""

import os
import resource
import signal
import sys
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent.parent
solver = None


def import_caffe(build):
    """pycaffe of build/BUILD, in the folder that the nets' data paths are
    relative to. Ctrl-C is left to step_times.py."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.chdir(ROOT)
    sys.path[:0] = [
        str(ROOT / "build" / build / "python"),
        str(ROOT / "python_layers"),
    ]
    import caffe

    caffe.set_mode_cpu()
    return caffe


def start(build, solver_file):
    """Makes the solver."""
    global solver
    solver = import_caffe(build).SGDSolver(str(solver_file))


def step(count):
    """Takes steps in one call of Solver::Step.

    Returns milliseconds a step, wall and processor time, the process's peak
    memory in bytes and the last step's loss.
    """
    wall, processor = time.perf_counter(), time.process_time()
    solver.step(count)
    wall, processor = (
        time.perf_counter() - wall,
        time.process_time() - processor,
    )
    return {
        "wall_ms": wall / count * 1e3,
        "processor_ms": processor / count * 1e3,
        "peak_bytes": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
        "loss": float(solver.net.blobs["loss"].data),
    }


def save(path):
    """Writes all parameters, blob 1 of layer fc1 as "fc1/1"."""
    np.savez(
        path,
        **{
            f"{layer}/{i}": blob.data
            for layer, blobs in solver.net.params.items()
            for i, blob in enumerate(blobs)
        },
    )


def profile(count):
    """Milliseconds of each layer, [forward, backward], the mean of `count`
    passes over the net; those without parameters are summed up as "other".

    The passes are made layer by layer outside of Solver::Step, which leaves
    no update waiting: what the solver does to the parameters is not in them.
    """
    net = solver.net
    seconds = {name: [0.0, 0.0] for name in [*net.params, "other"]}
    layers = list(enumerate(net._layer_names))

    def timed(index, name, part, function):
        start_s = time.perf_counter()
        function(index, index)
        elapsed = time.perf_counter() - start_s
        seconds[name if name in seconds else "other"][part] += elapsed

    for _ in range(count):
        net.clear_param_diffs()
        for index, name in layers:
            timed(index, name, 0, net._forward)
        for index, name in reversed(layers):
            timed(index, name, 1, net._backward)
    return {
        name: [1e3 * value / count for value in both]
        for name, both in seconds.items()
    }
