"""Tables and pictures of the step times, from the sweeps' JSON files."""

import json

import report

HEAD = """\
# Step times

Whole `Solver::Step` times, in turn with stock Caffe's; speed-up: against stock
Caffe's conventional dropout of the same rate (no dropout at rate 0), the
median of the rounds, in brackets the least and the largest. Bound: what the
multiply-adds of the matrix products allow, the update not counted; share: how
much of it was reached.
"""
PROFILE = """\
Where the time goes, in ms: forward + backward of each layer with parameters
and of all others, timed one by one outside of `Solver::Step`; rest: the step
less these, that is updating the parameters and clearing their gradients.
"""
PATTERNS = {"row": "ROW", "tile": "TILE"}
FAMILY_STYLES = {"RESIDUE": ("#0072B2", "o-"), "PERIOD": ("#D55E00", "s-")}


def read(folder, names):
    """The results of the sweeps that have been run, in the order of names."""
    paths = [folder / f"{name}.json" for name in names]
    return [json.loads(path.read_text()) for path in paths if path.exists()]


def ranged(value, low, high, form):
    return f"{value:{form}} ({low:{form}}–{high:{form}})"


def title(line):
    """What a row's times are of."""
    name = report.TITLES[line["method"]]
    return name if line["family"] else f"stock, {name}"


def condition(line):
    """The columns that tell rows apart."""
    return {
        "net": line["net"],
        "batch": str(line["batch"]),
        "rate": f"{line['rate']:g}",
        "groups": str(line["groups"]),
        "method": title(line),
    }


def times(line):
    """A row of the table of step times."""
    cells = condition(line)
    every = line["wall_ms_all"]
    cells["ms a step"] = ranged(line["wall_ms"], min(every), max(every), ".1f")
    ours = line["family"]
    cells["speed-up"] = "-"
    if ours:
        cells["speed-up"] = ranged(
            *(line[f"speed_up{part}"] for part in ("", "_min", "_max")), ".2f"
        )
    return {
        **cells,
        "bound": f"{line['bound']:.2f}" if ours else "-",
        "share": f"{line['share']:.0%}" if ours else "-",
        "processor ms": f"{line['processor_ms']:.1f}",
        "peak MB": f"{line['peak_bytes'] / 1e6:.0f}",
    }


def parts(line):
    """A row of the table of layers' times."""
    layers = line["profile"]["layers"]
    return {
        **condition(line),
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
        kinds.setdefault(layers, []).append(parts(line))
    return [report.table(lines, []) for lines in kinds.values()]


def section(results):
    """One sweep's part of the page."""
    machine = ", ".join(f"{k} {v}" for k, v in results["machine"].items())
    busy = results["others_busy_cores"]
    facts = (
        f"`{results['command']}`, {results['date']}, commit "
        f"{results['commit']}, {machine}; {results['rounds']} rounds; other "
        f"processes kept at most {busy:.2f} cores busy."
    )
    rows = results["rows"]
    return "\n".join(
        [
            f"## {results['sweep']}\n",
            f"{facts}\n",
            f"![speed-up and bound]({results['sweep']}.png)\n",
            report.table([times(line) for line in rows], []),
            PROFILE,
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
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.25, lw=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)


def plot(results, path):
    """A row of pictures for each net: ROW, TILE."""
    nets = list(dict.fromkeys(line["net"] for line in results["rows"]))
    figure, grid = report.plt.subplots(
        len(nets),
        2,
        figsize=(11, 3.8 * len(nets)),
        squeeze=False,
        sharey="row",
        layout="constrained",
    )
    for net, both in zip(nets, grid):
        for axes, (pattern, name) in zip(both, PATTERNS.items()):
            rows = [
                line
                for line in results["rows"]
                if line["net"] == net
                and line["family"]
                and line["method"].startswith(pattern)
            ]
            draw(axes, rows, results["varied"])
            axes.set_title(f"{net}: {name}", fontsize=10)
        both[0].set_ylabel("speed-up of a whole step")
    figure.savefig(path, dpi=130)
    report.plt.close(figure)


def write(folder, names):
    """Writes table.md and SWEEP.png from what is there."""
    every = read(folder, names)
    for results in every:
        plot(results, folder / f"{results['sweep']}.png")
    text = "\n".join([HEAD, *map(section, every)])
    (folder / "table.md").write_text(text)
