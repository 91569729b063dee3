"""Draws results/method.png, the method in one picture.

Usage, with scripts/ in PYTHONPATH: python3 -m reports.method_picture
"""

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import FancyBboxPatch

from project import ROOT

KEPT, ZEROED, DROPPED = "#2878B5", "#E69F00", "#E4E7EB"
INK, QUIET = "#1C2530", "#5B6673"
UNITS, SAMPLES, TILE = 12, 8, 3  # sizes of the drawing
WIDTH, HEIGHT = 150, 110  # of the drawing; 10 are an inch
COLUMNS = (9, 57, 105)  # left edges of the three methods
PERIOD = 6  # of the pattern drawn for ROW; kept residues of both layers:
RESIDUES = (0, 2, 3), (1, 2, 5)


def grid(axes, left, top, colours, cell=1.0, height=None):
    """Draws an array of colours as cells; returns its right and bottom."""
    height = height or cell
    rows, columns = colours.shape
    for (row, column), colour in np.ndenumerate(colours):
        axes.add_patch(
            plt.Rectangle(
                (left + column * cell, top - (row + 1) * height),
                cell,
                height,
                facecolor=colour,
                edgecolor="white",
                linewidth=0.7,
            )
        )
    return left + columns * cell, top - rows * height


def write(axes, x, y, text, size=9.5, **style):
    style = {"color": INK, "va": "center", **style}
    axes.text(x, y, text, fontsize=size, **style)


def arrow(axes, start, end, y, **style):
    axes.annotate(
        "",
        (end, y),
        (start, y),
        arrowprops={"arrowstyle": "-|>", "color": QUIET, "lw": 1.2, **style},
    )


def marked(shape, kept):
    """An array of colours: KEPT where kept is True."""
    return np.where(np.broadcast_to(kept, shape), KEPT, DROPPED)


def product(axes, left, top, weights, multiplied, output, work, cell=1):
    """One layer of one method: weights, what is multiplied (arrays of cells
    that many units wide), output."""
    middle = top - UNITS / 2
    right, _ = grid(axes, left, top, weights, cell)
    arrow(axes, right + 0.6, right + 3.2, middle)
    left = right + 3.8
    rows, columns = cell * np.array(multiplied.shape)
    inset = (UNITS - columns) / 2
    _, bottom = grid(axes, left + inset, middle + rows / 2, multiplied, cell)
    middle_x = left + UNITS / 2
    write(axes, middle_x, bottom - 1.4, work, 9, ha="center", weight="bold")
    right = left + UNITS
    arrow(axes, right + 0.6, right + 3.2, middle)
    grid(axes, right + 3.8, middle + output.shape[0] / 2, output)


def heading(axes, left, title, line):
    write(axes, left, 99.5, title, 13, weight="bold")
    write(axes, left, 96.4, line, 9.5, color=QUIET)
    for offset, text in (6, "weights"), (21.8, "multiplied"), (35.6, "output"):
        write(axes, left + offset, 92.8, text, 9, color=QUIET, ha="center")


def conventional(axes, left, tops):
    heading(
        axes,
        left,
        "Conventional dropout",
        "a random mask for every sample, after the product",
    )
    everything = marked((UNITS, UNITS), True)
    random = np.random.default_rng(5)
    for top, work in zip(tops, ("100 % of the work", "100 %")):
        mask = random.permuted(
            np.tile([True, False], (SAMPLES, UNITS // 2)), axis=1
        ).T
        output = np.where(mask, KEPT, ZEROED)
        product(axes, left, top, everything, everything, output, work)


def row(axes, left, tops):
    heading(
        axes,
        left,
        "ROW",
        "units are dropped, the same for all samples: rows, then columns",
    )
    residue = np.arange(UNITS) % PERIOD
    kept_1, kept_2 = (np.isin(residue, kept) for kept in RESIDUES)
    half, shape = UNITS // 2, (UNITS, UNITS)
    output = marked((half, SAMPLES), True)
    product(
        axes,
        left,
        tops[0],
        marked(shape, kept_1[:, None]),
        marked((half, UNITS), True),
        output,
        "50 %",
    )
    product(
        axes,
        left,
        tops[1],
        marked(shape, kept_2[:, None] & kept_1),
        marked((half, half), True),
        output,
        "25 %",
    )


def tile(axes, left, tops):
    heading(
        axes,
        left,
        "TILE",
        "synapses are dropped, in 32 x 32 tiles: by (r + c) mod n",
    )
    side = UNITS // TILE
    number = np.add.outer(np.arange(side), np.arange(side)) % side
    for top, residues in zip(tops, ([0, 1], [1, 3])):
        kept = np.isin(number, residues)
        product(
            axes,
            left,
            top,
            marked(kept.shape, kept),
            marked((side // 2, side), True),
            marked((UNITS, SAMPLES), True),
            "50 %",
            TILE,
        )
        for r, c in np.ndindex(side, side):
            write(
                axes,
                left + (c + 0.5) * TILE,
                top - (r + 0.5) * TILE - 0.1,
                str(number[r, c]),
                9,
                ha="center",
                color="white" if kept[r, c] else QUIET,
            )


def methods(axes):
    tops = 91, 75.5
    conventional(axes, COLUMNS[0], tops)
    row(axes, COLUMNS[1], tops)
    tile(axes, COLUMNS[2], tops)
    for number, top in enumerate(tops, 1):
        write(
            axes,
            6.5,
            top - UNITS / 2,
            f"layer {number}",
            10,
            rotation=90,
            ha="center",
            weight="bold",
        )
    legend = (
        (KEPT, "computed and used"),
        (ZEROED, "computed, then set to 0"),
        (DROPPED, "not read, not computed"),
    )
    x = 9
    for colour, text in legend:
        grid(axes, x, 60.6, np.array([[colour]]), 1.4)
        write(axes, x + 2.1, 59.9, text, 9)
        x += 8 + 1.05 * len(text)


def strip(axes, left, title, lines, patterns, notes, below):
    """Kept units of 32 over iterations, one pattern (period, residues) each;
    below is written under them."""
    write(axes, left, 53.2, title, 12, weight="bold")
    for offset, line in enumerate(lines):
        write(axes, left, 50.5 - 2.3 * offset, line, 9.5, color=QUIET)
    unit = np.arange(32)
    kept = np.array([np.isin(unit % n, residues) for n, residues in patterns])
    top, height = 44.3, 1.75
    right, bottom = grid(axes, left, top, marked(kept.shape, kept), 1.3, height)
    write(axes, left, bottom - 1.4, below, 9, color=QUIET)
    write(
        axes,
        left - 1.5,
        (top + bottom) / 2,
        "iterations",
        9,
        color=QUIET,
        rotation=90,
        ha="center",
    )
    for index, note in enumerate(notes):
        y = top - (index + 0.5) * height
        write(axes, right + 1.2, y, note, 8.5, color=QUIET)


def families(axes):
    periods = (1, 3, 2, 4, 6, 1, 4, 2)
    residues = (0, 1, 1, 2, 0, 0, 3, 0)
    strip(
        axes,
        9,
        "Family PERIOD (the paper's)",
        (
            "K is over the period n; every n-th unit is kept, from a random",
            "residue on. The kept share changes with n; its mean is 1 - p.",
        ),
        [(n, [b]) for n, b in zip(periods, residues)],
        [f"n = {n}: {100 / n:.0f} % kept" for n in periods],
        "units 0 to 31",
    )
    random = np.random.default_rng(3)
    strip(
        axes,
        82,
        "Family RESIDUE (ours)",
        (
            "The period n is fixed, 16 here; K is over how many residues,",
            "m, are kept, 8 here; which ones is random: 12,870 sub-models.",
        ),
        [(16, random.permutation(16)[:8]) for _ in periods],
        ["m = 8: 50 % kept" for _ in periods],
        "units 0 to 31; the pattern repeats after 16",
    )


def box(axes, left, title, lines):
    """A step of the chain; returns its left and right edges."""
    width, bottom, height = 27, 5.5, 12.5
    axes.add_patch(
        FancyBboxPatch(
            (left, bottom),
            width,
            height,
            boxstyle="round,pad=0,rounding_size=1.2",
            facecolor="#F3F6F9",
            edgecolor="#B9C4CF",
        )
    )
    middle = left + width / 2
    write(axes, middle, 15.4, title, 11, weight="bold", ha="center")
    for index, line in enumerate(lines):
        y = 12.2 - 2.2 * index
        write(axes, middle, y, line, 9, color=QUIET, ha="center")
    return left, left + width


def chain(axes):
    steps = (
        (
            "PatternSearch",
            "once a run: finds K,",
            "how likely each pattern is,",
            "for the rate p",
        ),
        (
            "DropoutPattern",
            "every training pass:",
            "draws a pattern from K",
            "by seed and count",
        ),
        (
            "ApproxDropout layers",
            "InnerProduct, LSTM:",
            "forward and backward",
            "of the kept part",
        ),
        (
            "Solver",
            "updates what was kept;",
            "the rest catches up when",
            "it is next needed",
        ),
    )
    handed = ("K", "pattern", "gradients")
    edges = [
        box(axes, 9 + 37.5 * index, title, lines)
        for index, (title, *lines) in enumerate(steps)
    ]
    for (_, start), (end, _), text in zip(edges, edges[1:], handed):
        arrow(axes, start + 0.6, end - 0.6, 11.5)
        write(axes, (start + end) / 2, 13.3, text, 9.5, ha="center")
    write(
        axes,
        9,
        2.2,
        "In training, what is kept is multiplied by 1 / (1 - p); in the test "
        "phase everything is kept and there is no factor.",
        9.5,
        color=QUIET,
    )


def draw(path):
    figure = plt.figure(figsize=(WIDTH / 10, HEIGHT / 10))
    axes = figure.add_axes([0, 0, 1, 1])
    axes.set(xlim=(0, WIDTH), ylim=(0, HEIGHT))
    axes.axis("off")
    rate = "drawn for rate p = 0.5"
    write(axes, 148, 105.3, rate, 10, color=QUIET, ha="right")
    write(
        axes,
        9,
        105.5,
        "Approximate random dropout computes only what is kept",
        17,
        weight="bold",
    )
    methods(axes)
    families(axes)
    write(axes, 9, 22.5, "From the rate to the update", 12, weight="bold")
    chain(axes)
    for y in (57, 25.5):
        axes.plot([9, 148], [y, y], color="#D5DBE1", lw=1)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--output", type=Path, default=ROOT / "results/method.png"
    )
    draw(parser.parse_args(arguments).output)


if __name__ == "__main__":
    main()
