#!/usr/bin/env python3
"""Writes every experiment's net and solver into prototxt/.

With --check nothing is written: committed files that differ, are missing or
are stale (not generated any more) are named, and the exit status is 1.
"""

import argparse
import sys
from pathlib import Path

from nets.registry import EXPERIMENTS, MORE
from nets.text import net_text, solver_text
from project import ROOT


def generated():
    """{path relative to the repository root: text} of all files."""
    files = {}
    for experiment in EXPERIMENTS + MORE:
        files[experiment.net_file] = net_text(experiment)
        files[experiment.solver_file] = solver_text(
            experiment,
            experiment.net_file,
            experiment.run_folder,
        )
    return files


def differences(root):
    """What is wrong with root/prototxt, one line a file; [] if nothing."""
    expected = generated()
    found = {
        str(path.relative_to(root)): path.read_text()
        for path in sorted((root / "prototxt").rglob("*.prototxt"))
    }
    lines = []
    for path in sorted(expected.keys() | found.keys()):
        if path not in found:
            lines.append(f"{path}: missing")
        elif path not in expected:
            lines.append(f"{path}: stale, in no experiment")
        elif found[path] != expected[path]:
            lines.append(f"{path}: differs")
    return lines


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--check", action="store_true", help="compare, write nothing"
    )
    parser.add_argument(
        "--root", type=Path, default=ROOT, help="the folder of prototxt/"
    )
    options = parser.parse_args(arguments)
    if not options.check:
        for path, text in generated().items():
            (options.root / path).parent.mkdir(parents=True, exist_ok=True)
            (options.root / path).write_text(text)
    wrong = differences(options.root)
    for line in wrong:
        print(line, file=sys.stderr)
    if wrong and options.check:
        print("run python3 scripts/make_prototxt.py", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
