"""Where one of several processes ends, hangs or is another one, all end, with
one message, and the last snapshot is whole."""

import os
import re
import shutil
import signal
import subprocess
import time

import pytest

from interrupted_nets import write_lmdb
from ranks import (
    CAFFE,
    SAMPLES,
    command,
    launched,
    mpirun,
    needs_mpi,
    train,
    write_data,
)

pytestmark = needs_mpi
END_S = 30


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """So many that the log does not say all the time that they begin anew:
    mpirun reads no more of it once it ends."""
    path = tmp_path_factory.mktemp("images") / "lmdb"
    write_lmdb(path, count=40000)
    return path


@pytest.fixture
def folder(tmp_path, images):
    (tmp_path / "lmdb").symlink_to(images)
    return tmp_path


class Training:
    """`mpirun` of a training that would go on for minutes."""

    def __init__(self, folder, *flags, options=(), **settings):
        self.folder = folder
        self.log = folder / "log"
        settings = {
            "iterations": 10**6,
            "snapshot": 500,
            "more": "momentum: 0.9 display: 500",
            **settings,
        }
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [
                    *mpirun(2),
                    *options,
                    *command(
                        folder, "row", 2, run="run", flags=flags, **settings
                    ),
                ],
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
            )

    def wait_for(self, words, limit_s=60):
        end = time.monotonic() + limit_s
        while words not in self.text():
            assert self.process.poll() is None, self.text()
            assert time.monotonic() < end, self.text()
            time.sleep(0.05)

    def text(self):
        return self.log.read_text()

    def ranks(self):
        """Process ids, rank 0's first."""
        found = {}
        for name in os.listdir("/proc"):
            if not name.isdigit():
                continue
            try:
                with open(f"/proc/{name}/environ", "rb") as file:
                    variables = file.read().split(b"\0")
                with open(f"/proc/{name}/cmdline", "rb") as file:
                    arguments = file.read()
            except OSError:
                continue
            if str(self.folder).encode() not in arguments:
                continue
            for variable in variables:
                if variable.startswith(b"OMPI_COMM_WORLD_RANK="):
                    found[int(variable.split(b"=")[1])] = int(name)
        return [found[rank] for rank in sorted(found)]

    def end(self):
        """Exit status and log, once all processes have ended."""
        ranks = self.ranks()
        limit = time.monotonic() + END_S
        status = self.process.wait(END_S)
        while any(os.path.exists(f"/proc/{rank}") for rank in ranks):
            assert time.monotonic() < limit, "a rank is left"
            time.sleep(0.05)
        return status, self.text()


@pytest.fixture
def start(folder):
    started = []

    def begin(*flags, **options):
        started.append(Training(folder, *flags, **options))
        return started[-1]

    yield begin
    for training in started:
        for rank in training.ranks():
            os.kill(rank, signal.SIGKILL)
        training.process.kill()
        training.process.wait()


def resumes(folder):
    """The last snapshot is whole: a new run goes on with it."""
    _, log = train(
        folder, "row", 2, run="run", iterations=1, flags=["--snapshot=auto"]
    )
    return "Resuming from" in log


@pytest.mark.parametrize("rank", (0, 1))
def test_killed_rank(folder, start, rank):
    training = start()
    training.wait_for("_iter_1000.solverstate")
    os.kill(training.ranks()[rank], signal.SIGKILL)
    status, _ = training.end()
    assert status != 0
    assert resumes(folder)


@pytest.mark.parametrize(
    "flags, number, timeout_s",
    ((["--rank_timeout=2"], None, 2), ([], signal.SIGTERM, 10)),
    ids=("timeout", "SIGTERM"),
)
def test_hung_rank(folder, start, flags, number, timeout_s):
    """After SIGTERM no rank waits for long: a launcher may send it where
    another rank has died."""
    training = start(*flags)
    training.wait_for("_iter_500.solverstate")
    ranks = training.ranks()
    os.kill(ranks[1], signal.SIGSTOP)
    if number:
        os.kill(ranks[0], number)
    status, log = training.end()
    assert status != 0
    assert re.search(
        rf"Rank 0 has waited {timeout_s}\S* s for rank 1 to send", log
    )
    assert resumes(folder)


def test_launcher_of_another_mpi(folder):
    """MPICH's, say, of which Open MPI knows nothing."""
    status, log = launched(["env", "PMI_SIZE=2", *command(folder, "row", 2)])
    assert status == 1
    assert "one of 2 processes" in log and "mpirun of the same MPI" in log


@pytest.mark.parametrize("number", (signal.SIGINT, signal.SIGTERM))
def test_signal(folder, start, number):
    training = start(
        snapshot=0, options=("--mca", "odls_base_sigkill_timeout", "3")
    )
    training.wait_for("Iteration 500 ")
    training.process.send_signal(number)
    _, log = training.end()
    assert log.count("Snapshotting solver state") == 1
    assert "Optimization stopped early" in log
    assert resumes(folder)


def test_one_rank_is_signalled(folder, start):
    training = start(snapshot=0)
    training.wait_for("Iteration 500 ")
    os.kill(training.ranks()[1], signal.SIGHUP)  # a snapshot
    training.wait_for("Snapshotting solver state")
    os.kill(training.ranks()[1], signal.SIGINT)
    status, log = training.end()
    assert status == 0
    assert log.count("Snapshotting solver state") == 2


@pytest.mark.parametrize(
    "what, file, old, new",
    (
        ("solver", "solver.prototxt", "0.05", "0.06"),
        ("net in layer 'fc1'", "net.prototxt", "160", "176"),
        ("set of data in layer 'data'", "lmdb", None, None),
    ),
    ids=("solver", "net", "data"),
)
def test_ranks_that_differ(tmp_path, what, file, old, new):
    """Each in a folder of its own, with the same names in it."""
    launch = mpirun(1)[:-2]
    for rank, name in enumerate(("first", "second")):
        folder = tmp_path / name
        folder.mkdir()
        write_data(folder)
        arguments = command(folder, "row", 2, run="net")
        for path in folder.glob("*.prototxt"):
            text = path.read_text().replace(f"{folder}/", "")
            path.write_text(text)
        (folder / "net_solver.prototxt").rename(folder / "solver.prototxt")
        launch += [":"] * rank + ["-np", "1", "-wdir", folder]
        launch += [*arguments[:2], "--solver=solver.prototxt"]
    if old:
        text = (folder / file).read_text()
        assert old in text
        (folder / file).write_text(text.replace(old, new))
    else:
        shutil.rmtree(folder / file)
        write_lmdb(folder / file, count=SAMPLES, shape=(1, 8, 8), seed=1)
    status, log = launched(launch)
    assert status != 0
    assert log.count("all ranks end") == 1
    assert f"Rank 1 has another {what} than rank 0 at the start" in log


def test_wrong_net_is_said_once(folder):
    arguments = command(folder, "row", 2, run="bad")
    path = folder / "bad.prototxt"
    path.write_text(path.read_text().replace("SoftmaxWithLoss", "Loss2"))
    status, log = launched([*mpirun(2), *arguments])
    assert status != 0
    assert log.count("Unknown layer type: Loss2") == 1


def test_rank_whose_check_fails(folder):
    """Rank 1 fails where rank 0 does not: it has no such file."""
    good = command(folder, "row", 2, run="good")
    missing = [CAFFE, "train", f"--solver={folder}/missing.prototxt"]
    status, log = launched([*mpirun(1), *good, ":", "-np", "1", *missing])
    assert status != 0
    assert "missing.prototxt" in log
