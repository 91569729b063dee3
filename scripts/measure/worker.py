"""What runs in a process of its own: one solver that is looked into.

turns.py calls these functions there, start() first.
"""

import multiprocessing
import os
import signal
import statistics
import threading
import time

import numpy as np

import project

solver = None


def import_caffe(build):
    """pycaffe of build/BUILD, in the folder that the nets' data paths are
    relative to."""
    os.chdir(project.ROOT)
    caffe = project.import_caffe(build)
    caffe.set_mode_cpu()
    return caffe


def _end_with_parent():
    multiprocessing.parent_process().join()
    os._exit(1)


def start(build=None, solver_file=None):
    """Makes the solver, if the process is for one. Ctrl-C is left to
    the program, whose end, even by a signal, ends this process too."""
    global solver
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if build:
        solver = import_caffe(build).get_solver(str(solver_file))


def step(count):
    """Takes steps; the last one's loss."""
    solver.step(count)
    return float(solver.net.blobs["loss"].data)


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


def one_pass(net):
    """Milliseconds of each layer, [forward, backward], in one pass over the
    net; those without parameters are summed up as "other"."""
    spent_ms = {name: [0.0, 0.0] for name in [*net.params, "other"]}
    layers = list(enumerate(net._layer_names))
    net.clear_param_diffs()
    for part, function, order in (
        (0, net._forward, layers),
        (1, net._backward, layers[::-1]),
    ):
        for index, name in order:
            start_s = time.perf_counter()
            function(index, index)
            elapsed_s = time.perf_counter() - start_s
            spent_ms[name if name in spent_ms else "other"][part] += (
                1e3 * elapsed_s
            )
    return spent_ms


def profile(count):
    """As one_pass, medians of `count` passes.

    They are made outside of Solver::Step, where no update is waiting: what
    the solver does to the parameters is not in them.
    """
    passes = [one_pass(solver.net) for _ in range(count)]
    return {
        name: [
            statistics.median(spent_ms[name][part] for spent_ms in passes)
            for part in (0, 1)
        ]
        for name in passes[0]
    }
