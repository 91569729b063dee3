"""The programs that prepare data, on a disk that fills up at any write."""

import pytest

from failing_writes import run_survey

MNIST = """
import gzip, os, pathlib, struct
import numpy as np
import prepare_mnist
from data import mnist
files = root / "data/mnist"
files.mkdir(parents=True)
random = np.random.default_rng(5)
for name, items in zip(mnist.CHECKSUMS, (23, 23, 10, 10)):
    if "images" in name:
        values = random.integers(0, 256, (items, 28, 28), np.uint8)
    else:
        values = random.integers(0, 10, items, np.uint8)
    head = struct.pack(f">{1 + values.ndim}I", 0x800 + values.ndim,
                       *values.shape)
    (files / name).write_bytes(gzip.compress(head + values.tobytes()))
os.environ["DATA_DIR"] = str(root / "data")
prepare = prepare_mnist.main
options = []
"""
PTB = """
import prepare_ptb
for split in "train", "valid", "test":
    (root / split).write_text("a b c\\n" * 40)
prepare = prepare_ptb.main
options = [f"--{split}={root / split}" for split in ("train", "valid", "test")]
"""
CIFAR10 = """
import os
import numpy as np
import prepare_cifar10
from data import cifar10
files = root / "data/cifar10"
files.mkdir(parents=True)
random = np.random.default_rng(5)
for names in cifar10.BATCHES.values():
    for name in names:
        records = random.integers(0, 10, (5, cifar10.RECORD), np.uint8)
        (files / name).write_bytes(records.tobytes())
os.environ["DATA_DIR"] = str(root / "data")
prepare = prepare_cifar10.main
options = []
"""
CODE = """
import pathlib, shutil, sys
from failing_writes import survey
root = pathlib.Path(sys.argv[1])
{prepare}
parent = root / "out"
output = parent / "prepared"

def program():
    prepare(["--output", str(output), "--force", *options])
    return 0

def content():
    return {{path.relative_to(output): path.read_bytes()
             for path in sorted(output.rglob("*"))
             if path.is_file() and path.name != "lock.mdb"}}

program()
earlier = content()

def after(which, text):
    assert content() == earlier, which
    assert [*parent.iterdir()] == [output], (which, [*parent.iterdir()])

survey(parent, program, lambda: None, after)

def nothing(which, text):
    assert text is None or not [*parent.iterdir()], (which, text)

survey(parent, program, lambda: shutil.rmtree(output, True), nothing)
"""


@pytest.mark.parametrize(
    "prepare", [MNIST, PTB, CIFAR10], ids=["mnist", "ptb", "cifar10"]
)
def test_every_failing_write_is_survived(tmp_path, prepare):
    """What was prepared before stays whole, or nothing is left; the message
    names path and reason."""
    said = run_survey(tmp_path, CODE.format(prepare=prepare))
    assert said.count("failures") == 2
    print(said)
