"""`caffe train` on a disk that fills up: at each of its writes, and for good.
Training goes on, and every earlier snapshot stays whole."""

import itertools
import os
import re
import shutil
import subprocess

import h5py
import numpy as np
import pytest

from failing_writes import FOR_GOOD, REASON, in_small_disk, preloaded
from interrupted_nets import FORMATS, SNAPSHOT, command, prepare

PROBE = ".tempfile"  # made, and removed, before training starts
PROBE_FAILS = f"Cannot write to snapshot prefix '.*/out/run'.*: {REASON}"
# All writes are tried, not one of each kind.
ALL = os.environ.get("WRITES") == "all"


def content(path):
    """What a model or state holds: of HDF5 files without the times that they
    note."""
    if path.suffix != ".h5":
        return path.read_bytes()
    found = {}

    def add(name, item):
        if isinstance(item, h5py.Dataset):
            found[name] = np.asarray(item[()]).tobytes()

    with h5py.File(path) as file:
        file.visititems(add)
    return found


def snapshots(out):
    """What lies in a folder besides logs: {name: content}."""
    return {path.name: content(path) for path in out.glob("run_iter_*")}


def check_pairs(found, whole):
    """Every state found has its model, and both are those of the training that
    nothing disturbed."""
    for name, held in found.items():
        assert held == whole[name], name
        model = name.replace(".solverstate", ".caffemodel")
        assert model in found, name


class Training:
    """`caffe train` from iteration 24 to 48, with snapshots at 12, 24, 36 and
    48, which lie in a folder of their own, as the logs do."""

    def __init__(self, tmp_path, snapshot_format):
        prepare("mlp", tmp_path)
        self.list = tmp_path / "list_of_writes"
        self.out = tmp_path / "out"
        self.earlier = tmp_path / "earlier"
        self.logs = tmp_path / "logs"
        self.format = snapshot_format
        self.folder = tmp_path
        self.library = preloaded(tmp_path)
        self.out.mkdir()
        self.logs.mkdir()
        self.start(2 * SNAPSHOT)
        shutil.copytree(self.out, self.earlier)

    def start(self, iterations, **environment):
        """Exit status and log."""
        done = subprocess.run(
            command(
                self.folder,
                "out/run",
                snapshot_format=self.format,
                iterations=iterations,
            ),
            env={**os.environ, "GLOG_log_dir": self.logs, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout

    def attempt(self, below, first, last):
        """With the writes from first to last to a folder failing: exit status,
        log, and the writes, each a call and a file."""
        shutil.rmtree(self.out)
        shutil.copytree(self.earlier, self.out)
        self.list.write_text("")
        failing = f"{first} {last} {self.list} {below}"
        status, log = self.start(
            4 * SNAPSHOT, LD_PRELOAD=str(self.library), FAIL_WRITES=failing
        )
        writes = self.list.read_text().splitlines()
        return status, log, [line.split() for line in writes]


def sample(writes):
    """One of each kind: the writes, from 1 on, that fail."""
    if ALL:
        return [
            (n, last)
            for n in range(1, len(writes) + 1)
            for last in (n, FOR_GOOD)
        ]
    first = {}
    for n, (call, path) in enumerate(writes, 1):
        first.setdefault((call, path.rpartition(".")[2]), n)
    lasts = itertools.cycle([0, FOR_GOOD])
    return [(n, max(n, last)) for n, last in zip(first.values(), lasts)]


@pytest.mark.parametrize("snapshot_format", FORMATS)
def test_every_failing_write_is_survived(tmp_path, snapshot_format):
    training = Training(tmp_path, snapshot_format)
    status, log, writes = training.attempt(training.out, 0, 0)
    assert status == 0, log
    whole = snapshots(training.out)
    earlier = snapshots(training.earlier)
    assert len(earlier) == 4 and len(whole) == 8
    assert {"open", "write", "fsync", "close", "rename"} <= {
        call for call, _ in writes
    }
    cases = sample(writes)
    for n, last in cases:
        status, log, tried = training.attempt(training.out, n, last)
        which = f"{writes[n - 1]}, {n} to {last} of {len(writes)}\n{log}"
        failed = tried[n - 1 : last]
        assert failed, which
        if any(
            call == "fopen" and path.endswith(PROBE) for call, path in failed
        ):
            assert status == 1 and re.search(PROBE_FAILS, log), which
            assert snapshots(training.out) == earlier, which
            continue
        hit = [path for _, path in failed if not path.endswith(PROBE)]
        assert status == (1 if hit and last == FOR_GOOD else 0), which
        said = re.findall(r"No snapshot of iteration .*", log)
        assert bool(said) == bool(hit), which
        for line in said:
            assert REASON in line and str(training.out) in line, which
        assert "Optimization Done" in log, which
        found = snapshots(training.out)
        assert earlier.items() <= found.items(), which
        check_pairs(found, whole)
        assert status or found.keys() >= {
            name for name in whole if f"_{4 * SNAPSHOT}." in name
        }, which
    print(f"{snapshot_format}: {len(writes)} writes, {len(cases)} failures")


@pytest.mark.parametrize("last", [0, FOR_GOOD])
def test_logs_that_cannot_be_written(tmp_path, last):
    """Training does not mind."""
    training = Training(tmp_path, "BINARYPROTO")
    status, _, writes = training.attempt(training.logs, 0, 0)
    assert status == 0 and {"open", "fwrite"} <= {call for call, _ in writes}
    whole = snapshots(training.out)
    for n in 1, 2, len(writes) // 2:
        status, log, _ = training.attempt(training.logs, n, max(n, last))
        assert status == 0, log
        assert snapshots(training.out) == whole


@pytest.mark.parametrize("snapshot_format", FORMATS)
def test_file_system_that_fills_up(tmp_path, snapshot_format):
    """Its log lies there too. With room again, the run goes on from the newest
    pair and is the run that had room."""
    prepare("mlp", tmp_path)
    last = 9 * SNAPSHOT
    (tmp_path / "disk").mkdir()
    start = " ".join(map(str, command(
        tmp_path, "disk/run", snapshot_format=snapshot_format, iterations=last
    )))  # fmt: skip
    subprocess.run(start.split(), check=True, capture_output=True)
    (tmp_path / "disk").rename(tmp_path / "whole")
    (tmp_path / "disk").mkdir()
    script = f"""
        cd {tmp_path}
        export GLOG_log_dir={tmp_path}/disk
        {start} >full.log 2>&1
        echo $? >status
        cp -r disk full
        rm -f disk/caffe*
        ls -v -r disk/run* | tail -n +3 | xargs rm
        {start} >again.log 2>&1
        echo $? >>status
        cp -r disk again
    """
    in_small_disk(tmp_path / "disk", script)
    assert (tmp_path / "status").read_text().split() == ["1", "0"]
    log = (tmp_path / "full.log").read_text()
    assert "Optimization Done" in log
    failed = re.findall("No snapshot of iteration .*", log)
    assert failed
    for line in failed:
        assert REASON in line and f"{tmp_path}/disk/run_iter_" in line
    whole = snapshots(tmp_path / "whole")
    full = snapshots(tmp_path / "full")
    assert 0 < len([name for name in full if ".solverstate" in name]) < 9
    check_pairs(full, whole)
    assert "Resuming from" in (tmp_path / "again.log").read_text()
    again = snapshots(tmp_path / "again")
    check_pairs(again, whole)
    assert any(f"_iter_{last}.solverstate" in name for name in again)
