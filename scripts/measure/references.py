"""What our nets are held against that is no Caffe: it is timed only."""

import contextlib
import importlib.util
import json
import os
import sys

import numpy as np

from measure import oracle, sweeps
from measure.step_workers import StepProcess
from project import ROOT

DRAWS = 100  # steps whose patterns are drawn, for the kept products
TORCH_MODULES = {
    sweeps.TORCH: "measure.torch_steps",
    sweeps.TORCH_ROWS: "measure.torch_rows",
}


def missing(case):
    """Why a case cannot be run, or None."""
    if case.build in TORCH_MODULES and not importlib.util.find_spec("torch"):
        return "PyTorch is not installed"
    return None


def kept_units(experiment):
    """[[units kept of each hidden layer] of the net's first steps]."""
    kept = []
    for number in range(DRAWS):
        patterns = oracle.draws(experiment, number)
        kept.append(
            [
                int(np.isin(np.arange(units) % p.period, p.residues).sum())
                for units, p in zip(experiment.hidden, patterns.values())
            ]
        )
    return kept


def products_command(experiment):
    return [
        *("-m", "measure.kept_products", f"--build={sweeps.OURS}"),
        f"--batch-size={experiment.batch_size}",
        f"--kept={json.dumps(kept_units(experiment))}",
    ]


def torch_command(case):
    experiment = case.experiment
    fields = {
        "workload": experiment.workload,
        "hidden": list(experiment.hidden),
        "rate": case.rate,
        "device": "cpu",
    }
    for name in (
        "batch_size", "base_lr", "momentum", "clip_gradients",
        "sequence_length", "vocabulary", "init",
    ):  # fmt: skip
        if hasattr(experiment, name):
            fields[name] = getattr(experiment, name)
    module = TORCH_MODULES[case.build]
    return ["-m", module, *(f"--{name}={x}" for name, x in fields.items())]


class Reference:
    """Has what a Worker of turns.py has, as far as there is any of it."""

    def __init__(self, case):
        self.case, self.timer, self.profile, self.error = case, None, {}, None
        self.pool = contextlib.nullcontext()

    def start_timer(self, log):
        """Starts the process that is timed, which log tells about."""
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "scripts")}
        if "PYTHONPATH" in os.environ:
            environment["PYTHONPATH"] += f":{os.environ['PYTHONPATH']}"
        if self.case.build in TORCH_MODULES:
            command = torch_command(self.case)
            # Its threads wait as its users' do.
            for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
                environment.pop(name, None)
        else:
            command = products_command(self.case.experiment)
        self.timer = StepProcess(
            self.case.name, [sys.executable, *command], log, env=environment
        )

    def take_profile(self, _):
        """A Worker's layers are timed one by one; here there are none."""
