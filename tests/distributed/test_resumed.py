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


def whole_and_resumed(folder, net, ranks, resumed_by, **options):
    """Weights after 30 iterations of `ranks`, and where `resumed_by` have
    gone on from their snapshot of iteration 12."""
    run = f"{net}_{ranks}"
    if not (folder / f"{run}_iter_30.caffemodel").exists():
        train(
            folder, net, ranks, run=run, iterations=30, snapshot=12, **options
        )
    state = folder / f"{run}_iter_12.solverstate"
    _, log = train(
        folder,
        net,
        resumed_by,
        run=f"{run}_{resumed_by}",
        iterations=30,
        flags=[f"--snapshot={state}"],
        **options,
    )
    assert "another shape" not in log and "has changed" not in log
    return weights(folder, run, 30), weights(folder, f"{run}_{resumed_by}", 30)


@pytest.mark.parametrize(
    "net", ("row", "own_draws", "images", "lstm", "shuffled")
)
def test_as_many_ranks_go_on_bit_for_bit(folder, net):
    whole, resumed = whole_and_resumed(folder, net, 2, 2)
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
