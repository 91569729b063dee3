"""Reading the patterns' state out of solver states of both formats."""

import h5py
import numpy as np
import pytest
from caffe.proto import caffe_pb2

from approx_dropout.state import read_state

STATES = [
    ("pattern1", "RESIDUE", [0.25] * 4, 2**64 - 1, 2**40),
    ("fc/β", "PERIOD", [0.1, 0.2, 0.7], 0, 3),
]


def check(found, states):
    assert [
        (s.layer, s.family, s.probability.tolist(), s.seed, s.draws)
        for s in found
    ] == states
    for s in found:
        assert s.probability.dtype == np.float64
        assert type(s.seed) is int and type(s.draws) is int


def write_binary(path, states):
    message = caffe_pb2.SolverState(iter=7, learned_net="x.caffemodel")
    for layer, family, probability, seed, draws in states:
        message.dropout_pattern.add(
            layer=layer,
            family=caffe_pb2.DropoutPatternParameter.Family.Value(family),
            probability=probability,
            seed=seed,
            draws=draws,
        )
    path.write_bytes(message.SerializeToString())


def write_hdf5(path, states):
    """As HDF5's lite functions write: integers (1), strings fixed-length."""
    with h5py.File(path, "w") as file:
        file["iter"] = np.array([7], dtype=np.int32)
        file.create_group("history")
        for i, (layer, family, probability, seed, draws) in enumerate(states):
            group = file.create_group(f"dropout_pattern/{i}")
            group["layer"] = np.bytes_(layer.encode())
            group["family"] = np.array([family == "RESIDUE"], dtype=np.int32)
            group["probability"] = np.array(probability)
            group["seed"] = np.array([seed], dtype=np.uint64)
            group["draws"] = np.array([draws], dtype=np.uint64)


@pytest.mark.parametrize(
    "write, name",
    [
        (write_binary, "a_iter_7.solverstate"),
        (write_hdf5, "a_iter_7.solverstate.h5"),
    ],
)
def test_states(tmp_path, write, name):
    many = [(f"p{i}", *STATES[i % 2][1:]) for i in range(12)]
    for states in (STATES, [], many):
        write(tmp_path / name, states)
        check(read_state(tmp_path / name), states)


@pytest.mark.parametrize("write", [write_binary, write_hdf5])
@pytest.mark.parametrize(
    "probability, message",
    [
        ([0.5, np.nan], "probability of 2 is nan, must be finite and >= 0"),
        ([-1.0, 2.0], "probability of 1 is -1.0, must be finite"),
        ([0.0, 0.0], "probability sums to 0.0, must be > 0"),
        ([1 / 257] * 257, "max_period is 257, must be"),
    ],
)
def test_impossible_probability_is_refused(
    tmp_path, write, probability, message
):
    path = tmp_path / "a.solverstate"
    write(path, [("p", "RESIDUE", probability, 3, 4)])
    with pytest.raises(
        ValueError, match=f"a.solverstate is no .*layer 'p': {message}"
    ):
        read_state(path)


def test_layer_whose_name_is_not_utf8(tmp_path):
    path = tmp_path / "a.solverstate"
    write_binary(path, [("XY", "RESIDUE", [1.0], 3, 4)])
    path.write_bytes(path.read_bytes().replace(b"XY", b"\xd6\xd0"))
    (state,) = read_state(path)
    assert state.layer == "\\xd6\\xd0"


@pytest.mark.parametrize("cut", [7, 8, 100, 1000, -1])
def test_hdf5_that_is_cut_off_is_named(tmp_path, cut):
    path = tmp_path / "a.solverstate.h5"
    write_hdf5(path, STATES)
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(ValueError, match="a.solverstate.h5 is no .* damaged"):
        read_state(path)


def test_state_before_any_draw(tmp_path):
    """Caffe leaves K out of an HDF5 file then: a dataset is never empty."""
    path = tmp_path / "a_iter_0.solverstate.h5"
    write_hdf5(path, [("p", "RESIDUE", [1.0], 3, 0)])
    with h5py.File(path, "a") as file:
        del file["dropout_pattern/0/probability"]
    (state,) = read_state(path)
    assert state.probability.shape == (0,)
    assert (state.seed, state.draws) == (3, 0)


def test_state_with_bytes_behind_it_is_refused(tmp_path):
    """Which protobuf only warns of: an end of a group, here."""
    path = tmp_path / "a.solverstate"
    write_binary(path, STATES)
    whole = path.read_bytes()
    path.write_bytes(whole + b"\x0c" + whole)
    message = r"a.solverstate is no .* only \d+ of its \d+ bytes can be read"
    with pytest.raises(ValueError, match=message):
        read_state(path)


def test_no_solver_state(tmp_path):
    path = tmp_path / "broken"
    write_binary(path, STATES)
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(ValueError, match="broken is no solver state"):
        read_state(path)
    with h5py.File(path, "w") as file:
        file["data"] = [1]
    with pytest.raises(ValueError, match="broken is no solver state"):
        read_state(path)
    write_hdf5(path, [("p", "RESIDUE", [1.0], 3, 4)])
    with h5py.File(path, "a") as file:
        file["dropout_pattern/0/family"][0] = 2
    with pytest.raises(ValueError, match="layer 'p' has family 2"):
        read_state(path)
    with h5py.File(path, "a") as file:
        del file["dropout_pattern/0/family"]
    with pytest.raises(ValueError, match="dropout_pattern/0 has no family"):
        read_state(path)
    with pytest.raises(FileNotFoundError, match="missing"):
        read_state(tmp_path / "missing")
