"""Prepares the data that the paper's tables and figures need.

Data that is there already, from the same source, stays.
"""

import argparse
import subprocess
import sys

from paper import studies
from paper.profiles import PROFILES
from project import ROOT


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profile", choices=PROFILES, required=True)
    parser.add_argument("script", choices=("mnist", "ptb", "maps"))
    options = parser.parse_args(arguments)
    chosen = [
        study
        for study in studies.studies(PROFILES[options.profile])
        if study.script == options.script
    ]
    for command in studies.preparations(chosen):
        if status := subprocess.run(command, cwd=ROOT, check=False).returncode:
            return status
    return 0


if __name__ == "__main__":
    sys.exit(main())
