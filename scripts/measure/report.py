"""Tables and pictures of the step times, from the sweeps' JSON files."""

import json
import textwrap

from matplotlib import ticker

from project import write_whole
from reports.curves import TITLES, plt
from reports.table import table

HEAD = """\
# Step times

Whole `Solver::Step` times, in turn with stock Caffe's; speed-up: against stock
Caffe's conventional dropout of the same rate (no dropout at rate 0), the
median of the rounds, in brackets the least and the largest. Bound: what the
multiply-adds of the matrix products allow, the update not counted; share: how
much of it was reached. TILE drops tiles behind the MLP's hidden layers or,
where the table says so, before them. ROW over it: how many times as fast as
what the row is about ROW's net is; of the kept products alone, the share of
their speed that whole steps reach.
"""
PROFILE = """\
Where the time goes, in ms: forward + backward of each layer with parameters
and of all others, timed one by one outside of `Solver::Step`; rest: the step
less these, that is updating the parameters and clearing their gradients.
"""
CONDITIONS = {
    "net": "",
    "batch": "d",
    "rate": "g",
    "groups": "d",
    "solver": "",
    "weight_decay": "g",
}
# What all rows had before there were other values.
EARLIER = {
    "reference": False,
    "steps_per_call": 0,
    "solver": "SGD",
    "weight_decay": 0,
}
PATTERNS = {name: TITLES[name] for name in ("row", "tile", "tile_before")}
FAMILY_STYLES = {"RESIDUE": ("#0072B2", "o-"), "PERIOD": ("#D55E00", "s-")}


def read(folder, names):
    """The results of the sweeps that have been run, in the order of names."""
    paths = [folder / f"{name}.json" for name in names]
    every = [json.loads(path.read_text()) for path in paths if path.exists()]
    for line in (line for results in every for line in results["rows"]):
        for name, value in EARLIER.items():
            line.setdefault(name, value)
    return every


def ranged(value, low, high, form):
    return f"{value:{form}} ({low:{form}}–{high:{form}})"


def title(line):
    """What a row's times are of."""
    name = TITLES[line["method"]]
    if line["steps_per_call"]:
        return f"{name}, {line['steps_per_call']} step a call"
    if line["reference"]:
        return line["build"]
    return name if line["family"] else f"stock, {name}"


def is_ours(line):
    """Whether it is of a net of ours, and not one to hold it against."""
    return bool(line["family"]) and not line["reference"]


def differing(rows):
    """The conditions that are not the same in all rows."""
    return [
        name for name in CONDITIONS if len({line[name] for line in rows}) > 1
    ]


def speed_up(line, whose=""):
    """The row's, or that of ROW over it; "-" if it has none."""
    names = [f"{whose}speed_up{part}" for part in ("", "_min", "_max")]
    if names[0] not in line:
        return "-"
    return ranged(*(line[name] for name in names), ".2f")


def condition(line, names):
    """The columns that tell rows apart."""
    cells = {name: format(line[name], CONDITIONS[name]) for name in names}
    return {**cells, "method": title(line)}


def times(line, names, held):
    """A row of the table of step times; held: whether ours are held against
    others than stock Caffe."""
    cells = condition(line, names)
    every = line["wall_ms_all"]
    cells["ms/step"] = ranged(line["wall_ms"], min(every), max(every), ".1f")
    ours = is_ours(line)
    cells["speed-up"] = speed_up(line) if line["family"] else "-"
    if held:
        cells["ROW over it"] = speed_up(line, "our_")
    return {
        **cells,
        "bound": f"{line['bound']:.2f}" if ours else "-",
        "share": f"{line['share']:.0%}" if ours else "-",
        "processor ms": f"{line['processor_ms']:.1f}",
        "peak MB": f"{line['peak_bytes'] / 1e6:.0f}",
    }


def parts(line, names):
    """A row of the table of layers' times."""
    layers = line["profile"]["layers"]
    return {
        **condition(line, names),
        **{
            name: f"{forward:.1f} + {backward:.1f}"
            for name, (forward, backward) in layers.items()
        },
        "rest": f"{line['profile']['rest']:.1f}",
        "step": f"{line['wall_ms']:.1f}",
    }


def profiles(rows):
    """A table for each kind of net, that is for each set of layers."""
    kinds = {}
    for line in rows:
        layers = tuple(line["profile"]["layers"])
        if not layers:  # of what is no Caffe
            continue
        kinds.setdefault(layers, []).append(parts(line, differing(rows)))
    return [table(lines, []) for lines in kinds.values()]


def section(results):
    """One sweep's part of the page."""
    rows = results["rows"]
    names = differing(rows)
    same = [
        f"{name} {format(rows[0][name], form)}"
        for name, form in CONDITIONS.items()
        if name not in names
    ]
    machine = [f"{name} {value}" for name, value in results["machine"].items()]
    held = any(line["reference"] for line in rows)
    errors = [line["error"] for line in rows if line["error"] is not None]
    steps = " or ".join(
        f"{count} ({workload})" for workload, count in results["steps"].items()
    )
    facts = (
        f"All rows: {', '.join(same)}. `{results['command']}`, "
        f"{results['date']}, commit {results['commit']}, "
        f"{', '.join(machine)}; data: {', '.join(results['data'].values())}; "
        f"{results['rounds']} rounds of {steps} steps. "
        f"Largest error against the dense oracle: {max(errors):.2f} of what "
        "is tolerated. Other processes kept at most "
        f"{results['others_busy_cores']:.2f} cores busy."
    )
    return "\n\n".join(
        [
            f"## {results['sweep']}",
            textwrap.fill(facts, 80, break_on_hyphens=False),
            *(
                [f"![speed-up and bound]({results['sweep']}.png)"]
                if results["varied"]
                else []
            ),
            table([times(line, names, held) for line in rows], [PROFILE]),
            *profiles(rows),
        ]
    )


def draw(axes, rows, varied):
    """Speed-up of each family with its range, and the bound."""
    bounds = sorted({(line[varied], line["bound"]) for line in rows})
    axes.plot(*zip(*bounds), "--", color="#888888", label="bound")
    for family, (colour, style) in FAMILY_STYLES.items():
        lines = [line for line in rows if line["family"] == family]
        if not lines:
            continue
        y = [line["speed_up"] for line in lines]
        low = [line["speed_up"] - line["speed_up_min"] for line in lines]
        high = [line["speed_up_max"] - line["speed_up"] for line in lines]
        axes.errorbar(
            [line[varied] for line in lines],
            y,
            yerr=(low, high),
            fmt=style,
            color=colour,
            capsize=3,
            label=family,
        )
    axes.set_xlabel(varied)
    if varied == "batch":
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter("{x:g}")
    axes.set_xticks(sorted({line[varied] for line in rows}))
    if varied == "rate":  # bounds grow as 1 / (1 - rate)^2
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 1.5, 2, 3, 5)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_locator(ticker.NullLocator())
    axes.grid(alpha=0.25, lw=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)


def pattern(line):
    """Which of PATTERNS a row belongs to, whatever its family."""
    return line["method"].removesuffix("_period")


def plot(results, path):
    """A row of pictures for each net, one for each pattern."""
    lines = [line for line in results["rows"] if is_ours(line)]
    nets = list(dict.fromkeys(line["net"] for line in lines))
    patterns = [name for name in PATTERNS if name in map(pattern, lines)]
    figure, grid = plt.subplots(
        len(nets),
        len(patterns),
        figsize=(5.5 * len(patterns), 3.8 * len(nets)),
        squeeze=False,
        sharey="row",
        layout="constrained",
    )
    for net, row in zip(nets, grid):
        for axes, name in zip(row, patterns):
            rows = [
                line
                for line in lines
                if line["net"] == net and pattern(line) == name
            ]
            draw(axes, rows, results["varied"])
            axes.set_title(f"{net}: {PATTERNS[name]}", fontsize=10)
        if results["varied"] != "rate":
            row[0].set_ylim(bottom=0)
        row[0].set_ylabel("speed-up of a whole step")
    figure.savefig(path, dpi=130)
    plt.close(figure)


def write(folder, names):
    """Writes table.md and SWEEP.png from what is there."""
    every = read(folder, names)
    for results in every:
        if results["varied"]:
            plot(results, folder / f"{results['sweep']}.png")
    text = "\n".join([HEAD, *map(section, every)])
    write_whole(folder / "table.md", text)
