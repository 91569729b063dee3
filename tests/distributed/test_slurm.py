"""scripts/submit_training.sh, with stand-ins for Slurm's programs."""

import os
import shutil
import signal
import subprocess
import time

import pytest

from conftest import ROOT
from ranks import CAFFE

SCRIPT = ROOT / "scripts/submit_training.sh"
# Say how they were called, as lines of a file.
SAY = '#!/bin/sh\necho "$(basename "$0") $*" >>"$SAID"\n'
# Trains until it is told to stop, as ranks do, or ends as it is told.
SRUN = f"""{SAY}
echo "cores $SRUN_CPUS_PER_TASK, threads $OMP_NUM_THREADS" >>"$SAID"
[ -z "$STATUS" ] || exit "$STATUS"
touch "$SAID.trains"
for i in $(seq 400); do
  [ ! -e "$SAID.stop" ] || {{ echo snapshot >>"$SAID"; exit 0; }}
  sleep 0.05
done
"""
SCANCEL = SAY + 'touch "$SAID.stop"\n'


@pytest.fixture
def slurm(tmp_path):
    """The environment, and a function that gives what was said."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in (
        ("sbatch", SAY),
        ("scontrol", SAY),
        ("scancel", SCANCEL),
        ("srun", SRUN),
    ):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    said = tmp_path / "said"
    environment = {
        **{k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"},
        "PATH": f"{programs}:{os.environ['PATH']}",
        "SAID": str(said),
        "SLURM_JOB_ID": "7",
    }
    return environment, lambda: said.read_text().splitlines()


def job(**environment):
    return subprocess.Popen(
        [SCRIPT, "--job", CAFFE, "--solver=a b"], env=environment
    )


def test_submits(slurm):
    environment, said = slurm
    subprocess.run(
        [SCRIPT, "-n", "4", "-t", "1-0", "--", "--solver=s", "--weights=w"],
        env=environment, check=True)  # fmt: skip
    (call,) = said()
    options, _, training = call.partition(f" {SCRIPT} --job {CAFFE} ")
    assert options.endswith("-n 4 -t 1-0")
    # Those of the user come behind ours, and count.
    for option in ("--requeue", "--signal=B:USR1@120", "--open-mode=append"):
        assert option in options
    assert training == "--solver=s --weights=w"


@pytest.mark.parametrize("arguments", ([], ["-n", "2"], ["-n", "2", "--"]))
def test_says_how(slurm, arguments):
    done = subprocess.run(
        [SCRIPT, *arguments],
        env=slurm[0],
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 1
    assert "submit_training.sh -n 8 -c 4" in done.stderr
    assert "#" not in done.stderr


@pytest.mark.parametrize("status", (0, 3))
def test_training_that_ends(slurm, status):
    environment, said = slurm
    with job(**environment, STATUS=str(status), SLURM_CPUS_PER_TASK="6") as run:
        assert run.wait(20) == status
    assert said() == [
        f"srun --mpi=pmix --kill-on-bad-exit=1 {CAFFE} train --snapshot=auto "
        "--solver=a b",
        "cores 6, threads 6",
    ]


def test_time_limit(slurm, tmp_path):
    """A snapshot, and back into the queue."""
    environment, said = slurm
    with job(**environment, SRUN_MPI="pmi2") as run:
        while not (tmp_path / "said.trains").exists():
            assert run.poll() is None
            time.sleep(0.01)
        run.send_signal(signal.SIGUSR1)
        run.wait(20)
    assert said()[0].startswith("srun --mpi=pmi2 ")
    assert said()[1:] == [
        "cores 1, threads 1",
        "scancel --signal=INT 7.0",
        "snapshot",
        "scontrol requeue 7",
    ]


def test_on_gpus_it_wants_the_cuda_build(slurm, tmp_path):
    """build/bin/caffe is the CPU's."""
    environment, said = slurm
    script = tmp_path / "project/scripts/submit_training.sh"
    programs = tmp_path / "project/build/bin"
    for folder in script.parent, programs:
        folder.mkdir(parents=True)
    shutil.copy(SCRIPT, script)
    shutil.copy("/bin/true", programs / "caffe")
    command = [script, "-n", "2", "--", "--solver=x", "--gpu=all"]
    options = {"env": environment, "capture_output": True, "text": True}
    done = subprocess.run(command, check=False, **options)
    assert done.returncode == 1
    assert "no build/bin/caffe-cuda; run make cuda MPI=1" in done.stderr
    shutil.copy("/bin/true", programs / "caffe-cuda")
    subprocess.run(command, check=True, **options)
    assert f"--job {programs}/caffe-cuda --solver=x --gpu=all" in said()[0]
