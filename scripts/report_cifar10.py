#!/usr/bin/python3
"""Collects the CIFAR-10 runs: one table, its JSON, and a picture of the curves.

Reads runs/cifar10/*/metrics.json; writes table.md, table.json and curves.png
into runs/cifar10. What has not been run is marked X.
"""

import sys

from reports import classifiers, table


def main(arguments=None):
    return table.main("cifar10", classifiers.report, __doc__, arguments)


if __name__ == "__main__":
    sys.exit(main())
