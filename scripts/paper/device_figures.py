"""The table of docs/gpu.md: what an iteration asks of a GPU, and the time that
the model of a card makes of it. Of the counts that scripts/profile_steps.py has
left in results/gpu_model."""

import functools
import json
import lzma

from gpu import card_model
from paper.figures import number, shown, table
from project import ROOT

COUNTS = ROOT / "results/gpu_model/profile.json.xz"
METHODS = "row", "tile"


@functools.cache
def runs():
    """The counted runs by net, rate and method; nets and rates in order."""
    found = {}
    for run in json.loads(lzma.decompress(COUNTS.read_bytes()))["runs"]:
        net = found.setdefault(run["net"], {})
        net.setdefault(run["rate"], {})[run["method"]] = run
    return found


def cells(run, stock):
    """Of our run: launches by the host, milliseconds, speed-up; X for a run
    that was not counted."""
    if not run:
        return ["X"] * 3
    seconds = card_model.total_s(run)
    return [
        f"{card_model.host_launches(run):.0f}",
        number(seconds * 1e3),
        number(card_model.total_s(stock) / seconds),
    ]


@shown
def device_model():
    lines = []
    for net, rates in runs().items():
        title = net.replace("-", "–").replace("x", "×")
        for rate, methods in rates.items():
            stock = methods["conventional"]
            line = [
                title,
                f"{rate:g}",
                f"{card_model.host_launches(stock):.0f}",
                number(card_model.total_s(stock) * 1e3),
            ]
            for method in METHODS:
                line += cells(methods.get(method), stock)
            lines.append(line)
            title = ""
    heads = ["", "rate", "stock: launches", "ms"]
    for method in METHODS:
        heads += [f"{method.upper()}: launches", "ms", "speed-up"]
    return table(heads, lines)
