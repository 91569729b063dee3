"""The pictures of the paper's report, as PNG files."""

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import FixedLocator

from paper import reported
from paper.collect import curve, gap
from reports.curves import FULL_TITLES, STYLES
from training.drop_rates import unit_rates

MEASURES = {
    "accuracy": "test accuracy, %",
    "perplexity": "test perplexity",
}
GAPS = (-5, -2, -1, -0.5, 0, 0.5, 1, 2, 5, 10, 20, 50)  # percent, of ticks
EMPTY = "nothing measured yet"
DPI = 110


def _save(figure, path):
    figure.savefig(path, dpi=DPI, bbox_inches="tight")
    plt.close(figure)


def _finish(axes, title):
    axes.set_title(title, loc="left", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25, lw=0.6)
    if not axes.has_data():
        axes.text(0.5, 0.5, EMPTY, transform=axes.transAxes, ha="center")


def _legend(figure):
    """One for all axes, above them."""
    handles = {}
    for axes in figure.axes:
        for handle, label in zip(*axes.get_legend_handles_labels()):
            handles.setdefault(label, handle)
    if handles:
        figure.legend(
            handles.values(),
            handles.keys(),
            loc="lower center",
            bbox_to_anchor=(0.5, 1),
            ncol=3 * len(figure.axes),
            fontsize=8,
            frameon=False,
        )


def _places(study):
    """Where a point's series stand: {(point, series): place}, beside each
    other around the point's number."""
    return {
        (point.label, series): number
        + 0.12 * (i - (len(point.trained) - 1) / 2)
        for number, point in enumerate(study.points)
        for i, series in enumerate(point.trained)
    }


def _series(axes, places, cells, value, spread):
    """The cells that have a value; spread: None or [lower, upper], lengths of
    the error bar."""
    for series in dict.fromkeys(cell["series"] for cell in cells):
        mine = [
            cell
            for cell in cells
            if cell["series"] == series and value(cell) is not None
        ]
        if not mine:
            continue
        axes.errorbar(
            [places[cell["point"], series] for cell in mine],
            [value(cell) for cell in mine],
            np.transpose([spread(cell) or (0, 0) for cell in mine]),
            color=STYLES[series][0],
            ls="none",
            marker="o",
            ms=4,
            capsize=2,
            label=FULL_TITLES[series],
        )


def _paper(axes, study, places, what):
    """The paper's own numbers, as hollow diamonds."""
    label = "the paper"
    numbers = reported.NUMBERS.get(study.name, {})
    for at, cell in numbers.items():
        value = cell.get(what)
        if at in places and isinstance(value, (int, float)):
            axes.plot(
                places[at],
                value,
                "D",
                mfc="none",
                color=STYLES[at[1]][0],
                label=label,
            )
            label = None


def _range(cell):
    low, high = cell["speed_up_range"]
    return cell["speed_up"] - low, high - cell["speed_up"]


def _error(cell):
    return cell["standard_error"] and [cell["standard_error"]] * 2


def draw_study(study, cells, path):
    """Speed-up, where it was timed, and the measure by point."""
    labels = [point.label for point in study.points]
    places = _places(study)
    timed = any(point.timed for point in study.points)
    width = max(6, 0.8 * len(labels))  # inches
    figure, grid = plt.subplots(
        1, 1 + timed, figsize=((1 + timed) * width, 4), squeeze=False,
        layout="constrained",
    )  # fmt: skip
    right = grid[0, -1]
    _series(right, places, cells, lambda cell: cell["mean"], _error)
    _paper(right, study, places, "value")
    title = MEASURES[study.measure].capitalize()
    _finish(right, f"{title}, mean and standard error")
    if timed:
        left = grid[0, 0]
        _series(left, places, cells, lambda cell: cell["speed_up"], _range)
        _paper(left, study, places, "speed_up")
        _finish(left, "Speed-up of a training step, lowest to highest round")
    for axes in grid[0]:
        axes.set_xticks(
            range(len(labels)),
            [label.replace(", ", ",\n") for label in labels],
            fontsize=8,
        )
        axes.set_xlim(-0.5, len(labels) - 0.5)
        axes.set_xlabel(study.varies)
    _legend(figure)
    _save(figure, path)


def draw_curves(study, results, path):
    """The measure in the course of training, mean and range of the seeds, a
    panel for each point."""
    panels = len(study.points)
    figure, grid = plt.subplots(
        1, panels, figsize=(8 if panels == 1 else 6 * panels, 4),
        squeeze=False, sharey=True, layout="constrained",
    )  # fmt: skip
    measure = MEASURES[study.measure].capitalize()
    title = f"{measure}, mean and range of the seeds"
    for axes, point in zip(grid[0], study.points):
        _curves(axes, study, point, results)
        _finish(axes, f"{title}: {point.label}" if panels > 1 else title)
        axes.set_xlabel("epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
    _legend(figure)
    _save(figure, path)


def _curves(axes, study, point, results):
    """A line for each series of a point."""
    for series, experiment in point.trained.items():
        runs = results.finished(experiment, point.seeds).values()
        curves = [curve(run, study.measure) for run in runs]
        if not curves:
            continue
        epochs = list(curves[0])
        values = np.array([list(values.values()) for values in curves])
        colour, line = STYLES[series]
        axes.plot(
            epochs,
            values.mean(0),
            line,
            color=colour,
            marker="o",
            ms=3,
            label=FULL_TITLES[series],
        )
        axes.fill_between(
            epochs, values.min(0), values.max(0), color=colour, alpha=0.15
        )


def draw_gaps(study, results, path):
    """How far perplexity is above the conventional net's, by epoch: a panel
    for each other series, a line for each point, mean of the seeds."""
    others = list(study.points[0].trained)
    others.remove("conventional")
    figure, grid = plt.subplots(
        1, len(others), figsize=(6 * len(others), 4), squeeze=False,
        sharey=True, layout="constrained",
    )  # fmt: skip
    colours = plt.cm.viridis(np.linspace(0, 0.9, len(study.points)))
    for axes, series in zip(grid[0], others):
        for point, colour in zip(study.points, colours):
            percent = gap(results, point, series, study.measure)
            if percent:
                axes.plot(
                    percent.keys(),
                    percent.values(),
                    "o-",
                    ms=3,
                    color=colour,
                    label=f"{study.varies}: {point.label}",
                )
        title = f"{FULL_TITLES[series]}: perplexity above conventional, %"
        _finish(axes, title)
        axes.axhline(0, color="black", lw=0.8)
        axes.set_yscale("symlog", linthresh=1)
        axes.yaxis.set_major_locator(FixedLocator(GAPS))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.set_xlabel("epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
    _legend(figure)
    _save(figure, path)


def draw_searches(searches, path):
    """K of each search, one panel a family and rate; searches that differ in
    nothing else but what used them are one line."""
    panels = {}
    for search in searches:
        label = f"N = {search['max_period']}"
        if search["lambda3"] is not None:
            label += f", λ3 = {search['lambda3']:g}"
        panel = panels.setdefault((search["family"], search["rate"]), {})
        panel[label] = search["probability"]
    columns = 3
    rows = max(1, -(-len(panels) // columns))
    figure, grid = plt.subplots(
        rows, columns, figsize=(12, 2.8 * rows), squeeze=False,
        layout="constrained",
    )  # fmt: skip
    for axes, ((family, rate), lines) in zip(
        grid.flat, sorted(panels.items())
    ):
        for label, K in lines.items():
            axes.plot(range(1, len(K) + 1), K, "o-", ms=3, lw=1, label=label)
        axes.legend(fontsize=8, frameon=False)
        _finish(axes, f"{family}, p = {rate:g}")
        kept = "period" if family == "PERIOD" else "residues kept of N"
        axes.set_xlabel(kept, fontsize=8)
        axes.set_ylabel("K", fontsize=8)
        axes.xaxis.get_major_locator().set_params(integer=True)
    for axes in list(grid.flat)[len(panels) :]:
        axes.set_axis_off()
    _save(figure, path)


def draw_units(shown, path):
    """How often each unit was dropped, one panel for each of shown, (title,
    experiment, layer of its metrics, units, rate)."""
    columns = 2
    rows = max(1, -(-len(shown) // columns))
    figure, grid = plt.subplots(
        rows, columns, figsize=(12, 2.6 * rows), squeeze=False,
        layout="constrained",
    )  # fmt: skip
    for axes, (title, experiment, layer, units, rate) in zip(grid.flat, shown):
        rates = unit_rates(layer, experiment.place_groups[0], units)
        axes.plot(rates, ".", ms=2, color=STYLES[experiment.method][0])
        axes.axhline(rate, color="black", lw=0.8)
        margin = max(0.02, 1.3 * np.abs(rates - rate).max())
        axes.set_ylim(rate - margin, rate + margin)
        _finish(axes, title)
        axes.set_xlabel("unit" if experiment.pattern == "ROW" else "diagonal")
        axes.set_ylabel("share dropped")
    for axes in list(grid.flat)[len(shown) :]:
        axes.set_axis_off()
    _save(figure, path)
