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


def product_s(m, n, k):
    """A product of float32 by the model; C is m x n."""
    work = {
        "launches": 1,
        **{"m": m, "n": n, "k": k, "batch": 1},
        "read_bytes": card_model.FLOAT_BYTES * k * (m + n),
        "written_bytes": card_model.FLOAT_BYTES * m * n,
    }
    return card_model.gemm_s(work, card_model.H200)


@shown
def dense_lstm():
    """The least that a dense LSTM 2x1500 takes by the model: its products, and
    W_hc read once in each step, forward and backward."""
    units, words, layers, steps, samples = 1500, 10000, 2, 35, 20
    gates, rows = 4 * units, steps * samples

    def three(outputs):  # forward, for the input, for the weights
        return (
            product_s(outputs, rows, units)
            + product_s(units, rows, outputs)
            + product_s(units, outputs, rows)
        )

    recurrent_bytes = card_model.FLOAT_BYTES * gates * units
    readings = layers * (2 * steps - 1)  # no gradient goes before the first
    seconds = {
        "W_xc": layers * three(gates),
        "softmax": three(words),
        "W_hc's gradient": layers * product_s(units, gates, rows),
        "W_hc in the steps": readings
        * recurrent_bytes
        / card_model.H200.memory_bytes,
    }
    seconds["together"] = sum(seconds.values())
    milliseconds = [number(value * 1e3) for value in seconds.values()]
    return table([f"{what}: ms" for what in seconds], [milliseconds])
