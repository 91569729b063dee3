"""Damaged and foreign files, through the command line and its readers: an
answer, or one message that names the file, and exit status 1."""

import contextlib
import io
import json
import math
import warnings

import h5py
import numpy as np
import pytest
from caffe.proto import caffe_pb2
from caffe_logs import LOG, SETTINGS
from hypothesis import strategies

from approx_dropout.__main__ import main
from approx_dropout.caffe_log import CaffeLog
from approx_dropout.param_str import KEYS, search_for_layer
from approx_dropout.state import read_solver_state
from fuzz import damaged, fuzzed

PATTERNS = [
    ("pattern1", "RESIDUE", [0.25] * 4, 2**64 - 1, 2**40),
    ("fc/β", "PERIOD", [0.1, 0.2, 0.7], 0, 3),
]


def binary_state():
    state = caffe_pb2.SolverState(iter=7, learned_net="x.caffemodel")
    for layer, family, probability, seed, draws in PATTERNS:
        state.dropout_pattern.add(
            layer=layer,
            family=caffe_pb2.DropoutPatternParameter.Family.Value(family),
            probability=probability,
            seed=seed,
            draws=draws,
        )
    return state.SerializeToString()


def hdf5(write):
    """The bytes of an HDF5 file that `write` fills."""
    with h5py.File("memory", "w", driver="core", backing_store=False) as file:
        write(file)
        file.flush()
        return file.id.get_file_image()


def write_state(file):
    file["iter"] = np.array([7], dtype=np.int32)
    file["learned_net"] = np.bytes_(b"x.caffemodel.h5")
    file.create_group("history")["0"] = np.zeros(3, np.float32)
    for i, (layer, family, probability, seed, draws) in enumerate(PATTERNS):
        group = file.create_group(f"dropout_pattern/{i}")
        group["layer"] = np.bytes_(layer.encode())
        group["family"] = np.array([family == "RESIDUE"], dtype=np.int32)
        group["probability"] = np.array(probability)
        group["seed"] = np.array([seed], dtype=np.uint64)
        group["draws"] = np.array([draws], dtype=np.uint64)


def write_model(file):
    for layer in "fc1", "fc2":
        for i, shape in enumerate([(3, 2), (3,)]):
            file[f"data/{layer}/{i}"] = np.zeros(shape, np.float32)


def binary_model(old=False):
    net = caffe_pb2.NetParameter(name="net")
    for name in "fc1", "fc2":
        layer = (net.layers if old else net.layer).add(name=name)
        layer.type = 14 if old else "InnerProduct"
        blob = layer.blobs.add(data=[0.5] * 6)
        if old:
            blob.num, blob.channels, blob.height, blob.width = 1, 1, 3, 2
        else:
            blob.shape.dim.extend((3, 2))
    return net.SerializeToString()


def check_command(*arguments):
    """The command succeeds, or says why not in one line with the file's
    name; what it printed."""
    out, err = io.StringIO(), io.StringIO()
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        warnings.simplefilter("ignore")
        status = main([*map(str, arguments)])
    error = err.getvalue()
    if status:
        assert status == 1
        assert error.startswith("approx-dropout: ") and error.count("\n") == 1
        assert str(arguments[-1]) in error
        return ""
    return out.getvalue()


def check_inspect(path, content):
    path.write_bytes(content)
    check_command("inspect", path)
    try:
        state = read_solver_state(path)
    except ValueError as error:
        assert str(path) in str(error) and "\n" not in str(error)
        return
    for pattern in state.patterns:
        k = pattern.probability
        assert not len(k) or np.isfinite(k).all() and (k >= 0).all()
        assert not len(k) or 0 < k.sum() < math.inf
        assert 0 <= pattern.seed < 2**64 and 0 <= pattern.draws < 2**64


BINARIES = [binary_state(), binary_model(), binary_model(old=True)]


@fuzzed(content=damaged(BINARIES) | strategies.binary(max_size=60))
def test_binary_files(tmp_path, content):
    check_inspect(tmp_path / "file", content)


VALUES = strategies.sampled_from(
    [
        np.float32(0.5),
        np.int32(-1),
        np.array([math.nan, 1]),
        np.array([-1.0, 2.0]),
        np.zeros((0,)),
        np.zeros((2, 2)),
        np.bytes_(b"\xff"),
        np.bytes_(b""),
        np.array([2**63], np.uint64),
    ]
)
CHANGES = strategies.dictionaries(
    strategies.sampled_from(
        [
            "iter",
            "learned_net",
            "history",
            "dropout_pattern",
            "dropout_pattern/0",
            "dropout_pattern/x",
            *(
                f"dropout_pattern/0/{field}"
                for field in ("layer", "family", "probability", "seed", "draws")
            ),
            "data",
            "data/fc1",
            "data/fc1/0",
            "data/fc1/x",
        ]
    ),
    strategies.none() | strategies.just("group") | VALUES,
    min_size=1,
    max_size=3,
)


@fuzzed(
    write=strategies.sampled_from([write_state, write_model]), changes=CHANGES
)
def test_hdf5_of_other_content(tmp_path, write, changes):
    def changed(file):
        write(file)
        for name, value in changes.items():
            if name in file:
                del file[name]
            parent = name.rpartition("/")[0]
            if parent and not isinstance(file.get(parent), h5py.Group):
                continue
            if isinstance(value, str):
                file.create_group(name)
            elif value is not None:
                file[name] = value

    check_inspect(tmp_path / "file.h5", hdf5(changed))


@fuzzed(content=damaged([hdf5(write_state), hdf5(write_model)]))
def test_damaged_hdf5(tmp_path, content):
    check_inspect(tmp_path / "file.h5", content)


LINES = strategies.sampled_from(LOG.splitlines() + SETTINGS.splitlines())
NUMBERS = strategies.sampled_from(
    ["0", "-1", "1e999", "1e308", "nan", "9" * 30, "9" * 5000, "1.#INF", "x"]
)


@strategies.composite
def log_texts(draw):
    """Lines of a log in any order, some with another number in them."""
    lines = draw(strategies.lists(LINES, max_size=12))
    for _ in range(draw(strategies.integers(0, 4))):
        if not lines:
            break
        i = draw(strategies.integers(0, len(lines) - 1))
        words = lines[i].split(" ")
        j = draw(strategies.integers(0, len(words) - 1))
        digits = "".join(filter(str.isdigit, words[j]))
        number = draw(NUMBERS)
        words[j] = words[j].replace(digits, number) if digits else number
        lines[i] = " ".join(words)
    return ("\n".join(lines) + "\n").encode()


@fuzzed(
    content=damaged([LOG.encode(), LOG.encode("utf-16")]) | log_texts(),
    form=strategies.sampled_from(["--json", "--csv", None]),
)
def test_logs(tmp_path, content, form):
    path = tmp_path / "log"
    path.write_bytes(content)
    said = check_command("log", *filter(None, [form]), path)
    if said and form == "--json":
        json.loads(said, parse_constant=pytest.fail)


@fuzzed(lines=strategies.lists(strategies.text(max_size=80) | LINES))
def test_lines_of_a_log(tmp_path, lines):
    log = CaffeLog()
    for line in lines:
        assert log.feed(line) in (True, False)
    log.rows(), log.timing(), log.diverged, log.seconds_left()


JSON = strategies.recursive(
    strategies.none()
    | strategies.booleans()
    | strategies.integers()
    | strategies.floats()
    | strategies.text(max_size=5),
    lambda inner: (
        strategies.lists(inner, max_size=2)
        | strategies.dictionaries(
            strategies.text(max_size=3), inner, max_size=2
        )
    ),
    max_leaves=4,
)
REALS = strategies.floats(1e-6, 1) | strategies.floats() | JSON
ARGUMENTS = strategies.fixed_dictionaries(
    {"dropout_ratio": strategies.floats(0, 1) | JSON},
    optional={
        "family": strategies.sampled_from(["PERIOD", "RESIDUE"]) | JSON,
        "max_period": strategies.integers(0, 40) | JSON,
        "seed": strategies.integers(0, 2**64) | JSON,
        **{name: REALS for name in ("lambda1", "lambda2", "lambda3")},
        "other": JSON,
    },
)


def text_of(arguments):
    return json.dumps(arguments)


@fuzzed(
    param_str=ARGUMENTS.map(text_of)
    | damaged([b'{"dropout_ratio": 0.5, "max_period": 8}']).map(
        lambda data: data.decode(errors="replace")
    )
    | strategies.text(max_size=20)
    | strategies.just('{"dropout_ratio": ' + "[" * 100000)
    | strategies.just('{"dropout_ratio": ' + "1" * 5000 + "}")
)
def test_param_str(tmp_path, param_str):
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = search_for_layer("k", param_str)
    except ValueError as error:
        assert str(error).startswith("PatternSearchLayer 'k': ")
        assert "\n" not in str(error) and KEYS[1] in str(error)
        assert len(str(error)) < 2000
        return
    k = result.probability
    assert (k >= 0).all() and k.sum() == pytest.approx(1)
    assert 0 <= result.rate < 1 and math.isfinite(result.entropy)
