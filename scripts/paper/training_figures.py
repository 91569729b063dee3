"""The tables of docs/results.md on studies of trainings: how long they are,
RESIDUE's N."""

from paper.figures import (
    METHODS,
    difference,
    number,
    report_cell,
    shown,
    table,
)
from paper.tables import settled

RESIDUE_METHODS = "row", "tile"
LONG_METHODS = "conventional", "row", "tile", "row_period"


@shown
def residue_periods():
    lines = []
    for series in RESIDUE_METHODS:
        title = METHODS[series]
        for rate in ("0.3", "0.7"):
            few, whole, conventional = (
                report_cell("residues", f"{rate}: {N}", name)["values"]
                for N, name in (
                    (16, series),
                    (20, series),
                    (16, "conventional"),
                )
            )
            compared = (few, conventional), (whole, conventional), (whole, few)
            lines.append(
                [title, rate, *(difference(*pair) for pair in compared)]
            )
            title = ""
    heads = ["", "rate", "N = 16", "N = 20", "N = 20 over 16"]
    return table(heads, lines)


@shown
def convergence():
    lines = []
    for rate in ("0.5", "0.7"):
        title = rate
        for series in LONG_METHODS:
            cell = report_cell("convergence", rate, series)
            change = ""
            if series != "conventional":
                other = report_cell("convergence", rate, "conventional")
                change = difference(cell["values"], other["values"])
            lines.append(
                [
                    title,
                    METHODS.get(series, series),
                    str(cell["measured"]),
                    number(cell["mean"]),
                    settled(cell["settled"]) or "X",
                    change,
                ]
            )
            title = ""
    heads = ["rate", "", "seeds", "accuracy, %", "after epochs"]
    return table([*heads, "over conventional, points"], lines)
