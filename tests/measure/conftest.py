"""What tests of the benchmark share: its data, its environment, the oracle."""

import dataclasses

import numpy as np
import pytest

import measure_steps
import prepare_mnist
from data import ptb
from measure import sweeps, turns
from project import ROOT


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """{workload: folder}: the embedded digits, and a text of 60 words."""
    digits = tmp_path_factory.mktemp("bench") / "digits"
    prepare_mnist.main(["--source", "embedded", "--output", str(digits)])
    text = tmp_path_factory.mktemp("text")
    numbers = np.random.default_rng(0).integers(0, 60, 5000)
    words = " ".join(f"w{number}" for number in numbers) + "\n"
    files = {}
    for split in ("train", "valid", "test"):
        files[split] = text / f"{split}.raw"
        files[split].write_text(words)
    ptb.prepare(text / "data", **files, batch_size=20, sequence_length=35)
    return {"mnist": digits, "ptb": text / "data"}


@pytest.fixture
def bench(data, monkeypatch):
    """The benchmark on this data, in an environment of its own."""

    def on_data(net):
        def changed(*arguments, **changes):
            experiment = net(*arguments, **changes)
            settings = {"data": str(data[experiment.workload])}
            if experiment.workload == "ptb":
                settings["vocabulary"] = 70
            return dataclasses.replace(experiment, **settings)

        return changed

    for net in (sweeps.mlp, sweeps.lstm):
        monkeypatch.setattr(sweeps, net.__name__, on_data(net))
    if not (ROOT / "build" / sweeps.STOCK).exists():
        monkeypatch.setattr(sweeps, "STOCK", sweeps.OURS)
    monkeypatch.setattr(measure_steps, "commit", lambda: "0123456789ab")
    # Products this small only lose by being shared among threads.
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("OMP_WAIT_POLICY", "passive")
    monkeypatch.setenv("GLOG_minloglevel", "2")


@pytest.fixture(scope="module")
def pool():
    """The oracle's process."""
    with turns.process() as one:
        yield one
