#!/usr/bin/python3
"""Collects the MNIST runs: one table, its JSON, and a picture of the curves.

Reads runs/mnist/*/metrics.json; writes table.md, table.json and curves.png
into runs/mnist. What has not been run is marked X.
"""

import sys

from reports import classifiers, table


def main(arguments=None):
    return table.main("mnist", classifiers.report, __doc__, arguments)


if __name__ == "__main__":
    sys.exit(main())
