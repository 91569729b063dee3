"""Takes one barrier, atomic, bound or early return out of our kernels at a
time, and sees whether the emulator reports it.

usage: mutants.py [--list] [--every N] [--first I]

Needs `make emulate`. --list only lists the mutants; with --every N it is each
N-th of them, from the I-th on. Ends with status 1 if one survives that KNOWN
does not explain.
"""

import argparse
import collections
import dataclasses
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = ROOT / "build/caffe-emulate/build"
OVERLAY = ROOT / "caffe_patches/overlay"
INCLUDE = "include/caffe/approx_dropout"
SOURCE = "src/caffe"
TIMEOUT_S = 240

# A file of kernels, what it includes that is theirs too, and tests that run
# all of them, in float.
PRODUCTS = ("ApproxDropoutInnerProductLayerTest/2.*"
            ":ApproxDropoutLSTMLayerTest/2.*-*TestGradient*")
KERNELS = {
    f"{SOURCE}/approx_dropout/update/device_parameter.cu": (
        [f"{INCLUDE}/update/device_parameter.cuh",
         f"{INCLUDE}/update/device_cells.hpp"],
        "DeviceParameterGPUTest/0.*"),
    f"{SOURCE}/approx_dropout/product/batched_product.cu": (
        [f"{INCLUDE}/product/batched_product.cuh",
         f"{INCLUDE}/product/batched_blocks.hpp"], PRODUCTS),
    f"{SOURCE}/approx_dropout/product/gather_scatter.cu": (
        [], "SGDUpdaterTest/2.TestRectified:" + PRODUCTS),
    f"{SOURCE}/layers/approx_dropout_layer.cu": (
        [], "ApproxDropoutLayerTest/2.*"),
    f"{SOURCE}/layers/approx_dropout_lstm_layer.cu": (
        [], "ApproxDropoutLSTMLayerTest/2.*-*TestGradient*"),
    f"{SOURCE}/approx_dropout/product/lstm_step.cu": (
        [f"{INCLUDE}/product/lstm_step_forward.cuh",
         f"{INCLUDE}/product/lstm_step_backward.cuh",
         f"{INCLUDE}/product/lstm_step.hpp"],
        "ApproxDropoutLSTMLayerTest/2.*-*TestGradient*"),
}

DEVICE = re.compile(r"\b(?:__global__|__device__|CAFFE_HOST_DEVICE)\b")
MUTATIONS = (
    ("barrier", re.compile(r"__syncthreads\(\);"), ""),
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
    kernels: str  # the .cu
    file: str
    kind: str
    line: int
    before: str  # that line
    text: str  # of the whole file

    def __str__(self):
        return (f"{self.kind}, {pathlib.Path(self.file).name}:{self.line}: "
                f"{self.before.strip()}")


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
    text = (OVERLAY / file).read_text()
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


def all_mutants():
    return [mutant for kernels, (headers, _) in KERNELS.items()
            for file in [kernels, *headers]
            for mutant in mutants_of(kernels, file)]


# Survivors, and why they are harmless: (kind, file, part of the line).
KNOWN = {
    ("bound", "batched_blocks.hpp", "(period > 1 ?"):
        "a remainder of division by 1 is 0 as well",
}


def compile_command(source):
    """How the emulated build compiles what a .cu has become; the file."""
    for entry in json.loads((BUILD / "compile_commands.json").read_text()):
        if pathlib.Path(entry["file"]).name == f"{source.name}.cpp":
            command = shlex.split(entry["command"])
            # Neither the cache's launcher nor what says where the object goes.
            end = command.index("-o")
            return command[command[0].endswith("ccache"):end], entry
    raise LookupError(f"{source} is not in the emulated build")


def build(mutant, folder):
    """A library with the mutant's kernels, to be loaded before Caffe's."""
    source = folder / mutant.kernels
    mutated = folder / mutant.file
    for path in (source, mutated):
        path.parent.mkdir(parents=True, exist_ok=True)
    source.write_text((OVERLAY / mutant.kernels).read_text())
    mutated.write_text(mutant.text)
    command, entry = compile_command(source)
    rewritten = folder / f"{source.name}.cpp"
    subprocess.run([sys.executable, ROOT / "tests/cuda_emulator"
                    / "rewrite_launches.py", source, rewritten], check=True)
    # Linked apart: with the options of the kernels it would get libtsan.
    library, kernels = folder / "libmutant.so", folder / "mutant.o"
    subprocess.run(
        [command[0], "-iquote", folder / "include", *command[1:], "-c",
         rewritten, "-o", kernels], cwd=entry["directory"], check=True)
    subprocess.run([command[0], "-shared", kernels, "-o", library], check=True)
    return library


def verdict(mutant):
    """"reported", "wrong results", "hangs" or "survives"."""
    with tempfile.TemporaryDirectory() as name:
        library = build(mutant, pathlib.Path(name))
        try:
            done = subprocess.run(
                [BUILD / "test/test.testbin", "--gtest_break_on_failure",
                 f"--gtest_filter={KERNELS[mutant.kernels][1]}"],
                env={**os.environ, "LD_PRELOAD": str(library),
                     "OMP_NUM_THREADS": "1"},
                capture_output=True, text=True, check=False,
                timeout=TIMEOUT_S)
        except subprocess.TimeoutExpired:
            return "hangs"
    if "cuda_emulator: " in done.stderr:
        return "reported"
    return "wrong results" if done.returncode else "survives"


def explained(mutant):
    return next((why for (kind, file, part), why in KNOWN.items()
                 if kind == mutant.kind and mutant.file.endswith(file)
                 and part in mutant.before), None)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--first", type=int, default=0)
    arguments = parser.parse_args()
    counts = collections.Counter()
    for mutant in all_mutants()[arguments.first::arguments.every]:
        if arguments.list:
            print(mutant)
            continue
        found = verdict(mutant)
        why = explained(mutant) if found == "survives" else None
        counts["explained" if why else found] += 1
        print(f"{found}: {mutant}" + (f" ({why})" if why else ""), flush=True)
    print(*(f"{count} {name}" for name, count in counts.items()), sep=", ")
    return 1 if counts["survives"] else 0


if __name__ == "__main__":
    sys.exit(main())
