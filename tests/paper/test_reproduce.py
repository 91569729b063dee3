"""scripts/reproduce_mnist.sh, reproduce_ptb.sh and reproduce_maps.sh, to their
report.

Whatever is in runs/quick is removed: its nets are tiny, its numbers worthless.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from paper import studies
from paper.profiles import PROFILES
from project import ROOT

PROFILE = PROFILES["quick"]
RUNS = ROOT / "runs/quick"


def reproduce(name, *options):
    """Runs the script; returns (exit status, all that it said)."""
    script = ROOT / f"scripts/reproduce_{name}.sh"
    done = subprocess.run(
        [script, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


@pytest.fixture(scope="module")
def reproduced():
    """What the scripts said, {name: text}, after runs of everything."""
    shutil.rmtree(RUNS, ignore_errors=True)
    said = {}
    for name in "mnist", "ptb", "maps":
        status, text = reproduce(name, "--profile", "quick")
        assert status == 0, text[-5000:]
        said[name] = text
    return said


def test_every_cell_is_trained_and_timed(reproduced):
    numbers = json.loads((RUNS / "report/report.json").read_text())
    for study in studies.studies(PROFILE):
        cells = numbers["studies"][study.name]
        assert len(cells) == sum(len(p.trained) for p in study.points)
        for cell in cells:
            assert cell["finished"] == len(cell["values"]) == cell["seeds"]
            timed = any(point.timed for point in study.points)
            assert (cell["speed_up"] is None) == (not timed)
            if cell["series"] != "conventional":
                low, high = cell["interval"]
                assert low <= cell["difference"] <= high
    assert {each["family"] for each in numbers["searches"]} == {
        "PERIOD", "RESIDUE",
    }  # fmt: skip
    for search in numbers["searches"]:
        assert search["expected"] == pytest.approx(search["rate"], abs=1e-3)


def test_report_has_no_gap(reproduced):
    text = (RUNS / "report/report.md").read_text()
    assert not re.search(r"\| X +\|", text)
    assert "not legible" in text
    page = (RUNS / "report/report.html").read_text()
    assert page.count('src="data:image/png;base64,') == text.count("](")


def test_a_run_has_its_folder_and_no_snapshots(reproduced):
    runs = studies.trainings(studies.studies(PROFILE))
    for run in runs.values():
        found = {
            path.name for path in studies.run_folder(PROFILE, run).iterdir()
        }
        assert found == {
            "net.prototxt", "solver.prototxt", "log.txt", "metrics.json",
            "done", ".lock",
        }  # fmt: skip


def test_what_is_done_is_not_done_again(reproduced):
    done = studies.run_folder(
        PROFILE, studies.find_training(PROFILE, "ptb/tiny_row_0.5", 2)
    )
    shutil.rmtree(done)
    before = (done.parent / "tiny_row_0.5_seed1/metrics.json").read_bytes()
    status, text = reproduce("ptb", "--profile", "quick", "fig5")
    assert status == 0, text[-5000:]
    assert re.findall(r"Train (.*)", text) == ["ptb/tiny_row_0.5, seed 2"]
    assert "Time " not in text
    after = (done.parent / "tiny_row_0.5_seed1/metrics.json").read_bytes()
    assert after == before and (done / "done").exists()


def interrupt(script, train):
    """Ctrl-C."""
    os.killpg(script.pid, signal.SIGINT)


def kill_snakemake(script, train):
    """train.py ends with it."""
    words = Path(f"/proc/{train}/cmdline").read_text().split("\0")
    snakemake = int(words[words.index("--end-after") + 1])
    assert "snakemake" in Path(f"/proc/{snakemake}/cmdline").read_text()
    os.kill(snakemake, signal.SIGKILL)


@pytest.mark.parametrize("end", [interrupt, kill_snakemake])
def test_interrupted_training_goes_on(reproduced, end):
    """From the end of an epoch that it had come to."""
    run = studies.find_training(PROFILE, "ptb/tiny3_conventional_0.7", 2)
    folder = studies.run_folder(PROFILE, run)
    shutil.rmtree(folder)
    options = "--profile", "quick", "fig6a"
    script = ROOT / "scripts/reproduce_ptb.sh"
    first_epoch = folder / "snapshot_iter_15.solverstate"
    deadline = time.monotonic() + 300
    with subprocess.Popen(
        [script, *options], start_new_session=True
    ) as process:
        while not first_epoch.exists():
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.01)
        ids = (folder / ".lock").read_text().split()
        end(process, ids[0])
    assert process.returncode != 0
    while any(Path(f"/proc/{each}").exists() for each in ids):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert not (folder / "done").exists()
    status, text = reproduce("ptb", *options)
    assert status == 0, text[-5000:]
    metrics = json.loads((folder / "metrics.json").read_text())
    assert "--snapshot=" in metrics["command"]
    assert metrics["status"] == "finished" and (folder / "done").exists()
    assert {test["epoch"] for test in metrics["tests"]} == {1, 2, 3}


def test_dry_run_on_a_cluster(reproduced):
    """Through Slurm, with a race's machine for itself; nothing is run."""
    before = sorted(RUNS.rglob("done"))
    status, text = reproduce(
        *("ptb", "--profile", "quick", "--profile", "scripts/paper/slurm"),
        *("--cores", "64", "--dry-run", "--forceall", "fig5"),
    )
    assert status == 0, text[-5000:]
    assert re.search(r"^train +6 +1 +1$", text, re.M)
    assert re.search(r"^race +1 +16 +16$", text, re.M)
    assert "This was a dry-run" in text
    assert sorted(RUNS.rglob("done")) == before


def test_gpu_trains_and_does_not_time():
    """What would be run; whether there is a GPU does not matter."""
    done = subprocess.run(
        ["snakemake", "--snakefile", "scripts/paper/Snakefile", "--cores", "2"]
        + ["--dry-run", "--printshellcmds", "--forceall", "fig5"]
        + ["--config", "profile=quick", "script=ptb", "gpu=3"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": "scripts"},
        capture_output=True,
        text=True,
        check=True,
    )
    text = done.stdout + done.stderr
    commands = re.findall(r"(?:scripts/train.py|-m paper.race) .*", text)
    assert len(commands) == 7
    for command in commands:
        assert ("--gpu 3" in command) == command.startswith("scripts/train")


@pytest.mark.parametrize("number", ["all", "", "-1"])
def test_what_is_no_gpu_is_refused(number):
    status, text = reproduce("mnist", "--gpu", number)
    assert status == 1
    assert f"--gpu {number} is no number of a GPU" in text
    assert reproduce("mnist", f"--gpu={number}") == (status, text)


@pytest.mark.parametrize("profile", ["fast", "", "tests"])
def test_unknown_profiles_are_refused(profile):
    status, text = reproduce("mnist", "--profile", profile)
    assert status == 1
    assert f"--profile {profile} is no profile; legal: quick, cpu" in text
    assert reproduce("mnist", f"--profile={profile}") == (status, text)


def test_help_says_how():
    status, text = reproduce("ptb", "--help")
    assert status == 0
    assert text.startswith("Reproduces the paper's figures and tables")
    assert "#" not in text
