"""What the tests of the emulated device share."""

import subprocess

import pytest

from conftest import ROOT

EMULATED = ROOT / "build/caffe-emulate"


@pytest.fixture(scope="session")
def emulated():
    """The folder of patched Caffe on the emulated device."""
    subprocess.run([ROOT / "scripts/setup/build_caffe.sh", "--emulate"],
                   check=True)
    return EMULATED / "build"
