"""Tables of what iterations ask of a GPU (measure/device_counts.py)."""

import math

from gpu import card_model
from reports.curves import TITLES
from reports.table import table

MODEL = (
    "Times are those of a model of an H200, no measurement; docs/gpu.md has "
    "its formulas."
)
HEAD = """\
# What an iteration asks of a GPU

Counted on the emulated device; the mean of several iterations. Needed: of the
bytes that the kernels' warps move between cache and multiprocessors, in sectors
of 32, those that they asked for. Conflicts: turns of shared memory that another
layout would save. Speed-up: of the model's times, against stock Caffe's
conventional dropout of the same rate.
"""


def title(run):
    """What a run is called in tables."""
    if run["method"] == "conventional":
        return "stock, conventional" if run["rate"] else "stock, no dropout"
    return TITLES[run["method"]]


def total(items, *fields):
    return sum(item[field] for item in items for field in fields)


def of_kind(run, *kinds):
    return [work for work in run["work"] if work["kind"] in kinds]


def calls(run, kind):
    return total((c for c in run["calls"] if c["kind"] == kind), "count")


def moved_mb(works):
    return total(works, "read_bytes", "written_bytes") / 1e6


def needed(works):
    """Share of the moved bytes that was asked for, as text."""
    sectors = total(works, "sectors")
    if not sectors:
        return "-"
    return f"{100 * total(works, 'needed_bytes') / 32 / sectors:.0f} %"


def line(run, stock):
    """A run in the summary; stock: that of stock Caffe's at its rate, or
    None."""
    gemms, others = of_kind(run, "gemm"), of_kind(run, "kernel", "library")
    speed_up = f"{stock['model_s'] / run['model_s']:.2f}" if stock else "-"
    return {
        "rate": f"{run['rate']:g}",
        "method": title(run),
        "launches": f"{card_model.host_launches(run):.0f}",
        "GEMMs": f"{total(gemms, 'launches'):.0f}",
        "GFLOP": f"{total(gemms, 'flops') / 1e9:.1f}",
        "GEMMs' MB": f"{moved_mb(gemms):.0f}",
        "others' MB": f"{moved_mb(others):.0f}",
        "needed": needed(others),
        "conflicts": f"{total(others, 'bank_conflicts'):.2g}",
        "waits": f"{calls(run, 'wait'):.3g}",
        "copies": f"{calls(run, 'copy'):.3g}",
        "allocations": f"{calls(run, 'allocation'):.3g}",
        "model ms": f"{run['model_s'] * 1e3:.2f}",
        "model speed-up": speed_up,
    }


def summary(name, runs):
    """A net's table, with its name."""
    stock = {r["rate"]: r for r in runs if r["method"] == "conventional"}
    lines = [line(run, stock.get(run["rate"])) for run in runs]
    return f"## {name}\n\n{table(lines, [MODEL])}"


def summaries(runs):
    """The tables of all nets."""
    return "\n".join(
        summary(name, [run for run in runs if run["net"] == name])
        for name in dict.fromkeys(run["net"] for run in runs)
    )


def shape(work):
    """What tells work of one name apart, as text."""
    if work["kind"] == "gemm":
        text = f"{work['m']}x{work['n']}x{work['k']}"
        if work["batch"] > 1:
            text += f", batch {work['batch']}"
        return text + ("" if work["aligned"] else ", unaligned")
    if work["kind"] == "library":
        return ""
    blocks, threads = math.prod(work["grid"]), math.prod(work["block"])
    return f"{blocks} x {threads}"


def merged(works):
    """Works of one name and of shapes that differ slightly, as patterns do, in
    one line: {name: (shapes, works)}; GEMMs keep theirs."""
    groups = {}
    for work in works:
        alone = shape(work) if work["kind"] == "gemm" else ""
        groups.setdefault((work["name"], alone), []).append(work)
    return groups


def kernels(run):
    """Each kernel of a run, the one that takes longest by the model first."""
    lines = []
    for (name, alone), works in merged(run["work"]).items():
        seconds = sum(map(card_model.work_s, works))
        shapes = {shape(work) for work in works}
        launches = total(works, "launches")
        cells = {
            "kernel": name,
            "blocks x threads": alone
            or (shapes.pop() if len(shapes) == 1 else "several"),
            "launches": f"{launches:.3g}",
            "MB": f"{moved_mb(works):.1f}",
            "needed": needed(works),
            "conflicts": f"{total(works, 'bank_conflicts'):.2g}",
            "model us": f"{seconds * 1e6:.0f}",
            "us a launch": f"{seconds / launches * 1e6:.1f}",
        }
        lines.append((seconds, cells))
    lines.sort(key=lambda item: -item[0])
    return [cells for _, cells in lines]


def page(results):
    """The whole report in Markdown."""
    runs = results["runs"]
    text = [
        HEAD,
        f"`{results['command']}`, commit {results['commit']}, "
        f"{results['date'][:10]}.\n",
        summaries(runs),
    ]
    for run in runs:
        waits = [
            f"{call['kind']}, {call['name']}: {call['count']:.3g} of "
            f"{call['bytes']:.4g} bytes in all"
            for call in run["calls"]
        ]
        text.append(
            f"## {run['net']}, {title(run)}, rate {run['rate']:g}\n\n"
            + table(kernels(run), waits)
        )
    return "\n".join(text)
