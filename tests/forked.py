"""Tries inputs in pycaffe, each in a process of its own, forked from one that
has imported it and done nothing else:

    forked.py <cases >ends

A case is {"net": path}, a net that is set up, or {"solver": path, "state":
path}, a training that is resumed for two iterations. An end is the exit status,
negative for a signal, and what was said. Both are lists in JSON.
"""

import json
import os
import signal
import subprocess
import sys

from conftest import PYTHONPATH

LIMIT_S = 60  # what takes longer hangs


def ends(cases):
    """The ends of the cases."""
    done = subprocess.run(
        [sys.executable, __file__],
        env={**os.environ, "PYTHONPATH": PYTHONPATH},
        input=json.dumps(cases),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def _run(case):
    import caffe

    if "net" in case:
        caffe.Net(case["net"], caffe.TRAIN)
        return
    solver = caffe.get_solver(case["solver"])
    solver.restore(case["state"])
    solver.step(2)


def _end(case):
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(LIMIT_S)
        os.dup2(writing, 1)
        os.dup2(writing, 2)
        os.close(writing)
        status = 0
        try:
            _run(case)
        except BaseException as error:
            print(f"{type(error).__name__}: {error}", flush=True)
            status = 1
        os._exit(status)
    os.close(writing)
    with os.fdopen(reading, errors="replace") as pipe:
        said = pipe.read()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), said


if __name__ == "__main__":
    import caffe  # noqa: F401, once for all

    json.dump([*map(_end, json.load(sys.stdin))], sys.stdout)
