"""What the reports of classifiers share: accuracy, in a table and as curves."""

from matplotlib.ticker import LogLocator, NullFormatter

from reports import curves, table

ACCURACY_BELOW = 2.5  # points shown below the worst final accuracy


def outcome(tests):
    return {"accuracy": tests[-1]["accuracy"] if tests else None}


def cells(numbers):
    """A row as text, {title of the column: cell}."""
    accuracy = table.percent(numbers["accuracy"])
    return table.cells(numbers, {"test accuracy, %": accuracy})


def in_percent(test):
    return test["accuracy"] and 100 * test["accuracy"]


def plot_rate(left, right, rate, runs):
    """Accuracy and training loss of one rate's runs, (method, metrics)."""
    right.set_yscale("log")
    right.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    right.yaxis.set_major_formatter("{x:g}")
    right.yaxis.set_minor_formatter(NullFormatter())
    accuracies = curves.curves_by_epoch(runs, in_percent, ".2f")
    if accuracies:
        bottom = min(y[-1] for _, _, y, _ in accuracies) - ACCURACY_BELOW
        top = max(max(y) for _, _, y, _ in accuracies)
        left.set_ylim(bottom, top + (top - bottom) / 20)
    curves.draw(left, accuracies)
    curves.draw(right, curves.loss_curves(runs))
    left.set_title(f"Test accuracy, %, {rate}", loc="left")
    right.set_title(f"Training loss, {rate}", loc="left")


def report(folder, chosen):
    """Writes table.md, table.json and curves.png; returns the table."""
    runs = table.read_runs(folder, chosen)
    rows = [table.row(experiment, runs, outcome) for experiment in chosen]
    text = table.table(list(map(cells, rows)), table.notes(rows, runs))
    groups = table.by_rate(chosen)
    return table.write(folder, rows, text, groups, runs, plot_rate)
