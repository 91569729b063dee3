"""The tables of docs/results.md that come from cpu/speed and cpu/speed_avx512:
the sweeps products, tiles, lstms, solvers, pytorch and ones of `make bench`."""

import statistics

from paper.figures import (
    LSTM,
    METHODS,
    MLP,
    RATES,
    STEP_METHODS,
    by_rate,
    has,
    megabytes,
    number,
    ratio,
    results,
    shown,
    swept,
    table,
)

NETS = {
    MLP: "MLP 784–2048–2048–10",
    "784-4096-4096-10": "MLP 784–4096–4096–10",
}
LARGE_LSTM = "LSTM 2x1500, V=8800"
SOLVERS = "SGD", "Nesterov", "AdaGrad", "RMSProp", "AdaDelta", "Adam"
# What was aimed at, at each of RATES.
GOALS = {
    (MLP, "tile"): (1.6, 1.9, 2.5),
    (MLP, "tile_before"): (1.8, 2.2, 3.2),
    (LSTM, "row"): (2.5, 2.9, 3.6),
    (LSTM, "tile"): (2.4, 2.8, 3.3),
    (MLP, "PyTorch"): (2.5, 4.5, 9.0),
    (MLP, "PyTorch, rows picked"): (2.6, 2.6, 3.5),
    (LSTM, "PyTorch"): (1.6, 2.0, 2.8),
}
MISSING = ["X"] * len(RATES)
AVX2, AVX512 = "speed", "speed_avx512"  # folders: which vectors a machine has


def rows(sweep, folder=AVX2, **wanted):
    """The rows that have these values, of the rates in their order; none of a
    sweep that has not been run."""
    path = f"{folder}/{sweep}.json"
    if not has(path):
        return []
    found = [
        row
        for row in results(path)["rows"]
        if all(row[name] == value for name, value in wanted.items())
    ]
    return sorted(found, key=lambda row: row["rate"])


@shown
def products_speed(folder=AVX2):
    lines = []
    for net, title in NETS.items():
        for name, wanted in (
            ("stock, ms", {"build": "caffe-stock"}),
            ("ROW, ms", {"method": "row", "reference": False}),
            ("kept products alone, ms", {"reference": True}),
        ):
            times = milliseconds("products", folder, net=net, **wanted)
            lines.append([title, name, *times])
            title = ""
        shares = [
            ratio(row, "our_", ".0%")
            for row in rows("products", folder, net=net, reference=True)
        ]
        lines.append(["", "share of their speed", *shares])
    return by_rate(lines, swept(f"{folder}/products.json"))


@shown
def products_speed_avx512():
    return products_speed(AVX512)


def goals(net, what):
    return [f"{goal:.1f}" for goal in GOALS[net, what]]


@shown
def tiles_speed(folder=AVX2):
    stock = milliseconds("tiles", folder, method="conventional")
    lines = [["stock", "ms", *stock]]
    for method in ("tile", "tile_before"):
        title = STEP_METHODS[method]
        found = rows("tiles", folder, method=method)
        speeds = [ratio(row) for row in found]
        bounds = [f"{row['bound']:.2f}" for row in found]
        lines += [
            [title, "ms", *milliseconds("tiles", folder, method=method)],
            ["", "over stock", *(speeds or MISSING)],
            ["", "bound of the multiply-adds", *(bounds or MISSING)],
            ["", "goal", *goals(MLP, method)],
        ]
    return by_rate(lines, swept(f"{folder}/tiles.json"))


@shown
def tiles_speed_avx512():
    return tiles_speed(AVX512)


def milliseconds(sweep, folder=AVX2, **wanted):
    """Of each rate, "X" if it was not measured."""
    found = rows(sweep, folder, **wanted)
    return [f"{row['wall_ms']:.1f}" for row in found] or MISSING


def dearer(five, one):
    """How much longer steps with five groups take than with one, in percent,
    with the range of the rounds."""
    pairs = zip(five["wall_ms_all"], one["wall_ms_all"])
    more = [100 * (long / short - 1) for long, short in pairs]
    middle, low, high = (
        number(value, "+.0f")
        for value in (statistics.median(more), min(more), max(more))
    )
    return f"{middle} % ({low}–{high})"


@shown
def lstms_speed():
    lines = []
    stock = milliseconds("lstms", AVX512, net=LSTM, method="conventional")
    lines.append(["LSTM 2×650, stock", "ms", *stock])
    for method in ("row", "tile"):
        one, five = (
            rows("lstms", AVX512, net=LSTM, method=method, groups=groups)
            for groups in (1, 5)
        )
        wanted = {"net": LSTM, "method": method, "groups": 1}
        extra = [dearer(*pair) for pair in zip(five, one)]
        lines += [
            [METHODS[method], "ms", *milliseconds("lstms", AVX512, **wanted)],
            ["", "over stock", *([ratio(row) for row in one] or MISSING)],
            ["", "goal", *goals(LSTM, method)],
            ["", "five groups; goal +10 %", *(extra or MISSING)],
        ]
    for method in ("row", "tile"):
        found = rows("lstms", AVX512, net=LARGE_LSTM, method=method)
        speed = [ratio(row) for row in found] or ["X"]
        title = f"LSTM 2×1500, {METHODS[method]}"
        lines.append([title, "over stock; goal 3.0", "", "", *speed])
    return by_rate(lines, swept(f"{AVX512}/lstms.json"))


@shown
def pytorch_speed():
    lines = []
    for net, title in ((MLP, NETS[MLP]), (LSTM, "LSTM 2×650")):
        for build in ("PyTorch", "PyTorch, rows picked"):
            found = rows("pytorch", AVX512, net=net, build=build)
            name = build.replace("PyTorch", "ROW over PyTorch")
            speeds = [ratio(row, "our_") for row in found] or MISSING
            lines.append([title, name, *speeds])
            title = ""
            if (net, build) in GOALS:
                lines.append(["", "goal", *goals(net, build)])
    return by_rate(lines, swept(f"{AVX512}/pytorch.json"))


@shown
def solvers_speed():
    lines = []
    for weight_decay in (0, 5e-4):
        for rate in (0.5, 0.7):
            speeds = [
                rows(
                    "solvers",
                    solver=solver,
                    rate=rate,
                    weight_decay=weight_decay,
                    method="row",
                )[0]
                for solver in SOLVERS
            ]
            title = f"{rate:g}, weight decay {weight_decay:g}"
            lines.append([title, *(ratio(row, "", ".1f") for row in speeds)])
    source = swept(f"{AVX2}/solvers.json")
    return table(["rate", *SOLVERS], lines, source)


@shown
def ones_speed():
    found = [ratio(row, "our_") for row in rows("ones", reference=True)]
    lines = [["all in one call, over a call for each", *found]]
    heads = ["", *(f"rate {rate}" for rate in RATES)]
    return table(heads, lines, swept(f"{AVX2}/ones.json"))


@shown
def feature_map_speed():
    nets = {
        "VGG-like, batch 64": "vgg_two_cores",
        "LeNet, batch 64": "lenet_two_cores",
        "CaffeNet, batch 16": "caffenet_two_cores",
    }
    lines = []
    for title, file in nets.items():
        stock, *ours = results(f"feature_maps/{file}.json")["rows"]
        speeds = [f"{stock['wall_ms']:.0f} ms", *(ratio(row) for row in ours)]
        bounds = ["", *(f"{row['bound']:.2f}" for row in ours)]
        peaks = map(megabytes, (stock, *ours))
        lines.append([title, "speed-up", *speeds])
        lines.append(["", "bound of the multiply-adds", *bounds])
        lines.append(["", "peak memory, MB", *peaks])
    rates = [f"rate {rate}" for rate in (0, 0.3, 0.5)]
    source = swept(*(f"feature_maps/{file}.json" for file in nets.values()))
    return table(["", "", "stock", *rates], lines, source)


@shown
def feature_map_groups():
    titles = {1: "1", 4: "4", 16: "16", 64: "64, one for each image"}
    lines = []
    for groups, title in titles.items():
        stock, *ours = results(f"feature_maps/vgg_groups{groups}.json")["rows"]
        times = f"{stock['wall_ms']:.0f} ms"
        lines.append([title, times, *(ratio(row) for row in ours)])
    rates = [f"rate {rate}" for rate in (0, 0.3, 0.5)]
    source = swept(
        *(f"feature_maps/vgg_groups{groups}.json" for groups in titles)
    )
    return table(["groups", "stock", *rates], lines, source)
