"""What iterations of a net ask of a GPU, counted on the emulated device."""

import dataclasses
import functools
import json
import os
import subprocess
import tempfile
from pathlib import Path

import nets.solver
from gpu import bundle_nets
from nets import registry
from nets.rewrite import for_timing
from project import ROOT, shown

# Buffers have grown after a few iterations; those after FROM and up to TO are
# counted.
FROM, TO = 3, 5
# Fields that add up; the others say what work it is.
AMOUNTS = frozenset(
    "launches flops read_bytes written_bytes requests first_requests sectors "
    "lines needed_bytes shared_requests bank_conflicts count bytes".split()
)
STOCK, OURS = "caffe-stock-emulate", "caffe-emulate"


@dataclasses.dataclass(frozen=True)
class Net:
    """A net that is counted: the registry's key up to the method, what feeds
    it, and what is changed of it."""

    title: str
    base: str
    inputs: object
    settings: dict


NETS = {
    "mlp": Net(
        "MLP 784-4096-4096-10, batch 1024",
        "mnist/",
        bundle_nets.perceptron_inputs,
        {"hidden": (4096, 4096), "batch_size": 1024},
    ),
    "lstm650": Net(
        "LSTM 2x650, 10,000 words, batch 20, 35 steps",
        "ptb/medium_",
        bundle_nets.language_inputs,
        {},
    ),
    "lstm1500": Net(
        "LSTM 2x1500, 10,000 words, batch 20, 35 steps",
        "ptb/large_",
        bundle_nets.language_inputs,
        {},
    ),
    "lstm1500_1": Net(
        "LSTM 2x1500, the same with one pattern for all samples",
        "ptb/large_",
        bundle_nets.language_inputs,
        {"groups": 1},
    ),
}


def experiment(net, method, rate):
    """The registry's, its rate changed where that one is not listed. Stock
    Caffe's at rate 0 is the net without Dropout layers."""
    if method == "conventional" and rate == 0:
        found = registry.find(f"{net.base}none")
        if found.workload == "ptb":  # the small one's recipe is another
            found = dataclasses.replace(found, sequence_length=35)
        return dataclasses.replace(found, **net.settings)
    found = registry.find(f"{net.base}{method}_{rate or 0.5:g}")
    rates = (rate,) * len(found.rates)
    return dataclasses.replace(found, rates=rates, **net.settings)


def program(build):
    """step_times of build/BUILD; ValueError if it is not built."""
    path = ROOT / "build" / build / "build/tools/step_times"
    if not path.exists():
        raise ValueError(f"{shown(path)} is missing: build it")
    return path


def count(build, solver, inputs, folder, first, last, in_one_call=True):
    """The counts of the iterations after `first` up to `last`.

    solver: a file, relative to the folder; inputs: as step_times takes them;
    in_one_call: of Solver::Step, else each iteration is a call.
    Raises RuntimeError if the program fails.
    """
    file = Path(folder) / "counts.json"
    done = subprocess.run(
        [
            program(build),
            f"--solver={solver}",
            f"--inputs={inputs}",
            "--gpu=0",
            f"--profile_from={first}",
            f"--profile_to={last}",
        ],
        input=f"{last}\n" if in_one_call else "1\n" * last,
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env={
            **os.environ,
            "CUDA_EMULATOR_PROFILE": str(file),
            "OMP_NUM_THREADS": "1",
        },
    )
    if done.returncode:
        raise RuntimeError(f"{build}, {solver}: {done.stderr[-2000:]}")
    return json.loads(file.read_text())


def per_iteration(counts, iterations):
    """The counts divided by the number of iterations."""

    def divided(item):
        return {
            field: value / iterations if field in AMOUNTS else value
            for field, value in item.items()
        }

    return {part: list(map(divided, items)) for part, items in counts.items()}


def count_experiment(some, inputs_of, first=FROM, last=TO, in_one_call=True):
    """The counts of an iteration of an experiment, as the mean of those after
    `first` up to `last`; inputs_of: gives the layers that feed it, and what
    step_times is to fill them with."""
    layers, inputs = inputs_of(some)
    with tempfile.TemporaryDirectory() as folder:
        solver = bundle_nets.write(
            Path(folder),
            "counted",
            for_timing(nets.solver.net(some), layers),
            nets.solver.timed_solver(some),
        )
        build = OURS if some.pattern else STOCK
        counts = count(
            build, solver, inputs, folder, first, last, in_one_call
        )
    return per_iteration(counts, last - first)


def count_net(net, method, rate):
    """The counts of an iteration of one of NETS. Some have the same
    conventional net, which is counted once."""
    return _count_once(experiment(net, method, rate), net.inputs)


@functools.cache
def _count_once(some, inputs_of):
    return count_experiment(some, inputs_of)
