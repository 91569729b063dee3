"""K, seed and count of draws of every DropoutPattern in a .solverstate.

Together with draw.py: which patterns a run has drawn, and will draw next.
"""

import dataclasses

import numpy as np

from .families import FAMILIES
from .proto import load_caffe_pb2

HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"


@dataclasses.dataclass(frozen=True)
class PatternState:
    """What a solver state keeps of one DropoutPattern layer.

    layer: its name. family: "PERIOD" or "RESIDUE". probability: K, (N,)
    float64, (0,) before any draw. seed: of the draws. draws: how many there
    were; the next has this number.
    """

    layer: str
    family: str
    probability: np.ndarray
    seed: int
    draws: int


@dataclasses.dataclass(frozen=True)
class SolverState:
    """What a solver state says apart from the solver's history.

    iteration: that it was written after. learned_net: the weights' file, ""
    if there is none. patterns: PatternStates, none if stock Caffe wrote it.
    """

    iteration: int
    learned_net: str
    patterns: list


def _pattern_state(layer, family, probability, seed, draws):
    if not 0 <= family < len(FAMILIES):
        raise ValueError(
            f"the solver state is damaged: DropoutPattern layer '{layer}' "
            f"has family {family}"
        )
    return PatternState(
        layer,
        FAMILIES[int(family)],
        np.array(probability, dtype=np.float64),
        int(seed),
        int(draws),
    )


def _read_binary(path):
    from google.protobuf.message import DecodeError

    state = load_caffe_pb2().SolverState()
    with open(path, "rb") as file:
        try:
            state.ParseFromString(file.read())
        except DecodeError as error:
            raise ValueError(f"{path} is no solver state: {error}") from error
    if not state.HasField("iter"):
        raise ValueError(f"{path} is no solver state: it has no 'iter'")
    patterns = [
        _pattern_state(s.layer, s.family, s.probability, s.seed, s.draws)
        for s in state.dropout_pattern
    ]
    return SolverState(state.iter, state.learned_net, patterns)


def _read_hdf5(path):
    import h5py

    with h5py.File(path, "r") as file:
        if "iter" not in file:
            raise ValueError(f"{path} is no solver state: it has no 'iter'")
        group = file.get("dropout_pattern", {})
        states = []
        for name in sorted(group, key=int):
            field = {
                key: np.ravel(value[()]) for key, value in group[name].items()
            }
            missing = {"layer", "family", "seed", "draws"} - field.keys()
            if missing:
                raise ValueError(
                    f"{path} is damaged: dropout_pattern/{name} has no "
                    f"{', '.join(sorted(missing))}"
                )
            states.append(
                _pattern_state(
                    field["layer"][0].decode("utf-8"),
                    field["family"][0],
                    field.get("probability", []),
                    field["seed"][0],
                    field["draws"][0],
                )
            )
        learned_net = file["learned_net"][()] if "learned_net" in file else b""
        return SolverState(
            int(np.ravel(file["iter"][()])[0]),
            learned_net.decode("utf-8"),
            states,
        )


def read_solver_state(path):
    """The SolverState in a .solverstate or .solverstate.h5.

    Raises ValueError if the file is no solver state, OSError if it cannot be
    read.
    """
    with open(path, "rb") as file:
        signature = file.read(len(HDF5_SIGNATURE))
    if signature == HDF5_SIGNATURE:
        return _read_hdf5(path)
    return _read_binary(path)


def read_state(path):
    """The PatternStates in a solver state, in its order; see above."""
    return read_solver_state(path).patterns
