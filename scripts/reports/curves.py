"""The pictures of runs: accuracy or perplexity by epoch, loss by time."""

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from nets.experiment import APPROXIMATE

TITLES = {
    "none": "no dropout",
    "conventional": "conventional",
    "row": "ROW",
    "tile": "TILE",
    "row_period": "ROW, PERIOD",
    "tile_period": "TILE, PERIOD",
    "tile_before": "TILE, tiles before",
}
OWNERS = {"RESIDUE": "ours", "PERIOD": "the paper's"}
FULL_TITLES = {
    "conventional": TITLES["conventional"],
    **{
        method: f"{pattern}, {family} ({OWNERS[family]})"
        for method, (pattern, family) in APPROXIMATE.items()
    },
}
STYLES = {
    "none": ("#888888", "-"),
    "conventional": ("#000000", "-"),
    "row": ("#0072B2", "-"),
    "tile": ("#D55E00", "-"),
    "row_period": ("#56B4E9", "--"),
    "tile_period": ("#E69F00", "--"),
}
LABEL_GAP = 0.075  # of the axes' height, between the labels of two curves


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
