"""Several processes, on a share of the batch each, learn the weights of one
process on all of it."""

import numpy as np
import pytest

from ranks import NETS, needs_mpi, train, weights, write_data

pytestmark = needs_mpi
SOLVERS = {
    "SGD": "momentum: 0.9 weight_decay: 0.01",
    "Nesterov": "momentum: 0.9",
    "AdaGrad": "delta: 1e-3",
    "RMSProp": "rms_decay: 0.9 delta: 1e-3",
    "AdaDelta": "momentum: 0.95 delta: 1e-3",
    "Adam": "momentum: 0.9 momentum2: 0.999 delta: 1e-3",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("ranks")
    write_data(path)
    return path


def hold(folder, net, ranks, name, **options):
    """Trains on one rank and on several; the weights must agree to rounding:
    a difference is small beside what training has changed."""
    alone = f"{name}_alone"
    if not list(folder.glob(f"{alone}_iter_12.caffemodel")):
        train(folder, net, 1, run=alone, **options)
        train(
            folder, net, 1, run=f"{name}_start", **{**options, "iterations": 0}
        )
    _, log = train(folder, net, ranks, run=f"{name}_{ranks}", **options)
    before = weights(folder, f"{name}_start", 0)
    expected = weights(folder, alone)
    found = weights(folder, f"{name}_{ranks}")
    learned = np.abs(expected - before).max()
    assert learned > 1e-3
    assert np.abs(found - expected).max() < 2e-4 * learned
    return log


@pytest.mark.parametrize("ranks", (2, 4))
@pytest.mark.parametrize("net", NETS)
def test_nets(folder, net, ranks):
    log = hold(folder, net, ranks, net)
    assert f"{ranks} ranks train" in log
    assert log.count("Solving") == 1  # rank 0 alone logs
    batch = "8 streams" if "lstm" in net else "24 samples"
    assert f"= {batch}" in log


@pytest.mark.parametrize("kind", SOLVERS)
def test_solvers(folder, kind):
    hold(folder, "row", 2, f"kind_{kind}", kind=kind, more=SOLVERS[kind])


@pytest.mark.parametrize(
    "more",
    (
        "momentum: 0.9 clip_gradients: 0.2",
        "momentum: 0.9 iter_size: 2",
        "momentum: 0.9 weight_decay: 0.01 iter_size: 2 clip_gradients: 0.1 "
        "regularization_type: 'L1'",
        "momentum: 0.9 debug_info: true",  # Caffe's own update
    ),
    ids=("clip", "iter_size", "both", "dense"),
)
@pytest.mark.parametrize("net", ("row", "lstm"))
def test_settings(folder, net, more):
    name = f"{net}_{abs(hash(more))}"
    log = hold(folder, net, 2, name, more=more)
    assert "clip" not in more or "Gradient clipping" in log
