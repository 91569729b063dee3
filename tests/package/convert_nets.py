"""Nets for the converter's tests, and what is to become of their layers."""


def layer(kind, name, bottoms, top, extra=""):
    bottoms = " ".join(f'bottom: "{b}"' for b in bottoms.split())
    return (
        f'layer {{ name: "{name}" type: "{kind}" {bottoms} '
        f'top: "{top}" {extra} }}\n'
    )


def ip(name, bottom, top, outputs=10, more="", extra=""):
    return layer(
        "InnerProduct",
        name,
        bottom,
        top,
        f"inner_product_param {{ num_output: {outputs} {more} }} " + extra,
    )


def drop(name, bottom, top, rate=0.5, extra=""):
    return layer(
        "Dropout",
        name,
        bottom,
        top,
        f"dropout_param {{ dropout_ratio: {rate} }} {extra}",
    )


def lstm(name, bottoms, top, outputs=9, more=""):
    return layer(
        "LSTM",
        name,
        bottoms,
        top,
        f"recurrent_param {{ num_output: {outputs} {more} }}",
    )


X = layer("Input", "data", "", "x")
SEQUENCE = X + layer("Input", "more", "", "cont")
IN_TRAIN = "include { phase: TRAIN }"
IN_TEST = "include { phase: TEST }"

# name: (net, shape of x, {layer: what its type and fields must be})
# r: pattern ROW, n: NONE, i: compact_input, o: compact_output, D: Dropout.
NETS = {
    "mlp": (
        X
        + ip("a", "x", "a")
        + layer("ReLU", "ra", "a", "a")
        + drop("da", "a", "a")
        + ip("b", "a", "b", 11)
        + layer("ReLU", "rb", "b", "b")
        + drop("db", "b", "b", 0.7)
        + ip("c", "b", "c"),
        (6, 7),
        {"a": "ro", "b": "rio", "c": "ni"},
    ),
    "units that N divides": (
        X
        + ip("a", "x", "a", 12)
        + drop("da", "a", "a")
        + ip("b", "a", "b", 8)
        + layer("ReLU", "rb", "b", "b")
        + drop("db", "b", "b")
        + ip("c", "b", "c"),
        (6, 7),
        {"a": "ro", "b": "rio", "c": "ni"},
    ),
    "own tops": (
        X
        + ip("a", "x", "a")
        + layer("ReLU", "ra", "a", "ra", "relu_param { negative_slope: 0.1 }")
        + drop("da", "ra", "da")
        + ip("b", "da", "b"),
        (6, 7),
        {"a": "ro", "b": "ni"},
    ),
    "half in place": (
        X
        + ip("a", "x", "a")
        + layer("ReLU", "ra", "a", "a")
        + drop("da", "a", "da")
        + ip("b", "da", "b"),
        (6, 7),
        {"a": "ro", "b": "ni"},
    ),
    "no activation, output of the net": (
        X + ip("a", "x", "a") + drop("da", "a", "a"),
        (6, 7),
        {"a": "r"},
    ),
    "two readers": (
        X
        + ip("a", "x", "a")
        + drop("da", "a", "a")
        + ip("b", "a", "b")
        + ip("c", "a", "c"),
        (6, 7),
        {"a": "r", "b": "", "c": ""},
    ),
    "reader is no InnerProduct": (
        X
        + ip("a", "x", "a")
        + drop("da", "a", "a")
        + layer("TanH", "t", "a", "a")
        + ip("b", "a", "b"),
        (6, 7),
        {"a": "r", "b": ""},
    ),
    "read twice by one layer": (
        X
        + ip("a", "x", "a")
        + drop("da", "a", "a")
        + layer("Eltwise", "e", "a a", "e"),
        (6, 7),
        {"a": "r"},
    ),
    "not homogeneous, in place": (
        X
        + ip("a", "x", "a")
        + layer("Sigmoid", "s", "a", "a")
        + drop("da", "a", "a")
        + ip("b", "a", "b", 12)
        + layer("TanH", "t", "b", "b")
        + drop("db", "b", "b")
        + ip("c", "b", "c"),
        (6, 7),
        {"a": "", "da": "o", "b": "ni", "db": "o", "c": "ni"},
    ),
    "not homogeneous, own tops": (
        X
        + ip("a", "x", "a")
        + layer("TanH", "t", "a", "t")
        + drop("da", "t", "da")
        + ip("b", "da", "b"),
        (6, 7),
        {"a": "", "da": "o", "b": "ni"},
    ),
    "PReLU": (
        X
        + ip("a", "x", "a")
        + layer("PReLU", "p", "a", "a")
        + drop("da", "a", "a")
        + ip("b", "a", "b"),
        (6, 7),
        {"a": "r", "b": ""},
    ),
    "also read before the drop": (
        X
        + ip("a", "x", "a", 10)
        + layer("ReLU", "ra", "a", "a")
        + ip("b", "a", "b", 10)
        + drop("da", "a", "da")
        + layer("Eltwise", "e", "da b", "e"),
        (6, 7),
        {"a": "", "da": "", "b": ""},
    ),
    "loss on the blob before": (
        X
        + ip("a", "x", "a", extra="loss_weight: 1")
        + drop("da", "a", "da")
        + ip("b", "da", "b"),
        (6, 7),
        {"a": "", "da": "o", "b": "ni"},
    ),
    "axis": (
        X
        + ip("a", "x", "a", 10, "axis: 2")
        + drop("da", "a", "a")
        + ip("b", "a", "b", 11, "axis: -1")
        + drop("db", "b", "b")
        + ip("c", "b", "c", 10, "axis: -1"),
        (3, 3, 7),
        {"a": "ro", "b": "rio", "c": "ni"},
    ),
    "axis does not fit": (
        X
        + ip("a", "x", "a", 10, "axis: 2")
        + drop("da", "a", "a")
        + ip("b", "a", "b", 11, "axis: 1"),
        (3, 3, 7),
        {"a": "r", "b": ""},
    ),
    "axis from the end": (
        X
        + ip("a", "x", "a", 10, "axis: -1")
        + drop("da", "a", "a")
        + ip("b", "a", "b", 11, "axis: 1"),
        (3, 7),
        {"a": "r", "b": ""},
    ),
    "interleaved branches": (
        X
        + ip("a", "x", "a")
        + ip("b", "x", "b")
        + drop("db", "b", "b")
        + drop("da", "a", "a")
        + ip("c", "b", "c")
        + ip("d", "a", "d"),
        (6, 7),
        {"a": "ro", "b": "ro", "c": "ni", "d": "ni"},
    ),
    "names taken": (
        X
        + ip("k_0.5", "x", "a")
        + layer("TanH", "t", "a", "a")
        + drop("da", "a", "a")
        + ip("a_undropped", "a", "k_0.5"),
        (6, 7),
        {"k_0.5": "", "da": "o", "a_undropped": "ni"},
    ),
    "transpose": (
        X
        + ip("a", "x", "a", 10)
        + drop("da", "a", "a")
        + ip("b", "a", "b", 10, "transpose: true")
        + drop("db", "b", "b"),
        None,
        {"a": "r", "b": "", "db": ""},
    ),
    "other layers": (
        X
        + layer("Pooling", "p", "x", "p")
        + drop("dp", "p", "p")
        + ip("a", "p", "a")
        + drop("da", "a", "a")
        + drop("dd", "a", "a"),
        (6, 7, 2, 2),
        {"dp": "D", "a": "r", "dd": ""},
    ),
    "input of the net": (
        X + drop("dx", "x", "x") + ip("a", "x", "a"),
        (6, 7),
        {"dx": "D", "a": ""},
    ),
    "too few units": (
        X + ip("a", "x", "a", 3) + drop("da", "a", "a"),
        (6, 7),
        {"a": "", "da": "D"},
    ),
    "LSTM": (
        SEQUENCE
        + lstm("a", "x cont", "a")
        + drop("da", "a", "da")
        + lstm("b", "da cont", "b", 8)
        + drop("db", "b", "db", 0.3)
        + ip("c", "db", "c", 6, "axis: 2"),
        (5, 3, 7),
        {"a": "ro", "b": "rio", "c": "ni"},
    ),
    "two products over time steps": (
        SEQUENCE
        + lstm("a", "x cont", "a", 8)
        + drop("da", "a", "a")
        + ip("b", "a", "b", 8, "axis: 2")
        + drop("db", "b", "b")
        + ip("c", "b", "c", 3, "axis: 2"),
        (5, 4, 7),
        {"a": "ro", "b": "rio", "c": "ni"},
    ),
    "InnerProduct and LSTM": (
        SEQUENCE
        + ip("a", "x", "a", 9, "axis: 2")
        + drop("da", "a", "a")
        + lstm("b", "a cont", "b")
        + drop("db", "b", "b")
        + ip("c", "b", "c", 6, "axis: 1"),
        (5, 3, 7),
        {"a": "ro", "b": "ri", "c": ""},
    ),
    "LSTM that exposes or has a static input": (
        SEQUENCE
        + lstm("a", "x cont x", "a")
        + drop("da", "a", "da")
        + lstm("b", "da cont", "b", 8, "expose_hidden: true")
        + drop("db", "b", "db"),
        None,
        {"a": "", "da": "", "b": "", "db": ""},
    ),
    "data by phase": (
        layer("Input", "train", "", "x", IN_TRAIN)
        + layer("Input", "test", "", "x", IN_TEST)
        + ip("a", "x", "a")
        + drop("da", "a", "a")
        + ip("b", "a", "b")
        + layer("Eltwise", "e", "b b", "e", IN_TEST),
        (6, 7),
        {"a": "ro", "b": "ni"},
    ),
    "reader in one phase": (
        X
        + ip("a", "x", "a")
        + drop("da", "a", "a")
        + ip("b", "a", "b")
        + layer("Eltwise", "e", "a a", "e", IN_TEST),
        (6, 7),
        {"a": "r", "b": ""},
    ),
    "Dropout in one phase": (
        X
        + ip("a", "x", "a")
        + drop("da", "a", "a", extra=IN_TRAIN)
        + ip("b", "a", "b"),
        (6, 7),
        {"a": "ro", "b": "ni"},
    ),
    "noise in one phase": (
        X
        + ip("a", "x", "a")
        + layer("Sigmoid", "s", "a", "a", IN_TRAIN)
        + drop("da", "a", "a"),
        (6, 7),
        {"a": "", "da": ""},
    ),
    "one Dropout after either phase's layer": (
        X
        + ip("a", "x", "y", extra=IN_TRAIN)
        + ip("a2", "x", "y", extra=IN_TEST)
        + drop("da", "y", "z")
        + ip("b", "z", "b"),
        (6, 7),
        {"a": "ro", "a2": "ro", "b": "ni"},
    ),
    "chain in one phase": (
        X
        + ip("a", "x", "y", extra=IN_TRAIN)
        + drop("da", "y", "z", extra=IN_TRAIN)
        + ip("a2", "x", "z", extra=IN_TEST)
        + ip("b", "z", "b"),
        (6, 7),
        {"a": "r", "a2": "", "b": ""},
    ),
    "written by another layer in the other phase": (
        X
        + ip("a2", "x", "y", extra=IN_TEST)
        + ip("a", "x", "y", extra=IN_TRAIN)
        + layer("TanH", "t", "y", "y", IN_TRAIN)
        + drop("da", "y", "y", extra=IN_TRAIN)
        + ip("b", "y", "b"),
        (6, 7),
        {"a": "", "da": "", "a2": "", "b": ""},
    ),
}
