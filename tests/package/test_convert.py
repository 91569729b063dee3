"""The converter: equal to the original in TEST, and in TRAIN equal to the
original with its Dropout masks set to the patterns drawn."""

import json

import numpy as np
import pytest
from caffe.proto import caffe_pb2
from convert_nets import NETS, X, drop, ip, layer
from convert_oracle import (
    TEST,
    TRAIN,
    N,
    assert_same_outputs,
    describe,
    exit_status,
    make_patterns,
    parse,
)
from numpy_net import NumpyNet

from approx_dropout.convert import convert
from approx_dropout.search import PERIOD_LAMBDA3, search


@pytest.mark.parametrize("family", ["PERIOD", "RESIDUE"])
@pytest.mark.parametrize("case", NETS)
def test_row(case, family):
    text, shape, expected = NETS[case]
    net = parse(text)
    before = net.SerializeToString()
    converted, notes = convert(net, family=family, max_period=N)
    assert net.SerializeToString() == before
    by_name = {x.name: x for x in converted.layer}
    assert {n: describe(by_name[n]) for n in expected} == expected
    drops = [x.name for x in net.layer if x.type == "Dropout"]
    left = [x.name for x in converted.layer if x.type == "Dropout"]
    assert len(notes) == len(drops)
    for name in drops:
        (note,) = [x for x in notes if f"Dropout '{name}':" in x]
        assert note.startswith("left") == (name in left)
    if shape is None:
        return
    weights = {}
    for draw in range(6):
        patterns = make_patterns(net, family, draw)
        for phase in (TRAIN, TEST):
            assert_same_outputs(net, converted, shape, patterns, phase, weights)


@pytest.mark.parametrize("groups", [1, 3])
@pytest.mark.parametrize(
    "case",
    [
        "mlp",
        "units that N divides",
        "half in place",
        "two readers",
        "not homogeneous, in place",
        "PReLU",
        "also read before the drop",
        "axis",
        "interleaved branches",
        "LSTM",
        "InnerProduct and LSTM",
        "data by phase",
        "chain in one phase",
    ],
)
def test_in_caffe(case, groups, tmp_path):
    """Caffe trains what the oracle says, and tests with stock layers alike."""
    assert exit_status(case, tmp_path, groups=groups) == 0


def test_the_oracle_sees_a_wrong_conversion():
    text, shape, _ = NETS["mlp"]
    net = parse(text)
    converted, _ = convert(net, max_period=N)
    by_name = {x.name: x for x in converted.layer}
    by_name["b"].bottom[1], by_name["b"].bottom[2] = (
        by_name["b"].bottom[2],
        by_name["b"].bottom[1],
    )
    with pytest.raises(AssertionError):
        for draw in range(6):
            patterns = make_patterns(net, "RESIDUE", draw)
            assert_same_outputs(net, converted, shape, patterns, TRAIN, {})


def test_patterns_and_k():
    text = (
        X
        + ip("a", "x", "a")
        + drop("da", "a", "a")
        + ip("b", "a", "b")
        + drop("db", "b", "b", 0.7)
        + ip("c", "b", "c")
        + drop("dc", "c", "c")
    )
    converted, _ = convert(parse(text), family="PERIOD", max_period=5)
    by_name = {x.name: x for x in converted.layer}
    assert [x.name for x in converted.layer] == [
        "data",
        "k_0.5",
        "da_pattern",
        "a",
        "k_0.7",
        "db_pattern",
        "b",
        "dc_pattern",
        "c",
    ]
    for name, rate in (("k_0.5", 0.5), ("k_0.7", 0.7)):
        param = by_name[name].python_param
        assert by_name[name].type == "Python" and not by_name[name].bottom
        assert (param.module, param.layer) == (
            "approx_dropout",
            "PatternSearchLayer",
        )
        assert json.loads(param.param_str) == {
            "dropout_ratio": rate,
            "family": "PERIOD",
            "max_period": 5,
            "lambda3": PERIOD_LAMBDA3,
        }
    for name, k in (("da", "k_0.5"), ("db", "k_0.7"), ("dc", "k_0.5")):
        pattern = by_name[name + "_pattern"]
        assert pattern.type == "DropoutPattern"
        assert list(pattern.bottom) == [k]
        assert (
            pattern.dropout_pattern_param.family
            == caffe_pb2.DropoutPatternParameter.PERIOD
        )
    assert list(by_name["b"].bottom) == ["a", "db_pattern", "da_pattern"]


@pytest.mark.parametrize("family", ["PERIOD", "RESIDUE"])
def test_inline_probability_needs_no_python(family):
    text, shape, _ = NETS["mlp"]
    net = parse(text)
    lambda3 = PERIOD_LAMBDA3 if family == "PERIOD" else None
    converted, _ = convert(
        net, family=family, max_period=N, inline_probability=True
    )
    by_name = {x.name: x for x in converted.layer}
    assert not [x for x in converted.layer if x.type == "Python"]
    for name, rate in (("da", 0.5), ("db", 0.7)):
        pattern = by_name[name + "_pattern"]
        assert not pattern.bottom
        assert list(pattern.dropout_pattern_param.probability) == list(
            search(rate, family, N, lambda3=lambda3).probability
        )
    patterns = make_patterns(net, family, 0)
    assert_same_outputs(net, converted, shape, patterns, TRAIN, {})


def test_fields_are_kept():
    text = (
        X
        + ip(
            "a",
            "x",
            "a",
            10,
            'bias_term: false axis: 1 weight_filler { type: "xavier" }',
            'param { name: "w" lr_mult: 2 } propagate_down: true '
            'include { phase: TRAIN stage: "s" }',
        )
        + drop("da", "a", "a", extra='include { phase: TRAIN stage: "s" }')
    )
    net = parse(text)
    converted, _ = convert(net, max_period=N)
    by_name = {x.name: x for x in converted.layer}
    found, original = by_name["a"], net.layer[1]
    assert found.type == "ApproxDropoutInnerProduct"
    assert list(found.propagate_down) == [True, False]
    for field in ("inner_product_param", "param", "include", "top"):
        assert getattr(found, field) == getattr(original, field)
    for name in ("k_0.5", "da_pattern"):
        assert by_name[name].include == original.include
    assert found.approx_dropout_param.HasField("pattern")


def test_tile():
    """The product behind the Dropout drops synapses, whatever lies before."""
    net = parse(
        X
        + ip("a", "x", "a", 100)
        + layer("Sigmoid", "s", "a", "a")
        + ip("o", "a", "o")
        + drop("da", "a", "da")
        + ip("b", "da", "b", 40)
    )
    converted, notes = convert(net, pattern="TILE", max_period=N)
    by_name = {x.name: x for x in converted.layer}
    assert {n: describe(by_name[n]) for n in ("a", "o", "b")} == {
        "a": "",
        "o": "",
        "b": "t",
    }
    assert notes == [
        "Dropout 'da': InnerProduct 'b' behind it drops TILE; blob 'da' is now "
        "'a', with no unit dropped",
    ]
    assert "da" not in by_name
    assert list(by_name["b"].bottom) == ["a", "da_pattern"]
    tile = by_name["b"].approx_dropout_param.tile_size
    assert tile == 100 // N

    weights = {}
    patterns = make_patterns(net, "RESIDUE", 0)
    assert_same_outputs(net, converted, (6, 7), patterns, TEST, weights)

    pattern = patterns["da"]
    dense = {**weights, "b": [weights["b"][0].copy(), weights["b"][1]]}
    for r in range(2):
        for c in range(4):
            kept = (r + c) % pattern.period in pattern.residues[0]
            rows = slice(tile * r, tile * (r + 1))
            columns = slice(tile * c, tile * (c + 1))
            dense["b"][0][rows, columns] *= pattern.scale * kept
    x = {"x": np.random.default_rng(1).normal(0, 1, (6, 7))}
    wanted = NumpyNet(net, dense, patterns, TEST).forward(x)["b"]
    found = NumpyNet(converted, weights, patterns, TRAIN).forward(x)["b"]
    np.testing.assert_allclose(found, wanted, rtol=1e-10)
    assert 0 < (dense["b"][0] == 0).mean() < 1


def test_tile_of_every_product_but_the_first():
    net = parse(NETS["mlp"][0])
    converted, _ = convert(net, pattern="TILE", max_period=N)
    products = [x for x in converted.layer if "InnerProduct" in x.type]
    assert [describe(x) for x in products] == ["", "t", "t"]
    assert not [x for x in converted.layer if x.type == "Dropout"]


@pytest.mark.parametrize(
    "text, compact",
    [
        (drop("da", "a", "a"), ""),  # no product reads it
        (
            drop("da", "a", "da")
            + layer("ReLU", "r", "a", "a")  # the product would read this
            + ip("b", "da", "b"),
            ", compact",
        ),
    ],
)
def test_tile_drops_units_where_it_cannot_drop_tiles(text, compact):
    net = parse(X + ip("a", "x", "a") + text)
    converted, notes = convert(net, pattern="TILE", max_period=N)
    assert notes == [f"Dropout 'da': becomes ApproxDropout{compact}"]
    by_name = {x.name: x for x in converted.layer}
    assert by_name["da"].type == "ApproxDropout"
    patterns = make_patterns(net, "RESIDUE", 0)
    for phase in (TRAIN, TEST):
        assert_same_outputs(net, converted, (6, 7), patterns, phase, {})


def test_groups_of_the_last_dropout():
    """Of those that are converted; compact where N divides its units."""
    text = (
        X
        + ip("a", "x", "a", 10)
        + drop("da", "a", "a")
        + ip("b", "a", "b", 10)
        + drop("db", "b", "b")
        + ip("c", "b", "c", 3)
        + drop("dc", "c", "c")
    )
    converted, notes = convert(
        parse(text), max_period=N, groups=1, last_groups=2
    )
    groups = {
        layer.name: layer.dropout_pattern_param.groups
        for layer in converted.layer
        if layer.type == "DropoutPattern"
    }
    assert groups == {"da_pattern": 1, "db_pattern": 2}  # c has 3 units only
    assert [note for note in notes if "compact" in note] == [
        "Dropout 'da': InnerProduct 'a' drops ROW, compact",
        "Dropout 'db': InnerProduct 'b' drops ROW, not compact: with groups, "
        "max_period must divide its 10 units, 4 does not",
    ]


@pytest.mark.parametrize(
    "groups, last_groups, first",
    [(2, 4, "r"), (2, 2, "ro"), (1, 4, "ro"), (4, 1, "ro")],
)
def test_last_groups_over_time_steps(groups, last_groups, first, tmp_path):
    """No product there gets two numbers of groups, which Caffe refuses."""
    case = "two products over time steps"
    arguments = dict(groups=groups, last_groups=last_groups)
    converted, notes = convert(parse(NETS[case][0]), max_period=N, **arguments)
    by_name = {x.name: x for x in converted.layer}
    assert describe(by_name["a"]) == first
    compact = "compact"
    if first == "r":
        compact = (
            "not compact: over time steps InnerProduct 'b' would need its own "
            "number of groups, 4, not 2"
        )
    assert notes[0] == f"Dropout 'da': LSTM 'a' drops ROW, {compact}"
    assert exit_status(case, tmp_path, **arguments) == 0


def test_groups():
    """What N does not divide is not made compact, and a note says so."""
    text = (
        X
        + ip("a", "x", "a", 12)
        + drop("da", "a", "a")
        + ip("b", "a", "b", 10)
        + drop("db", "b", "b")
        + ip("c", "b", "c")
    )
    converted, notes = convert(parse(text), max_period=N, groups=3)
    assert notes == [
        "Dropout 'da': InnerProduct 'a' drops ROW, compact",
        "Dropout 'db': InnerProduct 'b' drops ROW, not compact: with groups, "
        "max_period must divide its 10 units, 4 does not",
    ]
    by_name = {x.name: x for x in converted.layer}
    assert [describe(by_name[n]) for n in "abc"] == ["ro", "ri", ""]
    for name in "da_pattern", "db_pattern":
        assert by_name[name].dropout_pattern_param.groups == 3


def test_rate_zero():
    text = X + ip("a", "x", "a") + drop("da", "a", "a", 0)
    converted, _ = convert(parse(text), max_period=N, inline_probability=True)
    pattern = [x for x in converted.layer if x.type == "DropoutPattern"][0]
    assert list(pattern.dropout_pattern_param.probability) == [0, 0, 0, 1]


@pytest.mark.parametrize(
    "text, arguments, message",
    [
        (
            NETS["mlp"][0],
            dict(pattern="NONE"),
            "pattern is 'NONE', must be ROW",
        ),
        (NETS["mlp"][0], dict(family="x"), "family is 'x'"),
        (NETS["mlp"][0], dict(max_period=0), "max_period is 0"),
        (NETS["mlp"][0], dict(groups=0), "groups is 0"),
        (
            NETS["mlp"][0],
            dict(family="PERIOD", groups=2),
            "groups is 2, must be 1 for PERIOD",
        ),
        (NETS["mlp"][0], dict(rate=1.0), "dropout_ratio is 1.0, must be"),
        (
            NETS["mlp"][0],
            dict(only=["dx"]),
            "only names 'dx', but the net's Dropout layers are 'da', 'db'",
        ),
        (NETS["mlp"][0], dict(skip=["a"]), "skip names 'a'"),
        ('layers { } layer { name: "a" }', {}, "both 'layer' and 'layers'"),
    ],
)
def test_refused(text, arguments, message):
    with pytest.raises(ValueError, match=message):
        convert(parse(text), **arguments)
