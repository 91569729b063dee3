"""What the reports of all workloads share: runs, their table, and the command
line."""

import argparse
import json
import sys
from pathlib import Path

from nets import registry
from project import ROOT, read_json, write_whole
from reports.curves import TITLES, plot

MISSING = "X"


def read_runs(folder, chosen):
    """{key: metrics} of the chosen experiments and of those they are held
    against, as far as they have been run. folder: runs/mnist, say."""
    wanted = {experiment.key: experiment for experiment in chosen}
    for experiment in chosen:
        key = registry.baseline(experiment)
        if key:
            wanted.setdefault(key, registry.find(key))
    runs = {}
    for key, experiment in wanted.items():
        path = folder / experiment.name / "metrics.json"
        if path.exists():
            runs[key] = read_json(path)
    return runs


def incomparable(run, other):
    """What differs between the two runs' conditions, as phrases."""
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
    other = runs.get(registry.baseline(experiment))
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
        "ms/iteration (quartiles)": time,
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
    write_whole(folder / "table.md", text)
    write_whole(folder / "table.json", json.dumps(rows, indent=1) + "\n")
    plot(groups, runs, folder / "curves.png", plot_group)
    return text


def main(workload, report, description, arguments):
    """The command line of a report. report: takes folder and experiments,
    writes into the folder, returns the table."""
    parser = argparse.ArgumentParser(description=description)
    every = [e.key for e in registry.EXPERIMENTS if e.workload == workload]
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
        chosen = [registry.find(key) for key in options.keys]
        text = report(options.runs, chosen)
    except (ValueError, OSError) as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 1
    print(text)
    print(f"table and curves are in {options.runs}")
    return 0
