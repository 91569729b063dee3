#!/usr/bin/python3
"""Writes the tables of the documents, paper.figures.PAGES, from results/.

With --check nothing is written: documents whose tables are not those of the
results are named, and the exit status is 1.
"""

import argparse
import sys

from paper import (  # noqa: F401  their tables are of PAGES too
    device_figures,
    lstm_figures,
    map_figures,
    rank_figures,
    step_figures,
    training_figures,
)
from paper.figures import PAGES, filled
from project import ROOT, write_whole


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--check", action="store_true", help="compare, write nothing"
    )
    options = parser.parse_args(arguments)
    status = 0
    try:
        for page in PAGES:
            text = (ROOT / page).read_text(encoding="utf-8")
            new = filled(text, page)
            if new == text:
                continue
            if options.check:
                print(
                    f"{page}: its tables are not those of results/; run"
                    " /usr/bin/python3 scripts/report_figures.py",
                    file=sys.stderr,
                )
                status = 1
            else:
                write_whole(ROOT / page, new)
    except (ValueError, KeyError, OSError) as error:
        print(f"report_figures.py: {error}", file=sys.stderr)
        return 1
    return status


if __name__ == "__main__":
    sys.exit(main())
