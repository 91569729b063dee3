"""Nets converted and reverted are equal to the original; nets written by hand
with our layers are equal to what they become, where that can be."""

import pytest
from convert_nets import NETS, drop, ip, layer, lstm
from test_convert_cases import IMAGE, X, shaped, tower
from test_convert_formats import V0

from approx_dropout.__main__ import main
from approx_dropout.check import TOLERANCE, check
from approx_dropout.conversion import Options
from approx_dropout.convert import convert_net
from approx_dropout.proto import parse_net
from approx_dropout.revert import revert_net


def assert_held(ours, result):
    for compared in check(ours, result.net, result.dropped):
        assert compared.difference < TOLERANCE, compared


def skeleton(net):
    """A net without what may change: names of blobs, and of patterns."""
    return [
        (x.type, x.name, round(x.dropout_param.dropout_ratio, 3), len(x.bottom))
        for x in net.layer
    ]


@pytest.mark.parametrize("inline", [False, True])
@pytest.mark.parametrize("pattern", ["ROW", "TILE"])
@pytest.mark.parametrize(
    "case", [c for c in NETS if "phase" not in c or "data" in c]
)
def test_there_and_back(case, pattern, inline):
    """Layers, their order, names and rates are the original's."""
    net = parse_net(NETS[case][0])
    options = Options(pattern=pattern, max_period=4, inline_probability=inline)
    back = revert_net(convert_net(net, options).net)
    assert sorted(skeleton(back.net)) == sorted(skeleton(net))


@pytest.mark.parametrize("pattern", ["ROW", "TILE"])
@pytest.mark.parametrize(
    "text",
    [
        X
        + ip("a", "x", "a", 64)
        + layer("ReLU", "r", "a", "r")
        + drop("d", "r", "d", 0.7)
        + ip("b", "d", "b", 64)
        + layer("Sigmoid", "s", "b", "b")
        + drop("e", "b", "b", extra='include { stage: "on" }')
        + ip("c", "b", "c", 5),
        shaped("x", 3, 4, 20)
        + shaped("cont", 3, 4)
        + lstm("a", "x cont", "a", 48)
        + drop("d", "a", "d")
        + lstm("b", "d cont", "b", 32)
        + drop("e", "b", "e")
        + ip("c", "e", "c", 5, "axis: 2"),
        IMAGE + drop("d", "x", "d") + ip("a", "d", "a", 5),
        IMAGE + drop("d", "x", "x") + ip("a", "x", "a", 5),
        tower("1") + tower("2"),
        V0,
    ],
)
def test_there_and_back_in_caffe(text, pattern):
    ours = convert_net(parse_net(text), Options(pattern=pattern)).net
    back = revert_net(ours)
    assert not any(
        "Approx" in x.type or "Pattern" in x.type for x in back.net.layer
    )
    assert_held(ours, back)


K = "dropout_pattern_param { family: %s probability: [%s] }"
HALF = layer("DropoutPattern", "p", "", "p", K % ("RESIDUE", "0, 1, 0, 0"))


def ours(name, bottoms, fields, outputs=12):
    return layer(
        "ApproxDropoutInnerProduct",
        name,
        bottoms,
        name,
        f"inner_product_param {{ num_output: {outputs} }} "
        f"approx_dropout_param {{ {fields} }}",
    )


@pytest.mark.parametrize(
    "text",
    [
        # One pattern for two places, a compact chain, two readers of it.
        HALF
        + X
        + ours("a", "x p", "compact_output: true")
        + layer("ReLU", "r", "a", "a")
        + ours("b", "a p p", "compact_input: true")
        + ip("c", "b", "c", 5)
        + ip("d", "b", "d", 5),
        HALF
        + X
        + ours("a", "x p", "compact_output: true")
        + ours("b", "a p", "pattern: NONE compact_input: true")
        + ours("c", "a p", "pattern: NONE compact_input: true"),
        HALF + X + ours("a", "x p", "pattern: TILE tile_size: 4"),
        HALF
        + X
        + layer("ApproxDropout", "a", "x p", "a")
        + ip("b", "a", "b", 5)
        + ip("c", "x", "c", 5),
    ],
)
def test_nets_written_by_hand(text):
    net = parse_net(text)
    assert_held(net, revert_net(net))


def test_rates_are_those_of_k():
    periods = layer("DropoutPattern", "p", "", "p", K % ("PERIOD", "0.5, 0.5"))
    for pattern, rate in ((HALF, 0.5), (periods, 0.25)):
        result = revert_net(parse_net(pattern + X + ours("a", "x p", "")))
        (dropout,) = [x for x in result.net.layer if x.type == "Dropout"]
        assert dropout.dropout_param.dropout_ratio == rate


def test_what_has_no_equal_is_said(capfd, tmp_path):
    recurrent = shaped("x", 3, 4, 20) + shaped("cont", 3, 4) + HALF
    recurrent += layer(
        "ApproxDropoutLSTM",
        "a",
        "x cont p",
        "a",
        "recurrent_param { num_output: 8 } approx_dropout_param { recurrent: "
        "true }",
    )
    assert revert_net(parse_net(recurrent)).notes == [
        "ApproxDropoutLSTM 'a': becomes LSTM and Dropout 'p_drop'; its "
        "recurrent product is not dropped any more"
    ]
    path = tmp_path / "net"
    path.write_text(recurrent)
    assert main(["convert", "--revert", "--check", str(path)]) == 0
    assert "TRAIN is not compared: an LSTM drops" in capfd.readouterr().err
    tiles = revert_net(parse_net(HALF + X + ours("a", "x p", "pattern: TILE")))
    assert tiles.notes == [
        "ApproxDropoutInnerProduct 'a': becomes InnerProduct and Dropout "
        "'p_drop', which drops its inputs, not TILE"
    ]


@pytest.mark.parametrize(
    "text, message",
    [
        (
            X + shaped("p", 1, 6) + ours("a", "x p", ""),
            "blob 'p' is read as a pattern, but comes from Input layer 'p'",
        ),
        (
            X
            + shaped("k", 4)
            + layer("DropoutPattern", "p", "k", "p")
            + ours("a", "x p", ""),
            "the rate of DropoutPattern 'p' is not known: K comes from Input",
        ),
        (
            X + layer("DropoutPattern", "p", "", "p") + ours("a", "x p", ""),
            "the rate of DropoutPattern 'p' is not known: K comes from no lay",
        ),
        (
            'input: "p" input_shape { dim: 1 dim: 6 }' + ours("a", "x p", ""),
            "blob 'p' is read as a pattern, but comes from no layer, not from",
        ),
        (
            'input: "x" input_shape { dim: 4 dim: 6 }' + ours("a", "x", ""),
            "blob 'x' is read as a pattern, but comes from no layer, not from",
        ),
        (
            X
            + layer(
                "Python",
                "k",
                "",
                "k",
                'python_param { layer: "PatternSearchLayer" '
                "param_str: '{\"dropout_rate\": 0.5}' }",
            )
            + layer("DropoutPattern", "p", "k", "p")
            + ours("a", "x p", ""),
            "PatternSearchLayer 'k': key 'dropout_rate' in param_str is unkno",
        ),
    ],
)
def test_a_rate_that_is_not_known(text, message):
    with pytest.raises(ValueError, match=message):
        revert_net(parse_net(text))
