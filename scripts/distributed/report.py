"""Table, fit and picture of what measure_ranks.py has measured."""

import json
import re
import statistics

from distributed import model
from distributed.runs import BESIDE, EXCHANGE
from project import read_json, write_whole
from reports.curves import plt
from reports.table import table

HEAD = """\
# Several ranks

Measured: ms per step, medians of stretches of the log. Efficiency: the step of
ranks side by side that exchange nothing, over this one; in brackets the least
and the largest of the rounds. Sent: what a rank gives to the exchange. On the
wire: what leaves a host in a step, headers and acknowledgements included.
Taken: from a step's first message to its last sum; waited: of that, without
computing. Model: what it says of the same step.
"""
MODELLED = """\
## The model, not measured

Efficiency of N ranks, each with one core as above and a batch of its own, by
the better of ring and tree. {fit}
"""
SHOWN_RANKS = (2, 8, 64, 1024)
STYLES = {
    # whether whole gradients travel: colour, label
    False: ("#0072B2", "kept rows"),
    True: ("#D55E00", "whole gradients"),
}
LINES = {model.TREE: "-", model.RING: ":"}


def read(folder):
    """The results in the folder, those with the fewest ranks first."""
    paths = sorted(
        folder.glob("ranks_*.json"),
        key=lambda path: int(re.sub(r"\D", "", path.name)),
    )
    if not paths:
        raise ValueError(f"{folder} has no ranks_*.json: nothing was measured")
    return [read_json(path) for path in paths]


def same(run):
    """What runs of one case have in common."""
    return run["net"], run["kind"], run["ranks"], run["gbit"], run["whole"]


def grouped(results):
    """{case: its runs, one of each round}."""
    found = {}
    for run in results["runs"]:
        found.setdefault(same(run), []).append(run)
    return found


def median(found, field):
    return statistics.median(run[field] for run in found)


def compute_ms(results, name):
    """The step of ranks side by side: [one of each round], or []."""
    return [
        run["step_ms"]
        for run in results["runs"]
        if (run["net"], run["kind"]) == (name, BESIDE)
    ]


def link(results, gbit):
    """The model's link of that speed."""
    measured = results["links"][f"{gbit:g}"]
    return model.Link(gbit * 1e9 / 8, measured["latency_us"] * 1e-6)


def fitted(every):
    """The model's constants, and the largest error of a step: of all exchanges
    that were timed. None if there are none."""
    measured = []
    for results in every:
        for (name, kind, ranks, gbit, whole), found in grouped(results).items():
            alone = compute_ms(results, name)
            if kind == EXCHANGE and alone:
                net = results["nets"][name]
                start = statistics.median(alone) / 1e3
                arguments = net, start, ranks, link(results, gbit), whole
                measured.append((arguments, median(found, "step_ms") / 1e3))
    if not measured:
        return None
    exchange = model.fit(measured)
    errors = [
        model.step_s(*arguments, exchange) / seconds - 1
        for arguments, seconds in measured
    ]
    return exchange, max(map(abs, errors))


def efficiencies(results, name, found):
    """Of runs of one case, round by round."""
    return [
        beside / run["step_ms"]
        for beside, run in zip(compute_ms(results, name), found)
    ]


def efficiency(results, name, found):
    """ "0.61 (0.60–0.63)"."""
    shares = efficiencies(results, name, found)
    if not shares:
        return "-"
    text = f"{statistics.median(shares):.2f}"
    if len(shares) > 1:
        text += f" ({min(shares):.2f}–{max(shares):.2f})"
    return text


def row(results, key, found, fit):
    """A line of the table."""
    name, kind, ranks, gbit, whole = key
    net = results["nets"][name]
    timed = not results["only_bytes"]
    exchanges = kind == EXCHANGE
    alone = compute_ms(results, name)
    line = {
        "net": net["title"],
        "batch": str(net["batch"]),
        "ranks": str(ranks) if exchanges else kind,
        "Gbit/s": f"{gbit:g}" if exchanges else "-",
        "exchange": STYLES[whole][1] if exchanges else "-",
        "ms/step": f"{median(found, 'step_ms'):.1f}" if timed else "-",
        "model": "-",
        "efficiency": efficiency(results, name, found) if exchanges else "-",
    }
    for title in ("sent MB", "on the wire MB", "taken ms", "waited ms"):
        line[title] = "-"
    if exchanges:
        sent, all_of_it, wire = (
            median(found, f"{field}_bytes")
            for field in ("sent", "whole", "wire")
        )
        line["sent MB"] = f"{sent / 1e6:.1f} ({sent / all_of_it:.0%})"
        line["on the wire MB"] = f"{wire / 1e6:.1f}"
    if exchanges and timed:
        line["taken ms"] = f"{median(found, 'taken_ms'):.1f}"
        line["waited ms"] = f"{median(found, 'waited_ms'):.1f}"
        start = statistics.median(alone) / 1e3
        step = (net, start, ranks, link(results, gbit), whole, fit[0])
        line["model"] = f"{model.step_s(*step) * 1e3:.1f}"
    return line


def facts(results):
    """Where a file's numbers come from."""
    machine = ", ".join(f"{k} {v}" for k, v in results["machine"].items())
    links = "; ".join(
        f"{gbit} Gbit/s: {link['bytes_per_s'] / 1e6:.0f} MB/s, "
        f"{link['latency_us']:.0f} µs one way"
        for gbit, link in results["links"].items()
    )
    others = (
        "Fewer cores than ranks: only bytes mean something."
        if results["only_bytes"]
        else "Other processes kept at most "
        f"{results['others_busy_cores']:.2f} cores busy."
    )
    return (
        f"`{results['command']}`, {results['date']}, commit "
        f"{results['commit']}, {machine}. Links as TCP finds them: {links}. "
        f"{others}"
    )


def curve(net, start, gbit, wire, whole, exchange):
    """The model's efficiency over ranks, by each algorithm."""
    return {
        "net": net["title"],
        "batch": net["batch"],
        "gbit": gbit,
        "whole": whole,
        "ranks": model.RANKS,
        **{
            algorithm: [
                start
                / model.step_s(
                    net, start, ranks, wire, whole, exchange, algorithm
                )
                for ranks in model.RANKS
            ]
            for algorithm in LINES
        },
    }


def modelled(results, exchange):
    """The curves of all nets that were timed, at all speeds."""
    return [
        curve(
            net,
            statistics.median(compute_ms(results, name)) / 1e3,
            float(gbit),
            link(results, float(gbit)),
            whole,
            exchange,
        )
        for name, net in results["nets"].items()
        if compute_ms(results, name)
        for gbit in results["links"]
        for whole in STYLES
    ]


def modelled_row(curve):
    """A line of the model's table."""
    line = {
        "net": curve["net"],
        "batch": str(curve["batch"]),
        "Gbit/s": f"{curve['gbit']:g}",
        "exchange": STYLES[curve["whole"]][1],
    }
    best = [max(pair) for pair in zip(*(curve[name] for name in LINES))]
    for ranks in SHOWN_RANKS:
        line[f"N = {ranks}"] = f"{best[curve['ranks'].index(ranks)]:.2f}"
    return line


def draw(axes, curves, measured):
    """One net at one speed."""
    for curve in curves:
        colour, label = STYLES[curve["whole"]]
        for algorithm, line in LINES.items():
            axes.plot(
                curve["ranks"],
                curve[algorithm],
                line,
                color=colour,
                label=f"{label}, {algorithm}",
            )
    for whole, value in measured:
        axes.plot(2, value, "o", color=STYLES[whole][0])
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_ylim(0, 1.03)
    axes.grid(alpha=0.25, lw=0.6)
    axes.spines[["top", "right"]].set_visible(False)


def measured_dots(results, name, gbit):
    """[(whether whole gradients travel, efficiency of two ranks)]."""
    cases = grouped(results)
    start = statistics.median(compute_ms(results, name))
    return [
        (whole, start / median(cases[key], "step_ms"))
        for whole in STYLES
        if (key := (name, EXCHANGE, 2, gbit, whole)) in cases
    ]


def plot(results, curves, path):
    """A column for each net, a row for each speed."""
    names = [name for name in results["nets"] if compute_ms(results, name)]
    speeds = list(map(float, results["links"]))
    figure, grid = plt.subplots(
        len(speeds),
        len(names),
        figsize=(3.1 * len(names), 2.6 * len(speeds)),
        squeeze=False,
        sharex=True,
        sharey=True,
        layout="constrained",
    )
    for gbit, line in zip(speeds, grid):
        for name, axes in zip(names, line):
            net = results["nets"][name]
            some = [
                each
                for each in curves
                if (each["net"], each["batch"], each["gbit"])
                == (net["title"], net["batch"], gbit)
            ]
            draw(axes, some, measured_dots(results, name, gbit))
            if gbit == speeds[0]:
                title = f"{net['title']}\nbatch {net['batch']} a rank"
                axes.set_title(title, fontsize=9)
        line[0].set_ylabel(f"efficiency, {gbit:g} Gbit/s")
    for axes in grid[-1]:
        axes.set_xlabel("ranks")
    figure.legend(
        *grid[0][0].get_legend_handles_labels(),
        loc="upper center",
        bbox_to_anchor=(0.5, 0),
        ncols=4,
        frameon=False,
        fontsize=9,
    )
    figure.suptitle("A model, fitted to 2 ranks (dots: measured)", fontsize=10)
    figure.savefig(path, dpi=130, bbox_inches="tight")
    plt.close(figure)


def write(folder):
    """Writes table.md and, where two ranks were timed, model.json and
    model.png, from what is there."""
    every = read(folder)
    fit = fitted(every)
    parts = [HEAD]
    for results in every:
        cases = grouped(results)
        rows = [row(results, key, found, fit) for key, found in cases.items()]
        parts += [facts(results) + "\n", table(rows, [])]
    if fit:
        exchange, error = fit
        timed = next(each for each in every if not each["only_bytes"])
        curves = modelled(timed, exchange)
        text = (
            f"Fitted: {exchange.handling * 1e9:.2f} ns of the processor a byte "
            f"sent, {exchange.share:.0%} of the links' nominal speed; the "
            f"steps above are met to {error:.0%}."
        )
        parts += [
            MODELLED.format(fit=text),
            table(list(map(modelled_row, curves)), []),
        ]
        values = {
            "handling_ns_per_byte": exchange.handling * 1e9,
            "link_share": exchange.share,
            "largest_error": error,
            "curves": curves,
        }
        write_whole(folder / "model.json", json.dumps(values, indent=1) + "\n")
        plot(timed, curves, folder / "model.png")
    write_whole(folder / "table.md", "\n".join(parts))
