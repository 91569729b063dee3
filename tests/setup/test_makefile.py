"""What the Makefile's variables become; nothing is run."""

import re
import subprocess

import pytest

from nets import registry
from project import ROOT

METHODS = ["conventional", "row", "tile"]


@pytest.mark.parametrize(
    "arguments, options, keys",
    [
        (
            "mnist RATE=0.7 EPOCHS=10 FORCE=1",
            "--force --epochs 10",
            [f"mnist/{each}_0.7" for each in [*METHODS, "row_period"]],
        ),
        (
            "ptb RATE=0.3 PTB_EPOCHS=13 FORCE=0",
            "--epochs 13",
            [f"ptb/small_{each}_0.3" for each in METHODS],
        ),
        (
            "cifar CIFAR_RATE=0.5 CIFAR_EPOCHS=10",
            "--epochs 10",
            ["cifar10/small_none"]
            + [
                f"cifar10/small_{each}_0.5"
                for each in ("conventional", "row", "row_period")
            ],
        ),
    ],
)
def test_training_is_what_was_asked_for(arguments, options, keys):
    said = subprocess.run(
        ["make", "--dry-run", *arguments.split()],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.replace("\\\n", "")
    (command,) = re.findall(r"scripts/train\.py (.*)", said)
    assert command.split() == [*options.split(), *keys]
    assert re.search(rf"scripts/report_\w+\.py +{' +'.join(keys)}$", said, re.M)
    for key in keys:
        assert registry.find(key).key == key
