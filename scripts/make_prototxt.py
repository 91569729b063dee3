#!/usr/bin/python3
"""Writes the nets and solvers that are committed, into prototxt/.

With --all those of every experiment are written, into build/prototxt; epochs,
tests and vocabularies are those of the data that is prepared. With --check
nothing is written: committed files that differ, are missing or are stale (not
generated any more) are named, and the exit status is 1.
"""

import argparse
import shutil
import sys
from pathlib import Path

from nets.registry import COMMITTED, EXPERIMENTS, MORE
from nets.text import net_text, solver_text
from project import ROOT, write_whole

FOLDER, ALL_FOLDER = "prototxt", "build/prototxt"


def generated(chosen, folder):
    """{path relative to the repository root: text} of experiments' files."""
    files = {}
    for experiment in chosen:
        net = experiment.net_file(folder)
        files[net] = net_text(experiment)
        files[experiment.solver_file(folder)] = solver_text(
            experiment, net, experiment.run_folder
        )
    return files


def fitted(experiment):
    """The experiment on the data that is prepared for it, if any is."""
    if not (ROOT / experiment.data / "source.json").exists():
        return experiment
    from training import run  # --check needs nothing of it

    try:
        return experiment.fitted(run.data_source(experiment))
    except run.TrainingError as error:
        raise ValueError(error) from None


def write(root, files):
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        write_whole(root / path, text)


def differences(root):
    """What is wrong with root/prototxt, one line per file; [] if nothing."""
    expected = generated(COMMITTED, FOLDER)
    found = {
        str(path.relative_to(root)): path.read_text(encoding="utf-8")
        for path in sorted((root / FOLDER).rglob("*.prototxt"))
    }
    lines = []
    for path in sorted(expected.keys() | found.keys()):
        if path not in found:
            lines.append(f"{path}: missing")
        elif path not in expected:
            lines.append(f"{path}: stale, of no committed experiment")
        elif found[path] != expected[path]:
            lines.append(f"{path}: differs")
    return lines


def main(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument(
        "--all", action="store_true", help=f"every one, into {ALL_FOLDER}"
    )
    choice.add_argument(
        "--check", action="store_true", help="compare, write nothing"
    )
    parser.add_argument(
        "--root", type=Path, default=ROOT, help="the folder of prototxt/"
    )
    options = parser.parse_args(arguments)
    try:
        if options.all:
            every = generated(map(fitted, EXPERIMENTS + MORE), ALL_FOLDER)
            shutil.rmtree(options.root / ALL_FOLDER, ignore_errors=True)
            write(options.root, every)
            return 0
        if not options.check:
            write(options.root, generated(COMMITTED, FOLDER))
    except (ValueError, OSError) as error:
        print(f"make_prototxt.py: {error}", file=sys.stderr)
        return 1
    wrong = differences(options.root)
    for line in wrong:
        print(line, file=sys.stderr)
    if wrong and options.check:
        print("run /usr/bin/python3 scripts/make_prototxt.py", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
