#!/usr/bin/env python3
"""Collects the MNIST runs: one table, its JSON, and a picture of the curves.

Reads runs/mnist/*/metrics.json; writes table.md, table.json and curves.png
into runs/mnist. What has not been run is marked X.
"""

import argparse
import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.ticker import LogLocator, NullFormatter

import experiments
from experiments import ROOT

TITLES = {
    "none": "no dropout",
    "conventional": "conventional",
    "row": "ROW",
    "tile": "TILE",
    "row_period": "ROW, PERIOD",
    "tile_period": "TILE, PERIOD",
}
STYLES = {
    "none": ("#888888", "-"),
    "conventional": ("#000000", "-"),
    "row": ("#0072B2", "-"),
    "tile": ("#D55E00", "-"),
    "row_period": ("#56B4E9", "--"),
    "tile_period": ("#E69F00", "--"),
}
COLUMNS = {
    "method": "method",
    "family": "family",
    "rate": "rate",
    "epochs": "epochs",
    "accuracy": "test accuracy, %",
    "time": "ms an iteration (quartiles)",
    "speed_up": "speed-up",
    "drop_rate": "drop rate achieved",
}
MISSING = "X"
ACCURACY_BELOW = 2.5  # points shown below the worst final accuracy
LABEL_GAP = 0.075  # of the axes' height, between the labels of two curves


def read_runs(folder, chosen):
    """{key: metrics} of the chosen experiments and of those they are held
    against, as far as they have been run. folder: runs/mnist."""
    wanted = {experiment.key: experiment for experiment in chosen}
    for experiment in chosen:
        key = experiments.baseline(experiment)
        if key:
            wanted.setdefault(key, experiments.find(key))
    runs = {}
    for key, experiment in wanted.items():
        path = folder / experiment.name / "metrics.json"
        if path.exists():
            runs[key] = json.loads(path.read_text())
    return runs


def incomparable(run, other):
    """In what the two runs' conditions differ, as phrases."""
    conditions = {
        "machine": lambda metrics: metrics["machine"],
        "commit": lambda metrics: metrics["commit"],
        "data": lambda metrics: metrics["data"]["used"],
        "epochs": lambda metrics: metrics["experiment"]["epochs"],
        "seed": lambda metrics: metrics["experiment"]["seed"],
    }
    return [
        f"{name} {value(run)} against {value(other)}"
        for name, value in conditions.items()
        if value(run) != value(other)
    ]


def row(experiment, runs):
    """One experiment's numbers; None stands for what is missing."""
    run = runs.get(experiment.key)
    other = runs.get(experiments.baseline(experiment))
    numbers = {
        "key": experiment.key,
        "method": TITLES[experiment.method].split(",")[0],
        "family": experiment.family,
        "rate": max(experiment.rates, default=0),
        "status": run["status"] if run else "missing",
        "epochs": None,
        "accuracy": None,
        "median_ms": None,
        "quartiles_ms": None,
        "speed_up": None,
        "drop_rate": None,
        "incomparable": incomparable(run, other) if run and other else [],
    }
    if not run:
        return numbers
    numbers["median_ms"] = run["timing"]["median_ms"]
    numbers["quartiles_ms"] = run["timing"]["quartiles_ms"]
    reference = other and other["timing"]["median_ms"]
    if reference and numbers["median_ms"]:
        numbers["speed_up"] = reference / numbers["median_ms"]
    if run["status"] == "finished":
        numbers["epochs"] = run["experiment"]["epochs"]
        numbers["accuracy"] = run["tests"][-1]["accuracy"]
        numbers["drop_rate"] = run["drop_rate"]["realised"]
        if run["diverged"]:
            numbers["status"] = "diverged"
    return numbers


def cell(value, form):
    return MISSING if value is None else format(value, form)


def cells(numbers):
    """A row as text, {column: cell}."""
    accuracy, time = numbers["accuracy"], cell(numbers["median_ms"], ".1f")
    if numbers["quartiles_ms"]:
        time += " ({:.1f}-{:.1f})".format(*numbers["quartiles_ms"])
    speed_up = cell(numbers["speed_up"], ".2f")
    if not numbers["rate"]:
        speed_up = "-"
    return {
        "method": numbers["method"] + (" *" if numbers["incomparable"] else ""),
        "family": numbers["family"] or "-",
        "rate": format(numbers["rate"], "g"),
        "epochs": cell(numbers["epochs"], "d"),
        "accuracy": cell(accuracy and 100 * accuracy, ".2f")
        + (" diverged" if numbers["status"] == "diverged" else ""),
        "time": time,
        "speed_up": speed_up,
        "drop_rate": cell(numbers["drop_rate"], ".4f"),
    }


def notes(rows, runs):
    """What a reader of the table must know, one line each."""
    lines = ["Speed-up: against conventional dropout of the same rate."]
    lines += sorted({f"Data: {run['data']['used']}." for run in runs.values()})
    for numbers in rows:
        if numbers["incomparable"]:
            differences = "; ".join(numbers["incomparable"])
            lines.append(f"Marked *, {numbers['key']}: {differences}.")
        if numbers["status"] not in ("finished", "missing", "diverged"):
            lines.append(f"{numbers['key']}: {numbers['status']}.")
    return lines


def table(rows, runs):
    """The table in Markdown, aligned so that it reads as text too."""
    lines = [list(COLUMNS.values())]
    lines += [list(cells(numbers).values()) for numbers in rows]
    widths = [max(map(len, column)) for column in zip(*lines)]
    lines.insert(1, ["-" * width for width in widths])
    text = "".join(
        "| " + " | ".join(map(str.ljust, line, widths)) + " |\n"
        for line in lines
    )
    return text + "".join(f"\n{line}\n" for line in notes(rows, runs))


def spread(heights):
    """Moves labels apart: heights, in parts of the axes, to heights in the
    same order that are LABEL_GAP apart, the highest at most 1."""
    order = sorted(range(len(heights)), key=heights.__getitem__)
    moved = list(heights)
    for below, above in zip(order, order[1:]):
        moved[above] = max(moved[above], moved[below] + LABEL_GAP)
    limit = 1
    for index in reversed(order):
        moved[index] = min(moved[index], limit)
        limit = moved[index] - LABEL_GAP
    return moved


def draw(axes, curves):
    """Draws curves, each (method, x, y, label), labelled beside the axes."""
    for method, x, y, _ in curves:
        colour, line = STYLES[method]
        axes.plot(x, y, line, color=colour, lw=1.6)
        axes.plot(x[-1], y[-1], "o", color=colour, markersize=4)
    axes.autoscale_view()
    to_axes = axes.transData - axes.transAxes
    ends = [to_axes.transform((x[-1], y[-1])) for _, x, y, _ in curves]
    heights = spread([height for _, height in ends])
    for (method, *_, label), end, height in zip(curves, ends, heights):
        colour = STYLES[method][0]
        axes.plot(
            [end[0], 1.02],
            [end[1], height],
            ":",
            color=colour,
            lw=0.8,
            transform=axes.transAxes,
            clip_on=False,
        )
        axes.text(
            1.03,
            height,
            label,
            color=colour,
            fontsize=9,
            va="center",
            transform=axes.transAxes,
        )
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25, lw=0.6)


def accuracy_curves(runs):
    curves = []
    for method, run in runs:
        points = [
            (test["epoch"], 100 * test["accuracy"])
            for test in run["tests"]
            if test["accuracy"] is not None
        ]
        if points:
            x, y = zip(*points)
            label = f"{TITLES[method]}  {y[-1]:.2f}"
            curves.append((method, x, y, label))
    return curves


def loss_curves(runs):
    """Loss by training time, without tests: iterations times their median."""
    curves = []
    for method, run in runs:
        seconds = (run["timing"]["median_ms"] or 0) / 1000
        points = [
            (seconds * train["iteration"], train["loss"])
            for train in run["train"]
            if train["loss"]
        ]
        if seconds and points:
            x, y = zip(*points)
            curves.append((method, x, y, f"{TITLES[method]}  {x[-1]:.0f} s"))
    return curves


def plot_rate(left, right, rate, runs):
    """Accuracy and training loss of one rate's runs, (method, metrics)."""
    right.set_yscale("log")
    right.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    right.yaxis.set_major_formatter("{x:g}")
    right.yaxis.set_minor_formatter(NullFormatter())
    accuracies, losses = accuracy_curves(runs), loss_curves(runs)
    if accuracies:
        bottom = min(y[-1] for _, _, y, _ in accuracies) - ACCURACY_BELOW
        top = max(max(y) for _, _, y, _ in accuracies)
        left.set_ylim(bottom, top + (top - bottom) / 20)
    for axes, curves in (left, accuracies), (right, losses):
        if not curves:
            axes.text(0.5, 0.5, "not run yet", transform=axes.transAxes)
        draw(axes, curves)
    left.set_title(f"Test accuracy, %, rate {rate:g}", loc="left")
    left.set_xlabel("epoch")
    left.xaxis.get_major_locator().set_params(integer=True)
    right.set_title(f"Training loss, rate {rate:g}", loc="left")
    right.set_xlabel("seconds of training, tests not counted")


def plot(chosen, runs, path):
    """One row of two pictures for each rate; a net without dropout is shown
    in all."""
    rates = sorted({max(e.rates) for e in chosen if e.rates}) or [0]
    figure, grid = plt.subplots(
        len(rates),
        2,
        figsize=(12, 4.2 * len(rates)),
        squeeze=False,
        layout="constrained",
    )
    for rate, (left, right) in zip(rates, grid):
        shown = [
            (experiment.method, runs[experiment.key])
            for experiment in chosen
            if experiment.key in runs
            and max(experiment.rates, default=rate) == rate
        ]
        plot_rate(left, right, rate, shown)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def report(folder, chosen):
    """Writes table.md, table.json and curves.png; returns the table."""
    runs = read_runs(folder, chosen)
    rows = [row(experiment, runs) for experiment in chosen]
    text = table(rows, runs)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "table.md").write_text(text)
    (folder / "table.json").write_text(json.dumps(rows, indent=1) + "\n")
    plot(chosen, runs, folder / "curves.png")
    return text


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__)
    every = [e.key for e in experiments.EXPERIMENTS if e.workload == "mnist"]
    parser.add_argument(
        "keys",
        nargs="*",
        default=every,
        metavar="EXPERIMENT",
        help="mnist/row_0.7, say; every MNIST experiment by default",
    )
    parser.add_argument("--runs", type=Path, default=ROOT / "runs/mnist")
    options = parser.parse_args(arguments)
    try:
        chosen = [experiments.find(key) for key in options.keys]
    except ValueError as error:
        print(f"report_mnist.py: {error}", file=sys.stderr)
        return 1
    print(report(options.runs, chosen))
    print(f"table and curves are in {options.runs}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
