"""The tables of PAGES, made of the committed results.

A document holds a table between two comments, `<!-- figures: NAME -->` and
`<!-- figures end -->`; NAME is a function of TABLES.
"""

import functools
import re

from paper import collect, reported
from paper.provenance import caption
from project import ROOT, read_json

RESULTS = ROOT / "results/cpu"
PAGES = (
    "README.md",
    "docs/results.md",
    "docs/gpu.md",
    "docs/distributed.md",
)
BLOCK = re.compile(
    r"(<!-- figures: (\w+) -->\n).*?(<!-- figures end -->)", re.DOTALL
)
METHODS = {
    "row": "ROW",
    "tile": "TILE",
    "row_period": "ROW, PERIOD",
    "tile_period": "TILE, PERIOD",
}
STEP_METHODS = {
    "row": "ROW",
    "tile": "TILE",
    "tile_before": "TILE, tiles before",
}
MLP = "784-2048-2048-10"
LSTM = "LSTM 2x650, V=10000"
RATES = "0.3", "0.5", "0.7"
TEXT_HEADS = "", "rate", "MB", "LSTM, rate", "net, batch", "link"
TABLES = {}


def shown(function):
    """Registers a table that documents show under its function's name."""
    TABLES[function.__name__] = function
    return function


@functools.cache
def results(path):
    """What a JSON file of results/cpu holds."""
    return read_json(RESULTS / path)


def number(value, form=".2f", missing="X"):
    """A number as text, with a real minus sign."""
    if value is None:
        return missing
    return format(value, form).replace("-", "−")


def interval(low_high, form="+.2f"):
    return "[{}]".format(", ".join(number(x, form) for x in low_high))


def spread(low, high, form=".2f"):
    return f"({low:{form}}–{high:{form}})"


def table(heads, lines, source=()):
    """Markdown. heads: the titles; columns of numbers are to the right.
    source: pairs for `caption`, which says where the numbers were measured.
    """
    rule = ["---" if head in TEXT_HEADS else "---:" for head in heads]
    rows = [f"| {' | '.join(line)} |" for line in [heads, rule, *lines]]
    text = re.sub(r"\|  (?=\|)", "| ", "\n".join(rows)) + "\n"
    return text + caption(source)


def by_rate(lines, source):
    """A table with a column for each rate."""
    return table(["", "", *(f"rate {rate}" for rate in RATES)], lines, source)


def report_cell(study, point, series):
    """The numbers of one net in the report on the paper's tables."""
    cells = results("reproduction/report.json")["studies"][study]
    for cell in cells:
        if (cell["point"], cell["series"]) == (point, series):
            return cell
    raise ValueError(f"the report's {study} has no {series} at {point}")


def raced(study, labels, title=""):
    """Pairs for `caption`: a study's races at these points, as far as there
    are; title: what they are called there."""
    return [
        (title or point, cell["raced"])
        for point in labels
        if (cell := report_cell(study, point, "conventional"))["raced"]
    ]


def has(path):
    """Whether results/cpu has this file yet."""
    return (RESULTS / path).exists()


def swept(*paths):
    """Pairs for `caption`: the files of results/cpu, as far as there are."""
    return [
        (path.split("/")[-1].removesuffix(".json"), results(path))
        for path in paths
        if has(path)
    ]


def points(compared):
    """How far accuracies are from others of the same seeds, with the interval.

    compared: as collect.compared gives it, or a cell of the report.
    """
    text = number(compared["difference"], "+.2f")
    if compared["interval"]:
        text += f" {interval(compared['interval'])}"
    return text


def difference(mine, other):
    """Of values by seed: mine minus other in points, with its interval."""
    return points(collect.compared(mine, other))


def race(study, point, series, form=".2f"):
    """A speed-up with the least and the largest of its rounds."""
    cell = report_cell(study, point, series)
    if cell["speed_up"] is None:
        return "X"
    low_high = spread(*cell["speed_up_range"], form)
    return f"{cell['speed_up']:.2f} {low_high}"


def ratio(row, whose="", form=".2f"):
    """A speed-up, or ROW's over the row's, with its rounds' range."""
    value, low, high = (
        row[f"{whose}speed_up{part}"] for part in ("", "_min", "_max")
    )
    return f"{value:{form}} {spread(low, high, form)}"


def megabytes(row):
    """Peak memory of a process that took steps, as text."""
    return f"{row['peak_bytes'] / 1e6:.0f}"


def step_row(sweep, **wanted):
    """The row of a sweep of `make bench` that has these values."""
    for row in results(f"steps/{sweep}.json")["rows"]:
        if all(row[name] == value for name, value in wanted.items()):
            return row
    raise ValueError(f"the sweep {sweep} has no row with {wanted}")


def claimed(speed_ups):
    """The paper's speed-ups of ROW and TILE as text."""
    if set(speed_ups) == {reported.NOT_LEGIBLE}:
        return reported.NOT_LEGIBLE
    return ", ".join(f"{value} ×" for value in speed_ups)


@shown
def key_figures():
    def accuracy(rate, series):
        cell = report_cell("fig4", f"{rate}, {rate}", series)
        text = f"{cell['mean']:.2f} % ({cell['measured']})"
        if series != "conventional":
            text += f", {cell['speed_up']:.2f} × as fast"
        return text

    def paper(study, point):
        return claimed(
            [
                reported.number(study, point, series, "speed_up")
                for series in ("row_period", "tile_period")
            ]
        )

    series = "conventional", "row", "tile"
    lines = [
        [
            f"MLP 784–2048–2048–10, rate {rate}: test accuracy",
            *(accuracy(rate, name) for name in series),
            paper("fig4", f"{rate}, {rate}"),
        ]
        for rate in ("0.5", "0.7")
    ]
    perplexities = [report_cell("groups", "20, 2-4", s) for s in series]
    lines.append(
        [
            "LSTM 2×200, rate 0.5: test perplexity",
            *(
                f"{cell['mean']:.1f} ({cell['measured']})"
                for cell in perplexities
            ),
            "–",
        ]
    )
    large = [report_cell("table2", "0.5", name) for name in series]
    undropped = (
        ("MLP 784–2048–2048–10", "rates", MLP),
        ("LSTM 2×650", "lstm", LSTM),
    )

    def speeds(cells):
        return ["1", *(f"{cell['speed_up']:.2f} ×" for cell in cells)]

    title = "LSTM 2×1500, rate 0.5: speed"
    lines.append([title, *speeds(large[1:]), paper("table2", "0.5")])
    for title, sweep, net in undropped:
        rows = [
            step_row(sweep, net=net, method=name, rate=0) for name in series[1:]
        ]
        lines.append([f"{title}, without dropout: speed", *speeds(rows), "–"])
    lines.append(
        [
            "LSTM 2×1500, rate 0.5: peak memory",
            *(f"{megabytes(cell)} MB" for cell in large),
            "–",
        ]
    )
    heads = ["", "conventional", "ROW", "TILE", "the paper: ROW, TILE"]
    return table(heads, lines)


@shown
def make_mnist():
    heads = ["", "conventional", "ROW", "TILE", "ROW, PERIOD"]
    lines = []
    for rate in ("0.5", "0.7"):
        rows = results(f"mnist_{rate}/table.json")
        lines.append(
            [f"rate {rate}: test accuracy"]
            + [f"{100 * row['accuracy']:.2f} %" for row in rows]
        )
        times = [
            f"{row['median_ms']:.1f}"
            + (f" ({row['speed_up']:.2f} ×)" if i else "")
            for i, row in enumerate(rows)
        ]
        lines.append([f"rate {rate}: ms per iteration", *times])
    return table(heads, lines)


def accuracy_change(study, point, series):
    """Points over conventional dropout, with the number of pairs of seeds."""
    cell = report_cell(study, point, series)
    if cell["difference"] is None:
        return "X"
    return f"{points(cell)} ({cell['pairs']})"


@shown
def mlp_accuracy():
    pairs = [f"{rate}, {rate}" for rate in RATES]
    base = [report_cell("fig4", pair, "conventional") for pair in pairs]
    lines = [["conventional", *(f"{cell['mean']:.2f} %" for cell in base)]]
    lines += [
        [title, *(accuracy_change("fig4", pair, series) for pair in pairs)]
        for series, title in METHODS.items()
    ]
    return table(["", "rate 0.3", "0.5", "0.7"], lines)


@shown
def tile_places():
    lines = []
    for place in ("behind", "before"):
        labels = [f"{rate}, {place}" for rate in RATES]
        changes = (accuracy_change("tiles", x, "tile") for x in labels)
        speeds = (race("tiles", x, "tile") for x in labels)
        lines.append([f"tiles {place}", "accuracy, points", *changes])
        lines.append(["", "speed-up", *speeds])
    return by_rate(lines, raced("tiles", [f"{r}, behind" for r in RATES]))


@shown
def step_speed():
    mlp = {**STEP_METHODS, "row_period": "ROW, PERIOD"}
    nets = (
        ("rates", MLP, "MLP 784–2048–2048–10, batch 128", mlp),
        ("sizes", MLP, "the same net in another sweep", {"row": "ROW"}),
        ("sizes", "784-4096-4096-10", "MLP 784–4096–4096–10", mlp),
        (
            "lstm",
            LSTM,
            "LSTM 2×650, 10,000 words, batch 20",
            {name: METHODS[name] for name in ("row", "tile")},
        ),
    )
    lines = []
    for sweep, net, title, methods in nets:
        for method, name in methods.items():
            cells = [title, name]
            for rate in (0, 0.3, 0.5, 0.7):
                row = step_row(sweep, net=net, method=method, rate=rate)
                cells.append(f"{row['speed_up']:.2f}")
            lines.append(cells)
            title = ""
    title = "the same, 5 independent patterns per pass"
    for method in ("row", "tile"):
        row = step_row("groups", net=LSTM, method=method, groups=5)
        speed = f"{row['speed_up']:.2f}"
        lines.append([title, METHODS[method], "", "", speed, ""])
        title = ""
    sweeps = ("rates", "sizes", "lstm", "groups")
    source = swept(*(f"steps/{sweep}.json" for sweep in sweeps))
    return table(["", "", "no dropout", *RATES], lines, source)


@shown
def mlp_races():
    lines = [
        [title, *(race("fig4", f"{rate}, {rate}", series) for rate in RATES)]
        for series, title in METHODS.items()
    ]
    claims = [
        [
            reported.number("fig4", f"{rate}, {rate}", series, "speed_up")
            for series in ("row_period", "tile_period")
        ]
        for rate in RATES
    ]
    lines.append(["the paper: ROW, TILE", *map(claimed, claims)])
    source = raced("fig4", [f"{rate}, {rate}" for rate in RATES])
    return table(["", "rate 0.3", "0.5", "0.7"], lines, source)


@shown
def memory():
    nets = (
        ("fig4", "{0}, {0}", "MLP 784–2048–2048–10"),
        ("small", "{}", "LSTM 2×200, 10,000 words"),
        ("table2", "{}", "LSTM 2×1500, 8,800 words"),
    )
    lines, source = [], []
    for study, point, title in nets:
        source += raced(study, map(point.format, RATES), title)
        for rate in RATES:
            cells = [
                report_cell(study, point.format(rate), series)
                for series in ("conventional", *METHODS)
            ]
            lines.append([title, rate, *map(megabytes, cells)])
            title = ""
    heads = ["MB", "rate", "stock", *METHODS.values()]
    return table(heads, lines, source)


@shown
def own_nets():
    nets = (
        ("caffenet", "CaffeNet, 16"),
        ("vgg16", "VGG-16 with its convolutions' weights held, 4"),
    )
    lines = []
    for file, title in nets:
        stock, *ours = results(f"own_nets/{file}.json")["rows"]
        speeds = [f"{stock['wall_ms']:.0f} ms", *map(ratio, ours)]
        lines.append([title, *speeds])
        lines.append(["peak memory, MB", *map(megabytes, (stock, *ours))])
    heads = ["net, batch", "stock", "ROW", "TILE"]
    source = swept(*(f"own_nets/{file}.json" for file, _ in nets))
    return table(heads, lines, source)


@shown
def mlp_groups():
    """What several patterns in a pass cost MLPs."""
    lines = []
    for method in ("row", "tile"):
        rows = [
            step_row("groups", net=MLP, method=method, groups=groups)
            for groups in (1, 2, 4)
        ]
        lines.append([METHODS[method], *map(ratio, rows)])
    source = swept("steps/groups.json")
    return table(["", "1 group", "2", "4"], lines, source)


def filled(text, page):
    """The text of a document with its tables made anew; ValueError names
    those that there are not."""

    def block(found):
        if found[2] not in TABLES:
            raise ValueError(
                f"{page}: no figures {found[2]}; there are {', '.join(TABLES)}"
            )
        return f"{found[1]}\n{TABLES[found[2]]()}\n{found[3]}"

    return BLOCK.sub(block, text)
