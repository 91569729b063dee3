"""The tables of docs/results.md on LSTMs: how well they learn, and races."""

from paper import collect, reported
from paper.figures import (
    METHODS,
    RATES,
    interval,
    number,
    race,
    raced,
    report_cell,
    results,
    shown,
    table,
)


def percent(compared):
    """How far values are from others of the same seeds, with the interval.

    compared: as collect.compared gives it.
    """
    if compared["percent"] is None:
        return "X"
    text = f"{number(compared['percent'], '+.1f')} %"
    if compared["percent_interval"]:
        text += f" {interval(compared['percent_interval'], '+.1f')}"
    return text


def perplexity(study, point, series):
    """A test perplexity, with its distance from conventional dropout's."""
    cell = report_cell(study, point, series)
    cell = cell.get("perplexity", cell)
    if cell["mean"] is None:
        return "X"
    text = f"{cell['mean']:.1f}"
    if cell["percent"] is not None:
        text += f" ({percent(cell)})"
    if cell["measured"] > 1:
        text += f" ({cell['measured']})"
    return text


@shown
def perplexities():
    nets = (
        ("small", "0.3", "2×200, its recipe's 13 epochs, 0.3"),
        ("small", "0.5", "0.5"),
        ("small", "0.7", "0.7"),
        ("groups", "20, 1", "0.5, one pattern for all samples"),
        ("groups", "40, 2-4", "0.5, batch 40"),
        ("medium", "0.5", "2×650, 0.5, the first 3 of its recipe's 39 epochs"),
        ("table2", "0.3", "2×200, 8,800 words, short recipe, 0.3"),
        ("table2", "0.5", "0.5"),
        ("table2", "0.7", "0.7"),
        ("fig6a", "0.3", "3×200, short recipe, 0.3"),
        ("fig6a", "0.5", "0.5"),
        ("fig6a", "0.7", "0.7"),
        ("fig6b", "30", "0.5, batch 30"),
        ("fig6b", "40", "0.5, batch 40"),
    )
    lines = []
    for study, point, title in nets:
        cells = results("reproduction/report.json")["studies"][study]
        compared = {cell["series"] for cell in cells}
        lines.append(
            [title]
            + [
                perplexity(study, point, series) if series in compared else ""
                for series in ("conventional", *METHODS)
            ]
        )
    heads = ["LSTM, rate", "conventional", *METHODS.values()]
    return table(heads, lines)


@shown
def recurrent_dropout():
    """Perplexities with dropout in the product with h_{t-1} too."""
    lines = []
    for series in ("row", "tile"):
        title = METHODS[series]
        for rate in RATES:
            points = rate, f"{rate}, recurrent"
            without, with_it = (
                report_cell("recurrent", point, series)["values"]
                for point in points
            )
            lines.append(
                [title, rate]
                + [perplexity("recurrent", point, series) for point in points]
                + [percent(collect.compared(with_it, without))]
            )
            title = ""
    heads = ["", "rate", "without", "recurrent", "recurrent over without"]
    return table(heads, lines)


@shown
def group_races():
    groups = "1", "2", "4", "2-4", "2-10"
    lines, source = [], []
    for batch in (20, 40):
        title = f"batch {batch}: "
        source += raced("groups", [f"{batch}, 1"], f"batch {batch}")
        for series in ("row", "tile"):
            cells = [
                race("groups", f"{batch}, {number}", series, ".1f")
                for number in groups
            ]
            lines.append([title + METHODS[series], *cells])
            title = ""
    return table(["", "1 group", *groups[1:]], lines, source)


@shown
def paper_lstms():
    nets = [
        ("table2", "0.3", "2×1500, 8,800 words (Table II), 0.3"),
        ("table2", "0.5", "0.5"),
        ("table2", "0.7", "0.7"),
        ("fig6a", "0.3", "3×1500, 10,000 words (Fig. 6a), 0.3"),
        ("fig6a", "0.5", "0.5"),
        ("fig6a", "0.7", "0.7"),
        ("fig6b", "30", "the same, 0.5, batch 30 (Fig. 6b)"),
        ("fig6b", "40", "0.5, batch 40"),
        ("small", "0.3", "2×200, 10,000 words, 0.3"),
        ("small", "0.5", "0.5"),
        ("small", "0.7", "0.7"),
    ]
    labels = {"table2": "2×1500", "fig6a": "3×1500", "small": "2×200"}
    lines, source = [], []
    for study, point, title in nets:
        label = labels.get(study, f"batch {point}")
        source += raced(study, [point], label)
        cells = [title]
        for series in METHODS:
            try:
                cells.append(race(study, point, series))
            except ValueError:  # not in the study
                cells.append("")
        for series in ("row_period", "tile_period"):
            claim = reported.number(study, point, series, "speed_up")
            cells.append(claim if isinstance(claim, str) else f"{claim:g}")
        lines.append(cells)
    heads = ["rate", *METHODS.values(), "the paper: ROW", "TILE"]
    return table(heads, lines, source)
