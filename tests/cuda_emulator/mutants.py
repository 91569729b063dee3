"""Takes one barrier, fence, atomic, bound or early return out of our kernels at
a time, and sees whether the emulator reports it.

usage: mutants.py [--list] [--match TEXT] [--every N] [--results FILE]

Needs `make emulate`. --list only lists the mutants; with --match it is those of
which the regular expression is found in the list, with --every N each N-th.
--results takes what is in the file, for mutants of text that has not changed,
and adds a line, JSON, for each that is tried.
Ends with status 1 if one survives that KNOWN does not explain.
"""

import argparse
import collections
import dataclasses
import hashlib
import json
import os
import pathlib
import re
import resource
import shlex
import signal
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = ROOT / "build/caffe-emulate/build"
PATCHED = BUILD.parent
OVERLAY = ROOT / "caffe_patches/overlay"
INCLUDE = "include/caffe/approx_dropout"
SOURCE = "src/caffe"
LIMIT_S = 240  # of the processor: others may use it, too

# Tests that run all kernels of a file, in float.
PRODUCTS = ("ApproxDropoutInnerProductLayerTest/2.*"
            ":ApproxDropoutLSTMLayerTest/2.*-*TestGradient*")
TESTS = {
    "approx_dropout_layer.cu": "ApproxDropoutLayerTest/2.*",
    "approx_dropout_lstm_layer.cu":
        "ApproxDropoutLSTMLayerTest/2.*-*TestGradient*",
    "convolution_product.cu":
        "ApproxDropoutConvolutionLayer*Test/2.*-*TestGradient*",
    "lstm_step.cu":
        "ApproxDropoutLSTMLayerTest/2.*:LSTMStepGPUTest/0.*-*TestGradient*",
    "device_blocks.cu": "SGDUpdaterTest/2.TestRectified:" + PRODUCTS,
    "device_parameter.cu": "DeviceParameterGPUTest/0.*",
    "softmax_layer.cu":
        "RowSoftmaxTest/2.*:Softmax*LayerTest/2.*-SoftmaxLayerTest/2.*Gradient*"
        ":SoftmaxWithLossLayerTest/2.*Gradient*",
    "softmax_loss_layer.cu":
        "RowSoftmaxTest/2.*:SoftmaxWithLossLayerTest/2.*-*Gradient*",
}
# Those of a file that is not there.
OTHER_TESTS = "*/2.*:*GPUTest/0.*-*Gradient*"
# Device code of the host's, that is mutated with a file of kernels. The other
# functions that both compile are tested on the host.
SHARED = {
    "device_blocks.cu": f"{INCLUDE}/product/batched_blocks.hpp",
    "device_parameter.cu": f"{INCLUDE}/update/device_cells.hpp",
    "lstm_step.cu": f"{INCLUDE}/product/lstm_step.hpp",
}
CAFFES = ("softmax_layer.cu", "softmax_loss_layer.cu")  # with kernels of ours

INCLUDED = re.compile(r'#include "(caffe/.*\.cuh)"')
DEVICE = re.compile(r"\b(?:__global__|__device__|CAFFE_HOST_DEVICE)\b")
MUTATIONS = (
    ("barrier", re.compile(r"__syncthreads\(\);"), ""),
    ("fence", re.compile(r"__threadfence\(\);"), ""),
    ("atomic", re.compile(r"atomicAdd\((\w+), (\w+)\)"), r"((*\1 += \2) - \2)"),
    ("atomic", re.compile(r"atomicExch\((.+?), (.+?)\);"),
     r"*(\1); *(\1) = \2;"),
    ("early return", re.compile(r"if \([^{}]*\) \{\s*(return|continue);\s*\}"),
     ""),
    ("bound", re.compile(r" < "), " <= "),
    ("bound", re.compile(r" <= "), " <= 1 + "),
    ("bound", re.compile(r" >= "), " > "),
    ("bound", re.compile(r" > (?=\d)"), " >= "),
    ("bound", re.compile(r"(CUDA_KERNEL_LOOP\(\w+, )(.+)\) \{"),
     r"\1 1 + \2) {"),
)


@dataclasses.dataclass(frozen=True)
class Mutant:
    kernels: pathlib.Path  # the .cu
    file: pathlib.Path  # the .cu, or a header
    kind: str
    line: int
    before: str  # that line
    text: str  # of the whole file

    def __str__(self):
        return (f"{self.kind}, {self.file.name}:{self.line}: "
                f"{self.before.strip()}")

    @property
    def key(self):
        """Tells it from others of the same text of both files."""
        text = self.kernels.read_text() + self.text
        return f"{self.file.name} {hashlib.sha256(text.encode()).hexdigest()}"


def bodies(text):
    """(start, end) of what functions of the device do, innermost braces
    included."""
    for match in DEVICE.finditer(text):
        start = text.find("{", match.end())
        if start < 0 or text.find(";", match.end(), start) >= 0:
            continue
        depth = 0
        for end in range(start, len(text)):
            depth += (text[end] == "{") - (text[end] == "}")
            if depth == 0:
                yield start, end
                break


def mutants_of(kernels, file):
    text = file.read_text()
    found = set()
    for start, end in bodies(text):
        for kind, pattern, replacement in MUTATIONS:
            for match in pattern.finditer(text, start, end):
                if (match.start(), kind) in found:
                    continue
                found.add((match.start(), kind))
                line = text.count("\n", 0, match.start())
                yield Mutant(
                    kernels, file, kind, line + 1, text.split("\n")[line],
                    text[:match.start()] + match.expand(replacement)
                    + text[match.end():])


def all_kernels():
    """The .cu files with kernels of ours."""
    sources = sorted(OVERLAY.rglob("*.cu"), key=lambda path: path.name)
    return sources + [PATCHED / SOURCE / "layers" / name for name in CAFFES]


def others_with(mutant):
    """The other .cu files that the mutant's header is in."""
    return [source for source in all_kernels() if source != mutant.kernels
            and any(mutant.file == OVERLAY / "include" / name
                    for name in INCLUDED.findall(source.read_text()))]


def kernel_files():
    """(.cu, files of its that are mutated): itself, and the headers of kernels
    that no file before it has."""
    done = set()
    for source in all_kernels():
        names = INCLUDED.findall(source.read_text())
        if source.name in SHARED:
            names.append(SHARED[source.name].removeprefix("include/"))
        headers = [OVERLAY / "include" / name for name in names]
        ours = [source] if source.is_relative_to(OVERLAY) else []
        yield source, ours + [
            path for path in headers if path.exists() and path not in done]
        done.update(headers)


def all_mutants():
    return [mutant for kernels, files in kernel_files() for file in files
            for mutant in mutants_of(kernels, file)]


# Survivors, and why they are harmless: (kind, file, part of the line).
KNOWN = {
    ("bound", "batched_blocks.hpp", "(period > 1 ?"):
        "a remainder of division by 1 is 0 as well",
    ("bound", "batched_blocks.hpp", "if (stride > 1)"):
        "1 has returned before",
    ("bound", "batched_blocks.hpp", "+= kRowsAtOnce * own.step"):
        "each of the rows is checked inside of the loop",
    # Those that are not reported at their first index.
    ("bound", "batched_blocks.hpp", "k < kRowsAtOnce"):
        "a fifth row is there only where the grid is at its limit, or is the "
        "thread's own, by reference: tests of the host have both",
    ("bound", "batched_blocks.hpp", "value > 0 ? value"):
        "0 rectified is 0 either way",
    ("bound", "device_cells.hpp", "j += kAtOnce * num_threads"):
        "each of the columns is checked inside of the loop",
    ("bound", "lstm_step_forward.cuh", "i < kRuns"):
        "a run beyond the last is of a sample beyond the tile",
    ("bound", "lstm_step_forward.cuh", "own_sample(i) < kTile && column"):
        "what is loaded for a sample beyond the tile is not stored",
    ("bound", "lstm_step_forward.cuh", "first_column + own_column(i) < units_"):
        "a column beyond the last is not multiplied",
    ("bound", "lstm_step_forward.cuh", "column < units; column +="):
        "a round without columns",
    ("bound", "lstm_step_forward.cuh", "i < half"):
        "what lies behind the halves is not used again",
    ("bound", "lstm_step_forward.cuh", "i < kWarpRows * kTile / 2"):
        "a zero behind the thread's own array, which a pointer does not show",
    ("bound", "lstm_step.hpp", "return end < units"):
        "the same at equality",
    ("bound", "row_softmax.cuh", "return a < b"):
        "the same at equality",
    ("barrier", "row_softmax.cuh", "__syncthreads();"):
        "operations have shared memory of their own; no kernel uses one twice",
    ("early return", "device_parameter.cuh", "if (!part)"):
        "no columns are listed then",
}


def compile_command():
    """How the emulated build compiles a file of kernels, and where: options do
    not differ from file to file, but some are compiled together."""
    for entry in json.loads((BUILD / "compile_commands.json").read_text()):
        if entry["file"].endswith("device_parameter.cu.cpp"):
            command = shlex.split(entry["command"])
            # Neither the cache's launcher nor what says where the object goes.
            end = command.index("-o")
            return command[command[0].endswith("ccache"):end], entry
    raise LookupError("no kernels in the emulated build")


def build(mutant, folder):
    """A library with the mutant's kernels, to be loaded before Caffe's."""
    command, entry = compile_command()
    objects = []
    for kernels in (mutant.kernels, *others_with(mutant)):
        source = folder / kernels.name
        source.write_text(kernels.read_text())
        mutated = source
        if mutant.file != kernels:
            mutated = folder / mutant.file.relative_to(OVERLAY)
            mutated.parent.mkdir(parents=True, exist_ok=True)
        mutated.write_text(mutant.text)
        rewritten = folder / f"{source.name}.cpp"
        subprocess.run([sys.executable, ROOT / "tests/cuda_emulator"
                        / "rewrite_launches.py", source, rewritten], check=True)
        objects.append(folder / f"{source.name}.o")
        subprocess.run(
            [command[0], "-iquote", folder / "include", *command[1:], "-c",
             rewritten, "-o", objects[-1]], cwd=entry["directory"], check=True)
    # Linked apart: with the options of the kernels it would get libtsan.
    library = folder / "libmutant.so"
    subprocess.run([command[0], "-shared", *objects, "-o", library], check=True)
    return library


def verdict(mutant):
    """"reported", "wrong results", "hangs" or "survives"."""
    with tempfile.TemporaryDirectory() as name:
        library = build(mutant, pathlib.Path(name))
        done = subprocess.run(
            [BUILD / "test/test.testbin", "--gtest_break_on_failure",
             "--gtest_filter="
             + TESTS.get(mutant.kernels.name, OTHER_TESTS)],
            env={**os.environ, "LD_PRELOAD": str(library),
                 "OMP_NUM_THREADS": "1"},
            capture_output=True, text=True, check=False,
            preexec_fn=lambda: resource.setrlimit(
                resource.RLIMIT_CPU, (LIMIT_S, LIMIT_S + 5)))
    if "[ RUN" not in done.stdout:
        raise RuntimeError(f"no test was run: {done.stderr}")
    if done.returncode == -signal.SIGXCPU:
        return "hangs"
    if "cuda_emulator: " in done.stderr:
        return "reported"
    return "wrong results" if done.returncode else "survives"


def explained(mutant):
    return next((why for (kind, file, part), why in KNOWN.items()
                 if kind == mutant.kind and mutant.file.name == file
                 and part in mutant.before), None)


class Results:
    """Verdicts, kept in a file if there is one."""

    def __init__(self, path):
        self.path, self.known = path, {}
        if path and path.exists():
            lines = path.read_text().splitlines()
            self.known = {item["key"]: item["verdict"]
                          for item in map(json.loads, lines)}

    def of(self, mutant):
        key = mutant.key
        # Tests may have become better.
        if self.known.get(key, "survives") == "survives":
            self.known[key] = verdict(mutant)
            if self.path:
                item = {"key": key, "verdict": self.known[key],
                        "mutant": str(mutant)}
                with open(self.path, "a") as file:
                    file.write(json.dumps(item) + "\n")
        return self.known[key]


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--match", default="")
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--results", type=pathlib.Path)
    arguments = parser.parse_args()
    results = Results(arguments.results)
    counts = collections.Counter()
    chosen = [mutant for mutant in all_mutants()
              if re.search(arguments.match, str(mutant))]
    for mutant in chosen[::arguments.every]:
        if arguments.list:
            print(mutant)
            continue
        found = results.of(mutant)
        why = explained(mutant) if found == "survives" else None
        counts["explained" if why else found] += 1
        print(f"{found}: {mutant}" + (f" ({why})" if why else ""), flush=True)
    print(*(f"{count} {name}" for name, count in counts.items()), sep=", ")
    return 1 if counts["survives"] else 0


if __name__ == "__main__":
    sys.exit(main())
