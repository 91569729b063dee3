"""The tables of docs/results.md on the accuracy of nets whose feature maps are
dropped."""

import json

import numpy as np

from paper import figures, map_norms
from paper.figures import difference, number, report_cell, shown, table
from project import whole_lines

NETS = {"lenet": "LeNet, MNIST", "cifar10": "small net, CIFAR-10"}
RATES = "0.1", "0.3", "0.5"
USUAL, EACH_IMAGE = "4", "64"
GROUPS = "1", USUAL, EACH_IMAGE


@shown
def map_accuracies():
    lines = []
    for study, title in NETS.items():
        for rate in RATES:
            cells = {
                groups: report_cell(study, f"{rate}, {groups}", "row")
                for groups in GROUPS
            }
            conventional = report_cell(
                study, f"{rate}, {USUAL}", "conventional"
            )
            means = [conventional, *cells.values()]
            lines.append(
                [
                    title,
                    rate,
                    *(number(cell["mean"]) for cell in means),
                    difference(
                        cells[USUAL]["values"], cells[EACH_IMAGE]["values"]
                    ),
                ]
            )
            title = ""
    heads = ["", "rate", "element-wise", *(f"groups: {g}" for g in GROUPS)]
    return table(heads + [f"{USUAL} − {EACH_IMAGE}"], lines)


def by_norm():
    """{choice: {seed: percent}} of the last test of paper/map_norms.py."""
    path = figures.RESULTS / "feature_maps/by_norm.jsonl"
    found = {choice: {} for choice in map_norms.CHOICES}
    for row in map(json.loads, whole_lines(path).splitlines()):
        seed = row["experiment"]["seed"]
        found[row["choice"]][seed] = 100 * row["accuracies"][-1]
    return found


@shown
def map_norm_accuracies():
    found = by_norm()
    even = found["evenly"]
    lines = []
    for choice, values in found.items():
        mean = number(float(np.mean([*values.values()])) if values else None)
        change = "" if values is even else difference(values, even)
        lines.append([choice, f"{len(values)}", mean, change])
    heads = ["", "seeds", "accuracy, %", "over evenly, points"]
    return table(heads, lines)
