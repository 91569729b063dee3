"""K, seed and count of draws of every DropoutPattern in a .solverstate.

Together with draw.py: which patterns a run has drawn, and will draw next.
"""

import contextlib
import dataclasses
import warnings

import numpy as np

from .families import (
    FAMILIES,
    check_integer,
    check_max_period,
    check_probability,
)
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


@contextlib.contextmanager
def reading(path, what):
    """Names the file where libraries stumble over what is in it."""
    from google.protobuf.message import DecodeError

    try:
        yield
    except (
        ValueError, TypeError, LookupError, AttributeError, ArithmeticError,
        OSError, RuntimeError, DecodeError,
    ) as error:  # fmt: skip
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ValueError(
            f"{path} is no {what}, or is damaged: {reason}"
        ) from None


def parse(message, data):
    """Fills a message from bytes. DecodeError, or ValueError where protobuf
    only warns: of bytes behind what it could read."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        count = message.ParseFromString(data)
    if count != len(data):
        raise ValueError(f"only {count} of its {len(data)} bytes can be read")
    return message


def text_of(value):
    """A name, which protobuf gives as bytes where it is not UTF-8."""
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="backslashreplace")
    return value


def _pattern_state(layer, family, probability, seed, draws):
    layer = text_of(layer)
    if not 0 <= family < len(FAMILIES):
        raise ValueError(f"DropoutPattern layer '{layer}' has family {family}")
    name = FAMILIES[int(family)]
    try:
        k = np.array(probability, dtype=np.float64)
        if k.size:  # none before the first draw
            check_probability(k)
            check_max_period(len(k), name)
        check_integer("seed", int(seed), 0, 2**64 - 1)
        check_integer("draws", int(draws), 0, 2**64 - 1)
    except ValueError as error:
        raise ValueError(f"DropoutPattern layer '{layer}': {error}") from None
    return PatternState(layer, name, k.ravel(), int(seed), int(draws))


def _read_binary(path):
    with open(path, "rb") as file:
        state = parse(load_caffe_pb2().SolverState(), file.read())
    if not state.HasField("iter"):
        raise ValueError("it has no 'iter'")
    patterns = [
        _pattern_state(s.layer, s.family, s.probability, s.seed, s.draws)
        for s in state.dropout_pattern
    ]
    return SolverState(state.iter, text_of(state.learned_net), patterns)


def _read_hdf5(path):
    import h5py

    with h5py.File(path, "r") as file:
        if "iter" not in file:
            raise ValueError("it has no 'iter'")
        group = file.get("dropout_pattern", {})
        states = []
        for name in sorted(group, key=int):
            field = {
                key: np.ravel(value[()]) for key, value in group[name].items()
            }
            missing = {"layer", "family", "seed", "draws"} - field.keys()
            if missing:
                raise ValueError(
                    f"dropout_pattern/{name} has no "
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
    is_hdf5 = signature == HDF5_SIGNATURE
    with reading(path, "solver state"):
        return _read_hdf5(path) if is_hdf5 else _read_binary(path)


def read_state(path):
    """The PatternStates in a solver state, in its order; see above."""
    return read_solver_state(path).patterns
