"""The same seed and the same number of threads give the same bytes, for the
nets of prototxt/, on the CPU."""

import os
import re
import subprocess

import h5py
import numpy as np
import pytest
from caffe.proto import caffe_pb2
from google.protobuf import text_format

from interrupted_nets import CAFFE, write_lmdb
from project import ROOT

ITERATIONS = 3
NETS = [
    str(path.relative_to(ROOT / "prototxt").with_suffix(""))
    for path in sorted((ROOT / "prototxt").glob("*/*.prototxt"))
    if not path.name.startswith("solver_")
]
SOME = ["mnist/conventional_0.5", "mnist/tile_0.7", "ptb/small_row_0.5"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A folder with made-up data in the places of build/data's."""
    folder = tmp_path_factory.mktemp("data")
    random = np.random.default_rng(0)
    for name, shape in ("mnist", (1, 28, 28)), ("cifar10", (3, 32, 32)):
        (folder / name).mkdir()
        write_lmdb(folder / name / "train_lmdb", 300, shape)
    (folder / "ptb").mkdir()
    with h5py.File(folder / "ptb/train.h5", "w") as file:
        for name in "token", "target":
            words = random.integers(0, 10000, (35 * ITERATIONS, 20))
            file[name] = words.astype("f4")
        file["cont"] = np.ones((35 * ITERATIONS, 20), "f4")
    (folder / "ptb/train.txt").write_text(f"{folder}/ptb/train.h5\n")
    return folder


def train(key, folder, data):
    """The bytes of model and state after a few iterations."""
    name = key.replace("/", "/solver_") + ".prototxt"
    text = (ROOT / "prototxt" / name).read_text()
    solver = text_format.Parse(text, caffe_pb2.SolverParameter())
    net = (ROOT / solver.net).read_text()
    net = re.sub(r'"build/data/(mnist|cifar10|ptb)\w*/', rf'"{data}/\1/', net)
    (folder / "net.prototxt").write_text(net)
    for field in "net", "test_iter", "test_interval", "test_state", "snapshot":
        solver.ClearField(field)
    solver.train_net = str(folder / "net.prototxt")
    solver.max_iter = ITERATIONS
    solver.snapshot_prefix = str(folder / "run")
    (folder / "solver.prototxt").write_text(text_format.MessageToString(solver))
    done = subprocess.run(
        [CAFFE, "train", f"--solver={folder / 'solver.prototxt'}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    files = [
        folder / f"run_iter_{ITERATIONS}.{end}"
        for end in ("caffemodel", "solverstate")
    ]
    found = [file.read_bytes() for file in files]
    for file in files:
        file.unlink()
    return found


@pytest.mark.parametrize(
    "key", NETS if os.environ.get("NETS") == "all" else SOME
)
def test_same_seed_gives_the_same_weights(key, tmp_path, data):
    first = train(key, tmp_path, data)
    assert len(first[0]) > 100_000
    assert train(key, tmp_path, data) == first


def test_some_are_of_all():
    assert {*SOME} < {*NETS}
