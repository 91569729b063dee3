"""The tables of docs/results.md on what ROW is held against beside stock Caffe:
the sweeps products, solvers and ones of `make bench`."""

from paper.figures import RATES, results, shown, spread, table

NETS = {
    "784-2048-2048-10": "MLP 784–2048–2048–10",
    "784-4096-4096-10": "MLP 784–4096–4096–10",
}
SOLVERS = "SGD", "Nesterov", "AdaGrad", "RMSProp", "AdaDelta", "Adam"


def rows(sweep, **wanted):
    """The rows that have these values, of the rates in their order."""
    found = [
        row
        for row in results(f"speed/{sweep}.json")["rows"]
        if all(row[name] == value for name, value in wanted.items())
    ]
    return sorted(found, key=lambda row: row["rate"])


def ratio(row, whose="", form=".2f"):
    """A speed-up, or ROW's over the row's, with its rounds' range."""
    value, low, high = (
        row[f"{whose}speed_up{part}"] for part in ("", "_min", "_max")
    )
    return f"{value:{form}} {spread(low, high, form)}"


@shown
def products_speed():
    lines = []
    for net, title in NETS.items():
        for name, wanted in (
            ("stock, ms", {"build": "caffe-stock"}),
            ("ROW, ms", {"method": "row", "reference": False}),
            ("kept products alone, ms", {"reference": True}),
        ):
            found = rows("products", net=net, **wanted)
            times = [f"{row['wall_ms']:.1f}" for row in found]
            lines.append([title, name, *times])
            title = ""
        shares = [
            ratio(row, "our_", ".0%")
            for row in rows("products", net=net, reference=True)
        ]
        lines.append(["", "share of their speed", *shares])
    return table(["", "", *(f"rate {rate}" for rate in RATES)], lines)


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
    return table(["rate", *SOLVERS], lines)


@shown
def ones_speed():
    found = [ratio(row, "our_") for row in rows("ones", reference=True)]
    return table(
        ["", *(f"rate {rate}" for rate in RATES)],
        [["all in one call, over a call for each", *found]],
    )


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
        megabytes = [f"{row['peak_bytes'] / 1e6:.0f}" for row in (stock, *ours)]
        lines.append([title, "speed-up", *speeds])
        lines.append(["", "bound of the multiply-adds", *bounds])
        lines.append(["", "peak memory, MB", *megabytes])
    rates = [f"rate {rate}" for rate in (0, 0.3, 0.5)]
    return table(["", "", "stock", *rates], lines)
