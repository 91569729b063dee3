"""Takes solver steps on request: the timed side of step_times.py.

Arguments: pycaffe's folder, solver file. Reads numbers of iterations from
standard input, one a line; answers each with the seconds they took, wall and
processor time, and the process's peak memory in bytes.
"""

import resource
import sys
import time

sys.path.insert(0, sys.argv[1])
import caffe  # noqa: E402


def main():
    """Serves until standard input ends."""
    caffe.set_mode_cpu()
    solver = caffe.SGDSolver(sys.argv[2])
    for line in sys.stdin:
        wall, processor = time.perf_counter(), time.process_time()
        solver.step(int(line))
        wall = time.perf_counter() - wall
        processor = time.process_time() - processor
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        print("seconds", wall, processor, peak, flush=True)


main()
