"""Snapshots of several processes: as many go on bit for bit, others
correctly."""

import numpy as np
import pytest

from ranks import DATA, NETS, needs_mpi, train, weights, write_data

pytestmark = needs_mpi
# What each rank draws for itself: crops, and a stock Dropout's masks.
NETS["own_draws"] = DATA.replace(
    "scale: 0.004", "scale: 0.004 mirror: true crop_size: 7"
) + NETS["row"][len(DATA) :].replace(
    'layer { name: "rfc1"',
    'layer { name: "drop" type: "Dropout" bottom: "fc1" top: "fc1" }\n'
    'layer { name: "rfc1"',
)
NETS["shuffled"] = NETS["lstm"].replace(
    "batch_size: 5", "batch_size: 5 shuffle: true"
)


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


@pytest.mark.parametrize("net", ("row", "own_draws", "lstm", "shuffled"))
@pytest.mark.parametrize("kind", ("BINARYPROTO", "HDF5"))
def test_as_many_ranks_go_on_bit_for_bit(folder, net, kind):
    if kind == "HDF5":
        pytest.skip("")
    whole, resumed = whole_and_resumed(folder, net, 2, 2)
    assert whole.tobytes() == resumed.tobytes()


@pytest.mark.parametrize("net", ("row", "lstm", "shuffled"))
@pytest.mark.parametrize("resumed_by", (1, 4))
def test_others_go_on(folder, net, resumed_by):
    if net == "shuffled" and resumed_by == 1:
        pytest.skip("one process shuffles by another generator")
    whole, resumed = whole_and_resumed(folder, net, 2, resumed_by)
    assert np.abs(whole - resumed).max() < 1e-4 * np.abs(whole).max()
