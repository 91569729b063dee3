"""Snapshots of several processes: as many go on bit for bit, others
correctly."""

import numpy as np
import pytest

from ranks import needs_mpi, train, weights, write_data

pytestmark = needs_mpi


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("resumed")
    write_data(path)
    return path


def whole_and_resumed(
    folder, net, ranks, resumed_by, snapshot_format="BINARYPROTO"
):
    """Weights after 30 iterations of `ranks`, and where `resumed_by` have
    gone on from their snapshot of iteration 12."""
    run = f"{net}_{snapshot_format}_{ranks}"
    settings = {"iterations": 30, "snapshot_format": snapshot_format}
    if not list(folder.glob(f"{run}_iter_30.caffemodel*")):
        train(folder, net, ranks, run=run, snapshot=12, **settings)
    (state,) = folder.glob(f"{run}_iter_12.solverstate*")
    _, log = train(
        folder,
        net,
        resumed_by,
        run=f"{run}_{resumed_by}",
        flags=[f"--snapshot={state}"],
        **settings,
    )
    assert "another shape" not in log and "has changed" not in log
    return weights(folder, run, 30), weights(folder, f"{run}_{resumed_by}", 30)


@pytest.mark.parametrize(
    "net, snapshot_format",
    [
        (net, "BINARYPROTO")
        for net in ("row", "own_draws", "images", "windows", "lstm", "shuffled")
    ]
    + [(net, "HDF5") for net in ("own_draws", "lstm")],
)
def test_as_many_ranks_go_on_bit_for_bit(folder, net, snapshot_format):
    whole, resumed = whole_and_resumed(folder, net, 2, 2, snapshot_format)
    assert whole.tobytes() == resumed.tobytes()


@pytest.mark.parametrize(
    "net, resumed_by",
    [(net, ranks) for net in ("row", "images", "lstm") for ranks in (1, 4)]
    # One process would shuffle by another generator.
    + [("shuffled", 4)],
)
def test_others_go_on(folder, net, resumed_by):
    whole, resumed = whole_and_resumed(folder, net, 2, resumed_by)
    assert np.abs(whole - resumed).max() < 1e-4 * np.abs(whole).max()
