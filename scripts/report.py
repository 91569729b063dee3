"""What the reports of all workloads share: runs, tables and curves."""

import argparse
import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

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
MISSING = "X"
LABEL_GAP = 0.075  # of the axes' height, between the labels of two curves


def read_runs(folder, chosen):
    """{key: metrics} of the chosen experiments and of those they are held
    against, as far as they have been run. folder: runs/mnist, say."""
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
        "iteration_limit": lambda metrics: metrics["experiment"][
            "iteration_limit"
        ],
        "seed": lambda metrics: metrics["experiment"]["seed"],
    }
    return [
        f"{name} {value(run)} against {value(other)}"
        for name, value in conditions.items()
        if value(run) != value(other)
    ]


def row(experiment, runs, outcome):
    """One experiment's numbers; None stands for what is missing.

    outcome: takes a list of a run's tests, gives {name: value} of what the
    last of them measured, or {name: None} for no tests.
    """
    run = runs.get(experiment.key)
    other = runs.get(experiments.baseline(experiment))
    numbers = {
        "key": experiment.key,
        "method": TITLES[experiment.method].split(",")[0],
        "family": experiment.family,
        "rate": max(experiment.rates, default=0),
        "status": run["status"] if run else "missing",
        "epochs": None,
        **outcome([]),
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
        numbers["epochs"] = run["tests"][-1]["epoch"]
        numbers |= outcome(run["tests"])
        numbers["drop_rate"] = run["drop_rate"]["realised"]
        if run["diverged"]:
            numbers["status"] = "diverged"
    return numbers


def cell(value, form):
    return MISSING if value is None else format(value, form)


def percent(share):
    return cell(share and 100 * share, ".2f")


def cells(numbers, outcome):
    """A row as text, {title of the column: cell}, with outcome, the same for
    what the workload measures, in its middle."""
    time = cell(numbers["median_ms"], ".1f")
    if numbers["quartiles_ms"]:
        time += " ({:.1f}-{:.1f})".format(*numbers["quartiles_ms"])
    speed_up = cell(numbers["speed_up"], ".2f")
    if not numbers["rate"]:
        speed_up = "-"
    if numbers["status"] == "diverged":
        first = next(iter(outcome))
        outcome = {**outcome, first: outcome[first] + " diverged"}
    return {
        "method": numbers["method"] + (" *" if numbers["incomparable"] else ""),
        "family": numbers["family"] or "-",
        "rate": format(numbers["rate"], "g"),
        "epochs": cell(numbers["epochs"], ".3g"),
        **outcome,
        "ms an iteration (quartiles)": time,
        "speed-up": speed_up,
        "drop rate achieved": cell(numbers["drop_rate"], ".4f"),
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


def table(lines, below):
    """The table in Markdown, aligned so that it reads as text too.

    lines: one {title of the column: cell} each. below: lines of text.
    """
    lines = [list(lines[0]), *(list(line.values()) for line in lines)]
    widths = [max(map(len, column)) for column in zip(*lines)]
    lines.insert(1, ["-" * width for width in widths])
    text = "".join(
        "| " + " | ".join(map(str.ljust, line, widths)) + " |\n"
        for line in lines
    )
    return text + "".join(f"\n{line}\n" for line in below)


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
    if not curves:
        axes.text(0.5, 0.5, "not run yet", transform=axes.transAxes)
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


def curves_by_epoch(runs, value, label):
    """One curve for each run, (method, metrics), by epoch.

    value: takes a test, gives what is drawn, or None to leave it out.
    label: how the last value is written.
    """
    curves = []
    for method, run in runs:
        points = [(test["epoch"], value(test)) for test in run["tests"]]
        points = [(x, y) for x, y in points if y is not None]
        if points:
            x, y = zip(*points)
            text = f"{TITLES[method]}  {y[-1]:{label}}"
            curves.append((method, x, y, text))
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


def plot(groups, runs, path, plot_group):
    """Writes one row of two pictures for each group.

    groups: {title: experiments}. plot_group: takes two axes, the title and
    the group's runs, (method, metrics).
    """
    figure, grid = plt.subplots(
        len(groups),
        2,
        figsize=(12, 4.2 * len(groups)),
        squeeze=False,
        layout="constrained",
    )
    for (title, group), (left, right) in zip(groups.items(), grid):
        shown = [(e.method, runs[e.key]) for e in group if e.key in runs]
        plot_group(left, right, title, shown)
        left.set_xlabel("epoch")
        left.xaxis.get_major_locator().set_params(integer=True)
        right.set_xlabel("seconds of training, tests not counted")
    figure.savefig(path, dpi=130)
    plt.close(figure)


def by_rate(chosen):
    """{"rate 0.5": experiments}; a net without dropout is in all groups."""
    rates = sorted({max(e.rates) for e in chosen if e.rates}) or [0]
    return {
        f"rate {rate:g}": [
            e for e in chosen if max(e.rates, default=rate) == rate
        ]
        for rate in rates
    }


def write(folder, rows, text, groups, runs, plot_group):
    """Writes table.md, table.json and curves.png; returns the table."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "table.md").write_text(text)
    (folder / "table.json").write_text(json.dumps(rows, indent=1) + "\n")
    plot(groups, runs, folder / "curves.png", plot_group)
    return text


def main(workload, report, description, arguments):
    """The command line of a report. report: takes folder and experiments,
    writes into the folder, returns the table."""
    parser = argparse.ArgumentParser(description=description)
    every = [e.key for e in experiments.EXPERIMENTS if e.workload == workload]
    parser.add_argument(
        "keys",
        nargs="*",
        default=every,
        metavar="EXPERIMENT",
        help=f"{every[-1]}, say; every experiment by default",
    )
    parser.add_argument("--runs", type=Path, default=ROOT / "runs" / workload)
    options = parser.parse_args(arguments)
    try:
        chosen = [experiments.find(key) for key in options.keys]
    except ValueError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 1
    print(report(options.runs, chosen))
    print(f"table and curves are in {options.runs}")
    return 0
