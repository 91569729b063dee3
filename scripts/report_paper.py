#!/usr/bin/python3
"""Writes the report on the paper's tables and figures from the runs so far.

Reads the metrics of a profile's trainings and races below runs/PROFILE, and
writes into runs/PROFILE/report: report.html, one page with all pictures in
it, report.md with its pictures beside it, and report.json, all numbers of its
tables. What has not been run is marked X.
"""

import argparse
import sys

from paper import page
from paper.profiles import PROFILES
from project import ROOT


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profile", choices=PROFILES, required=True)
    options = parser.parse_args(arguments)
    try:
        folder = page.write(PROFILES[options.profile])
    except (ValueError, OSError) as error:
        print(f"report_paper.py: {error}", file=sys.stderr)
        return 1
    print(f"report: {folder.relative_to(ROOT)}/report.html and report.md")
    return 0


if __name__ == "__main__":
    sys.exit(main())
