"""Computes the kept products of an MLP's steps and nothing else, on request,
answering as tools/step_times.cpp does: a dense matrix of the kept size for each
operand, by the BLAS that Caffe is linked with."""

import argparse
import ctypes
import json
import resource
import sys
import time

import numpy as np

from measure import worker

ROW_MAJOR, PLAIN, TRANSPOSED = 101, 111, 112  # of cblas.h


def numbers(*shape):
    return np.random.default_rng(1).random(shape, np.float32)


class Products:
    """Of the products x W' and their gradients, as fc1 ... of mlp.py has them.

    kept: for one step after the other, again and again, how many units of each
    hidden layer it keeps. gemm: cblas_sgemm.
    """

    def __init__(self, gemm, batch, kept):
        self.gemm, self.batch = gemm, batch
        self.steps = [[784, *units, 10] for units in kept]
        self.next = 0
        widest = [max(units) for units in zip(*self.steps)]
        self.x = [numbers(batch * units) for units in widest]
        self.dx = [numbers(batch * units) for units in widest]
        sizes = [a * b for a, b in zip(widest, widest[1:])]
        self.weight = [numbers(size) for size in sizes]
        self.gradient = [numbers(size) for size in sizes]

    def multiply(self, transpose, a, b, c, m, n, k):
        """c (m x n) = op(a) op(b), k being what the sums run over."""
        first, second = transpose
        self.gemm(
            *(ROW_MAJOR, first, second, m, n, k, ctypes.c_float(1)),
            *(a.ctypes.data_as(ctypes.c_void_p), m if first > PLAIN else k),
            *(b.ctypes.data_as(ctypes.c_void_p), k if second > PLAIN else n),
            *(ctypes.c_float(0), c.ctypes.data_as(ctypes.c_void_p), n),
        )

    def step(self, count):
        for _ in range(count):
            units = self.steps[self.next % len(self.steps)]
            self.next += 1
            layers = list(enumerate(zip(units, units[1:])))
            for i, (inputs, outputs) in layers:
                self.multiply(
                    (PLAIN, TRANSPOSED), self.x[i], self.weight[i],
                    self.x[i + 1], self.batch, outputs, inputs,
                )  # fmt: skip
            for i, (inputs, outputs) in reversed(layers):
                self.multiply(
                    (TRANSPOSED, PLAIN), self.dx[i + 1], self.x[i],
                    self.gradient[i], outputs, inputs, self.batch,
                )  # fmt: skip
                if i > 0:
                    self.multiply(
                        (PLAIN, PLAIN), self.dx[i + 1], self.weight[i],
                        self.dx[i], self.batch, inputs, outputs,
                    )  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", required=True, help="folder in build/")
    parser.add_argument("--batch-size", type=int, required=True)
    parser.add_argument("--kept", type=json.loads, required=True)
    options = parser.parse_args()
    library = worker.import_caffe(options.build)._caffe.__file__
    gemm = ctypes.CDLL(library).cblas_sgemm
    products = Products(gemm, options.batch_size, options.kept)
    for line in sys.stdin:
        wall, processor = time.perf_counter(), time.process_time()
        products.step(int(line))
        wall = time.perf_counter() - wall
        processor = time.process_time() - processor
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        print("seconds", wall, processor, peak, 0, flush=True)


if __name__ == "__main__":
    main()
