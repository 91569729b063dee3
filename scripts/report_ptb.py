#!/usr/bin/python3
"""Collects the Penn Treebank runs: one table, its JSON, and the curves.

Reads runs/ptb/*/metrics.json; writes table.md, table.json and curves.png into
runs/ptb. Perplexity and accuracy are over every word of the split. What has
not been run is marked X.
"""

import sys

from reports import curves, table

MEASURED = {  # in a row: the split and what was measured on it
    "valid_perplexity": ("valid", "perplexity"),
    "test_perplexity": ("test", "perplexity"),
    "valid_accuracy": ("valid", "accuracy"),
    "test_accuracy": ("test", "accuracy"),
}

MARGIN = 0.95  # around the perplexities shown, so that one epoch has a scale


def outcome(tests):
    """What the last tests of both splits measured."""
    last = {test["split"]: test for test in tests}
    return {
        name: last[split][value] if last else None
        for name, (split, value) in MEASURED.items()
    }


def cells(experiment, numbers):
    """A row as text, {title of the column: cell}."""
    measured = {
        "valid perplexity": table.cell(numbers["valid_perplexity"], ".2f"),
        "test perplexity": table.cell(numbers["test_perplexity"], ".2f"),
        "valid accuracy, %": table.percent(numbers["valid_accuracy"]),
        "test accuracy, %": table.percent(numbers["test_accuracy"]),
    }
    return {"model": experiment.size, **table.cells(numbers, measured)}


def valid_perplexity(test):
    return test["perplexity"] if test["split"] == "valid" else None


def plot_group(left, right, title, runs):
    """Perplexity and training loss of a group's runs, (method, metrics)."""
    lines = curves.curves_by_epoch(runs, valid_perplexity, ".1f")
    if lines:
        values = [value for _, _, y, _ in lines for value in y]
        left.set_ylim(MARGIN * min(values), max(values) / MARGIN)
        left.set_xlim(0, max(max(x) for _, x, _, _ in lines) / MARGIN)
    curves.draw(left, lines)
    curves.draw(right, curves.loss_curves(runs))
    left.set_title(f"Validation perplexity, {title}", loc="left")
    right.set_title(f"Training loss, nats a word, {title}", loc="left")


def report(folder, chosen):
    """Writes table.md, table.json and curves.png; returns the table."""
    runs = table.read_runs(folder, chosen)
    rows = [table.row(experiment, runs, outcome) for experiment in chosen]
    text = table.table(
        list(map(cells, chosen, rows)), table.notes(rows, runs)
    )
    groups = {
        f"{size}, {rate}": group
        for size in dict.fromkeys(e.size for e in chosen)
        for rate, group in table.by_rate(
            [e for e in chosen if e.size == size]
        ).items()
    }
    groups = {
        title: group
        for title, group in groups.items()
        if any(e.key in runs for e in group)
    } or {"no run": []}
    return table.write(folder, rows, text, groups, runs, plot_group)


def main(arguments=None):
    return table.main("ptb", report, __doc__, arguments)


if __name__ == "__main__":
    sys.exit(main())
