"""`--feature-maps`: Dropouts of images that drop whole maps."""

import pytest
from convert_nets import drop, ip, layer
from convert_oracle import describe
from test_convert_cases import shaped

from approx_dropout.check import TOLERANCE, check
from approx_dropout.conversion import Options
from approx_dropout.convert import convert_net
from approx_dropout.proto import parse_net
from approx_dropout.revert import revert_net

IMAGES = shaped("x", 6, 3, 9, 11)
POOL = "pooling_param { kernel_size: 2 stride: 2 }"
SPLITS = "it drops whole feature maps, not single values"


def conv(name, bottom, outputs=32, more=""):
    return layer(
        "Convolution",
        name,
        bottom,
        name,
        f"convolution_param {{ num_output: {outputs} kernel_size: 3 {more} "
        "weight_filler { type: 'gaussian' std: 0.2 } }",
    )


def pool(name, bottom):
    return layer("Pooling", name, bottom, name, POOL)


def relu(blob):
    return layer("ReLU", f"relu_{blob}", blob, blob)


def held(ours, stock, dropped):
    for compared in check(ours, stock, dropped):
        assert compared.difference < TOLERANCE, compared


def convert(text, **options):
    """A Result, held against the original in Caffe, and so is what it is
    reverted to."""
    net = parse_net(text)
    result = convert_net(net, Options(feature_maps=True, **options))
    held(result.net, net, result.dropped)
    back = revert_net(result.net)
    held(result.net, back.net, back.dropped)
    return result


def kinds(result, *names):
    by_name = {x.name: x for x in result.net.layer}
    return [describe(by_name[name]) for name in names]


CHAIN = (
    IMAGES
    + conv("c1", "x")
    + relu("c1")
    + drop("d1", "c1", "c1")
    + pool("p1", "c1")
    + conv("c2", "p1", 48, "pad: 1")
    + relu("c2")
    + pool("p2", "c2")
    + drop("d2", "p2", "p2")
    + ip("f1", "p2", "f1", 64)
    + relu("f1")
    + drop("d3", "f1", "f1")
    + ip("f2", "f1", "f2", 5)
)


@pytest.mark.parametrize("groups", [1, 3])
def test_a_chain_is_compact(groups):
    result = convert(CHAIN, groups=groups)
    names = ("c1", "c2", "f1", "f2")
    assert kinds(result, *names) == ["ro", "rio", "rio", "ni"]
    assert result.notes == [
        f"Dropout 'd1': Convolution 'c1' drops ROW, compact; {SPLITS}",
        f"Dropout 'd2': Convolution 'c2' drops ROW, compact; {SPLITS}",
        "Dropout 'd3': InnerProduct 'f1' drops ROW, compact",
    ]


def test_only_if_asked_for():
    net = parse_net(CHAIN)
    result = convert_net(net, Options())
    assert kinds(result, "c1", "c2", "f2") == ["", "", "ni"]
    assert "an image's columns" in result.notes[0]


def test_tiles_are_of_products():
    with pytest.raises(ValueError, match="feature_maps goes with pattern ROW"):
        Options(pattern="TILE", feature_maps=True).check()


LRN = layer("LRN", "n", "c1", "n")
SCALE = layer("Scale", "n", "c1", "n")
PRELU = layer("PReLU", "n", "c1", "n")


@pytest.mark.parametrize(
    "between, behind, wanted",
    [
        # Neighbours before the Dropout: maps are dropped behind them.
        (LRN, conv("y", "d"), ["", "o", "ni"]),
        (SCALE, conv("y", "d"), ["", "o", "ni"]),
        # Behind it: zeros stay.
        (layer("ReLU", "n", "c1", "n"), layer("LRN", "y", "d", "y"), None),
        (PRELU, conv("y", "d"), None),
    ],
)
def test_layers_that_look_at_other_channels(between, behind, wanted):
    result = convert(
        IMAGES
        + conv("c1", "x")
        + between
        + drop("d1", "n", "d")
        + behind
        + (ip("f", "y", "f", 5))
    )
    if wanted is None:
        assert kinds(result, "c1") == ["r"]
    else:
        assert kinds(result, "c1", "d1", "y") == wanted


def test_groups_of_a_convolution():
    """N must divide the channels of each."""
    text = (
        IMAGES
        + conv("c1", "x", 48)
        + drop("d1", "c1", "c1")
        + conv("c2", "c1", 32, "group: 2")
        + drop("d2", "c2", "c2")
        + ip("f", "c2", "f", 5)
    )
    result = convert(text, max_period=16)
    assert kinds(result, "c1", "c2", "f") == ["r", "ro", "ni"]
    assert (
        "of each of the groups of Convolution 'c2': max_period is 16, family R"
        in result.notes[0]
    )
    result = convert(text, max_period=12)
    assert kinds(result, "c1", "c2", "d2", "f") == ["ro", "ni", "o", "ni"]
    result = convert(text, max_period=8)
    assert kinds(result, "c1", "c2", "f") == ["ro", "rio", "ni"]
    # PERIOD draws 3, too, of channels that are 24 and 16 a group.
    result = convert(text, family="PERIOD", max_period=4)
    assert kinds(result, "c1", "c2", "d2", "f") == ["ro", "ni", "o", "ni"]
    result = convert(text, family="PERIOD", max_period=2)
    assert kinds(result, "c1", "c2", "f") == ["ro", "rio", "ni"]


def test_a_second_reader_gets_zeros():
    result = convert(
        IMAGES
        + conv("c1", "x")
        + drop("d1", "c1", "d")
        + conv("y", "d")
        + conv("z", "d")
    )
    assert kinds(result, "c1", "y", "z") == ["r", "", ""]


def test_too_few_maps_are_a_note():
    result = convert(IMAGES + conv("c1", "x", 12) + drop("d1", "c1", "d"))
    assert "drops 12 units, fewer than max_period 16" in result.notes[0]


def test_a_dropout_comes_back_behind_the_pooling():
    """In front of it, single values would be a weaker dropout."""
    net = parse_net(
        IMAGES
        + conv("c1", "x")
        + relu("c1")
        + pool("p1", "c1")
        + drop("d1", "p1", "d")
        + ip("f1", "d", "f1", 5)
    )
    there = convert_net(net, Options(feature_maps=True))
    assert [x.type for x in there.net.layer if x.name == "d1"] == []
    back = revert_net(there.net)
    assert [x.name for x in back.net.layer] == [x.name for x in net.layer]
    held(there.net, back.net, back.dropped)


def test_hand_written_axes_are_reverted():
    """ApproxDropout of channels by default, of columns if told."""
    text = (
        shaped("x", 6, 16, 3, 8)
        + layer(
            "DropoutPattern",
            "p",
            "",
            "p",
            "dropout_pattern_param { probability: 1 probability: 0 }",
        )
        + layer("ApproxDropout", "a", "x p", "a")
        + layer(
            "ApproxDropout",
            "b",
            "a p",
            "b",
            "approx_dropout_param { unit_axis: 3 }",
        )
        + ip("f", "b", "f", 5)
    )
    net = parse_net(text)
    back = revert_net(net)
    assert [x.axis for x in back.dropped] == [1, 3]
    held(net, back.net, back.dropped)
