"""What goes wrong on one of several processes: all end, soon and with one
message, and the last snapshot is whole; or training goes on."""

import re
import shlex
import subprocess
import time

import pytest

from conftest import ROOT
from failing_writes import REASON, in_small_disk
from ranks import (
    command,
    launched,
    mpirun,
    needs_mpi,
    train,
    weights,
    write_data,
)

pytestmark = needs_mpi
END_S = 30

OWN_LAYER = """
import caffe


class OwnLayer(caffe.Layer):
    def setup(self, bottom, top):
        self.passes = 0
        self.blobs.add_blob(3)

    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].shape)

    def forward(self, bottom, top):
        top[0].data[...] = bottom[0].data
        self.passes += 1
        if self.passes == 20 and caffe.solver_rank() == 1:
            FAULT

    def backward(self, top, propagate_down, bottom):
        pass
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    write_data(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return tmp_path


def ends(folder, *launch):
    """What a training says that has to end before its second snapshot, from
    whose first another one goes on."""
    begin = time.monotonic()
    status, log = launched(launch)
    assert time.monotonic() - begin < END_S
    assert status != 0
    states = list(folder.glob("run_iter_*.solverstate"))
    assert [path.name for path in states] == ["run_iter_12.solverstate"]
    return log


def resumes(folder, net):
    _, log = train(
        folder, net, 2, run="run", iterations=13, flags=["--snapshot=auto"]
    )
    assert "Resuming from" in log and "run_iter_12.solverstate" in log


@pytest.mark.parametrize(
    "fault, said",
    (
        (
            'raise RuntimeError("thrown by rank 1")',
            "RuntimeError: thrown by rank 1",
        ),
        (
            "self.blobs[0].data[...] += 1",
            "Rank 1 has another weight in layer 'own' than rank 0 in "
            "iteration 24",
        ),
    ),
    ids=("exception", "other weights"),
)
def test_python_layer(folder, fault, said):
    """The layer of one rank throws, or has the weights of no other rank, of
    which no snapshot is written."""
    layer = folder / "own_layer.py"
    layer.write_text(OWN_LAYER.replace("FAULT", fault))
    arguments = command(
        folder, "python", 2, run="run", iterations=10**4, snapshot=12
    )
    log = ends(folder, *mpirun(2), *arguments)
    assert log.count(said) == 1
    layer.write_text(OWN_LAYER.replace("FAULT", "pass"))
    resumes(folder, "python")


def test_exception_of_cxx(folder):
    """OpenCV's, in the thread that reads ahead."""
    train(folder, "images", 2, run="run", snapshot=12)
    arguments = command(
        folder, "images", 2, run="run", iterations=10**4, snapshot=12,
        flags=["--snapshot=auto"])  # fmt: skip
    few = ["-x", "OPENCV_IO_MAX_IMAGE_PIXELS=10"]
    log = ends(
        folder, *mpirun(1), *arguments, ":", "-np", "1", *few, *arguments
    )
    assert log.count("cv::Exception: ") == 1
    resumes(folder, "images")


def test_leveldb_is_of_one_process(folder):
    """Its library lets no second one open it."""
    subprocess.run(
        [ROOT / "build/bin/convert_imageset", "--backend=leveldb", "--gray",
         "--resize_height=8", "--resize_width=8", f"{folder}/images/",
         folder / "images/list", folder / "leveldb"],
        check=True, capture_output=True)  # fmt: skip
    for ranks in 1, 2:
        arguments = command(folder, "row", ranks)
        net = folder / f"row_{ranks}.prototxt"
        text = net.read_text()
        net.write_text(
            text.replace("/lmdb", "/leveldb").replace("LMDB", "LEVELDB")
        )
        begin = time.monotonic()
        status, log = launched([*(mpirun(2) if ranks == 2 else []), *arguments])
        assert time.monotonic() - begin < END_S
        assert (status == 0) == (ranks == 1), log
    assert log.count("Failed to open leveldb") == 1, log


def test_full_disk(folder):
    """No snapshot, and training goes on; with room again, a run goes on from
    the last one and is the run that had room."""
    disk = folder / "disk"
    disk.mkdir()
    start = [
        *mpirun(2),
        *command(
            folder, "row", 2, run="disk/run", iterations=60, snapshot=12,
            flags=["--snapshot=auto"],
        ),
    ]  # fmt: skip
    assert launched(start)[0] == 0
    whole = weights(folder, "disk/run", 60)
    disk.rename(folder / "whole")
    disk.mkdir()
    start = shlex.join(map(str, start))
    script = f"""
        cd {folder}
        {start} >full.log 2>&1
        echo $? >status
        ls disk >full
        mount -o remount,size=4m {disk}
        {start} >again.log 2>&1
        echo $? >>status
        cp -r disk again
    """
    in_small_disk(disk, script)
    full, again = (
        (folder / f"{name}.log").read_text() for name in ("full", "again")
    )
    assert (folder / "status").read_text().split() == ["1", "0"], full + again
    assert "Optimization Done" in full
    # Once for each snapshot, and once more for the last one, at the end.
    assert len(re.findall(f"No snapshot of iteration .*{REASON}", full)) == 5
    assert (folder / "full").read_text().split() == [
        "run_iter_12.caffemodel", "run_iter_12.solverstate",
    ]  # fmt: skip
    assert "run_iter_12.solverstate" in again
    assert weights(folder, "again/run", 60).tobytes() == whole.tobytes()
