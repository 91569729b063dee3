"""The tables of docs/distributed.md, of what measure_ranks.py has measured and
modelled."""

import statistics

from distributed import report
from distributed.runs import BESIDE, EXCHANGE
from paper.figures import results, shown, table

RESULTS = "ranks/ranks_2.json"
RANKS = 8, 64, 1024


@shown
def rank_steps():
    measured = results(RESULTS)
    cases = report.grouped(measured)
    speeds = list(map(float, measured["links"]))
    lines = []
    for name, net in measured["nets"].items():
        beside = report.median(cases[name, BESIDE, 2, 0, False], "step_ms")
        line = [f"{net['title']}, {net['batch']}", f"{beside:.0f}"]
        sent = []
        for gbit in speeds:
            for whole in report.STYLES:
                found = cases[name, EXCHANGE, 2, gbit, whole]
                shares = report.efficiencies(measured, name, found)
                line.append(f"{statistics.median(shares):.2f}")
                if gbit == speeds[0]:
                    sent.append(report.median(found, "sent_bytes") / 1e6)
        line.insert(2, f"{sent[0]:.0f} of {sent[1]:.0f}")
        lines.append(line)
    heads = [
        f"{gbit:g} Gbit/s: {label}"
        for gbit in speeds
        for label in ("kept", "whole")
    ]
    return table(["net, batch", "ms alone", "MB sent", *heads], lines)


@shown
def rank_model():
    """Efficiency by the better of ring and tree."""
    lines = {}
    for curve in results("ranks/model.json")["curves"]:
        start = f"{curve['net']}, {curve['batch']}", f"{curve['gbit']:g}"
        line = lines.setdefault(start, list(start))
        best = [max(pair) for pair in zip(curve["tree"], curve["ring"])]
        line += [f"{best[curve['ranks'].index(n)]:.2f}" for n in RANKS]
    heads = [f"{what}, {n}" for what in ("kept", "whole") for n in RANKS]
    return table(["net, batch", "Gbit/s", *heads], list(lines.values()))


@shown
def rank_links():
    measured, fitted = results(RESULTS), results("ranks/model.json")
    lines = [
        [
            f"{gbit} Gbit/s",
            f"{link['bytes_per_s'] / 1e6:.0f} MB/s",
            f"{link['latency_us']:.0f} µs",
        ]
        for gbit, link in measured["links"].items()
    ]
    return table(["link", "TCP reaches", "latency, one way"], lines) + (
        f"\nFitted: {fitted['link_share']:.0%} of a link's nominal speed, and "
        f"{fitted['handling_ns_per_byte']:.1f} ns of the processor for each\n"
        "byte that a rank sends. With that the model misses no measured step "
        f"by more than {fitted['largest_error']:.0%}.\n"
    )
