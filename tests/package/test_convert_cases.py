"""What users' nets have that a plain chain has not: rules, old formats, any
encoding, blobs looked at by name, other layers before the Dropout, towers."""

import pytest
from convert_nets import drop, ip, layer, lstm
from convert_oracle import describe

from approx_dropout.check import TOLERANCE, check
from approx_dropout.conversion import Options
from approx_dropout.convert import convert_net
from approx_dropout.proto import net_bytes, parse_net


def shaped(name, *dims):
    sizes = " ".join(f"dim: {d}" for d in dims)
    return layer(
        "Input", name, "", name, f"input_param {{ shape {{ {sizes} }} }}"
    )


X = shaped("x", 8, 20)


def convert(text, **options):
    """A Result, held against the original in Caffe, in every state."""
    net = parse_net(text)
    result = convert_net(net, Options(**options))
    for compared in check(result.net, net, result.dropped):
        assert compared.difference < TOLERANCE, compared
    return result


def by_name(result):
    return {x.name: x for x in result.net.layer}


def kinds(result, *names):
    return [describe(by_name(result)[name]) for name in names]


@pytest.mark.parametrize("pattern", ["ROW", "TILE"])
def test_a_layer_that_one_chain_changes_is_read_right_by_the_next(pattern):
    result = convert(
        X
        + ip("f1", "x", "f1", 1024)
        + drop("d1", "f1", "f1")
        + ip("f2", "f1", "f2", 1024)
        + drop("d2", "f2", "f2")
        + ip("f3", "f2", "f3", 1024)
        + drop("d3", "f3", "f3")
        + ip("f4", "f3", "f4", 5),
        pattern=pattern,
    )
    names = ("f1", "f2", "f3", "f4")
    if pattern == "ROW":
        assert kinds(result, *names) == ["ro", "rio", "rio", "ni"]
        return
    assert kinds(result, *names) == ["", "t", "t", "t"]
    for name in names[1:]:
        assert by_name(result)[name].approx_dropout_param.tile_size == 32


@pytest.mark.parametrize("pattern", ["ROW", "TILE"])
def test_the_same_of_lstms(pattern):
    result = convert(
        shaped("x", 3, 4, 20)
        + shaped("cont", 3, 4)
        + lstm("a", "x cont", "a", 48)
        + drop("da", "a", "a")
        + lstm("b", "a cont", "b", 64)
        + drop("db", "b", "db")
        + ip("c", "db", "c", 5, "axis: 2"),
        pattern=pattern,
    )
    wanted = ["ro", "rio", "ni"] if pattern == "ROW" else ["", "t", "t"]
    assert kinds(result, "a", "b", "c") == wanted
    if pattern == "TILE":
        sizes = [
            by_name(result)[n].approx_dropout_param.tile_size for n in "bc"
        ]
        assert sizes == [3, 4]


VIEW = {
    "Flatten": layer("Flatten", "v", "f1", "v"),
    "Reshape": layer(
        "Reshape", "v", "f1", "v", "reshape_param { shape { dim: 0 dim: -1 } }"
    ),
    "Split": layer("Split", "v", "f1", "v"),
}


@pytest.mark.parametrize("view", VIEW)
@pytest.mark.parametrize("behind", [False, True])
def test_tiles_read_no_blob_that_is_overwritten(view, behind):
    """The Dropout has copied it. The backward pass reads it, too."""
    relu = layer("ReLU", "r", "v", "v")
    product = ip("f2", "d", "f2", 5)
    result = convert(
        X
        + ip("f1", "x", "f1", 64)
        + drop("d1", "f1", "d")
        + VIEW[view]
        + (product + relu if behind else relu + product)
        + ip("f3", "v", "f3", 5),
        pattern="TILE",
    )
    assert kinds(result, "d1", "f2") == ["o", "ni"]


def test_tiles_read_a_view_that_is_not_overwritten():
    result = convert(
        X
        + ip("f1", "x", "f1", 64)
        + VIEW["Flatten"]
        + layer("ReLU", "r", "v", "v")
        + drop("d1", "v", "d")
        + ip("f2", "d", "f2", 5),
        pattern="TILE",
    )
    assert kinds(result, "f2") == ["t"]


def test_a_rate_that_is_too_high_is_a_note():
    result = convert(
        X
        + ip("f1", "x", "f1", 64)
        + drop("d1", "f1", "f1")
        + ip("f2", "f1", "f2", 64)
        + drop("d2", "f2", "f2", 0.95)
        + ip("f3", "f2", "f3", 5)
        + drop("d3", "f3", "f3", 1.0),
    )
    assert kinds(result, "f1", "f2", "d2", "f3") == ["ro", "ni", "D", ""]
    assert result.notes[1].startswith(
        "left Dropout 'd2': dropout_ratio is 0.95"
    )
    assert result.notes[1].endswith("max_period must be at least 20")
    assert "'d3': dropout_ratio is 1.0, must be" in result.notes[2]


@pytest.mark.parametrize("pattern", ["ROW", "TILE"])
@pytest.mark.parametrize(
    "rule", ["include { phase: TRAIN }", "exclude { phase: TEST }"]
)
def test_rules_that_leave_it_out_of_the_test_phase_do_not_matter(rule, pattern):
    result = convert(
        X
        + ip("f1", "x", "f1", 64)
        + drop("d1", "f1", "f1", extra=rule)
        + ip("f2", "f1", "f2", 5),
        pattern=pattern,
    )
    wanted = ["ro", "ni"] if pattern == "ROW" else ["", "t"]
    assert kinds(result, "f1", "f2") == wanted
    assert not by_name(result)["d1_pattern"].include


@pytest.mark.parametrize("pattern", ["ROW", "TILE"])
@pytest.mark.parametrize(
    "rule",
    [
        'include { stage: "on" }',
        'exclude { stage: "off" }',
        'include { phase: TRAIN not_stage: "off" }',
        "exclude { min_level: 2 }",
    ],
)
def test_other_rules_stay(rule, pattern):
    """Without its stage the net has no dropout; a Split hands the blob on."""
    result = convert(
        X
        + ip("f2", "x", "f2", 64)
        + drop("d2", "f2", "f2", extra=rule)
        + ip("f3", "f2", "f3", 5),
        pattern=pattern,
    )
    found = by_name(result)
    original = parse_net(drop("d2", "f2", "f2", extra=rule)).layer[0]
    assert found["d2"].type == "ApproxDropout"
    for name in ("k_0.5", "d2_pattern", "d2"):
        assert found[name].include == original.include
        assert found[name].exclude == original.exclude
    assert found["d2_passed"].include == original.exclude
    assert found["d2_passed"].exclude == original.include
    assert kinds(result, "f2", "f3") == ["", ""]


def test_one_search_serves_a_dropout_with_a_rule_and_one_without():
    result = convert(
        X
        + ip("f1", "x", "f1", 64)
        + drop("d1", "f1", "f1", extra='include { stage: "on" }')
        + ip("f2", "f1", "f2", 64)
        + drop("d2", "f2", "f2"),
    )
    searches = [x for x in result.net.layer if x.type == "Python"]
    assert [x.name for x in searches] == ["k_0.5"] and not searches[0].include


def test_products_that_take_each_others_place():
    """As in a net whose stage freezes its first layers."""
    on, off = 'include { stage: "on" }', 'exclude { stage: "on" }'
    result = convert(
        X
        + ip("f1", "x", "f1", 64, extra=on)
        + ip("g1", "x", "f1", 64, extra=off)
        + layer("ReLU", "r", "f1", "f1")
        + drop("d1", "f1", "f1")
        + ip("f2", "f1", "f2", 5, extra=on)
        + ip("g2", "f1", "f2", 5, extra=off),
    )
    assert kinds(result, "f1", "g1", "f2", "g2") == ["ro", "ro", "ni", "ni"]
    assert result.notes == [
        "Dropout 'd1': InnerProduct 'f1' or InnerProduct 'g1' drops ROW, "
        "compact"
    ]


def test_blobs_keep_their_names_where_they_can():
    """The Dropout's top goes; it says by which name what was in it is found."""
    net = (
        X
        + ip("fc1", "x", "fc1", 64)
        + layer("ReLU", "relu1", "fc1", "relu1")
        + drop("drop1", "relu1", "drop1")
        + ip("fc2", "drop1", "fc2", 48)
    )
    result = convert(net)
    tops = {top for x in result.net.layer for top in x.top}
    assert {"x", "fc1", "relu1", "fc2"} <= tops and "drop1" not in tops
    assert result.notes == [
        "Dropout 'drop1': InnerProduct 'fc1' drops ROW, compact; blob 'drop1' "
        "is now 'relu1', which in TRAIN holds kept units only"
    ]
    result = convert(net, pattern="TILE")
    assert result.notes == [
        "Dropout 'drop1': InnerProduct 'fc2' behind it drops TILE; blob "
        "'drop1' is now 'relu1', with no unit dropped"
    ]


def test_what_the_net_puts_out_keeps_its_name():
    result = convert(
        X
        + ip("fc1", "x", "fc1", 64)
        + layer("ReLU", "relu1", "fc1", "relu1")
        + drop("drop1", "relu1", "drop1")
    )
    assert list(by_name(result)["relu1"].top) == ["drop1"]
    assert "blob 'relu1' is now 'drop1'" in result.notes[0]


def test_a_dropped_input_keeps_its_name():
    """People fill it by that name; what reads it reads another one."""
    result = convert(X + drop("d", "x", "x") + ip("f", "x", "f", 5))
    assert list(by_name(result)["d"].bottom) == ["x", "d_pattern"]
    assert list(by_name(result)["f"].bottom) == ["x_dropped", "d_pattern"]
    assert result.notes[0].endswith("'x' stays whole, 'x_dropped' is dropped")


@pytest.mark.parametrize("family", ["PERIOD", "RESIDUE"])
@pytest.mark.parametrize("inline", [False, True])
def test_the_family_is_always_written(family, inline):
    result = convert_net(
        parse_net(X + ip("f", "x", "f", 64) + drop("d", "f", "f")),
        Options(family=family, inline_probability=inline),
    )
    text = net_bytes(result.net).decode()
    assert f"family: {family}" in text
    assert inline or f'\\"family\\": \\"{family}\\"' in text


IMAGE = shaped("x", 8, 6, 5, 5)
CONV = layer(
    "Convolution",
    "c",
    "x",
    "c",
    "convolution_param { num_output: 4 kernel_size: 2 }",
)


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize(
    "before, blob, wanted",
    [
        (
            X + ip("f", "x", "f", 64) + layer("BatchNorm", "n", "f", "n"),
            "n",
            "",
        ),
        (
            X
            + ip("f", "x", "f", 64)
            + layer("BatchNorm", "n", "f", "n")
            + layer("Scale", "s", "n", "n"),
            "n",
            "",
        ),
        (
            X
            + ip("f", "x", "f", 32)
            + ip("g", "x", "g", 32)
            + layer("Concat", "n", "f g", "n"),
            "n",
            "",
        ),
        (X + layer("Eltwise", "n", "x x", "n"), "n", ""),
        (IMAGE + CONV, "c", " of the flattened blob"),
        (
            IMAGE
            + CONV
            + layer(
                "Pooling",
                "p",
                "c",
                "p",
                "pooling_param { pool: AVE kernel_size: 2 }",
            ),
            "p",
            " of the flattened blob",
        ),
        (IMAGE + layer("Flatten", "n", "x", "n"), "n", ""),
    ],
)
def test_behind_other_layers(before, blob, wanted, in_place):
    """Compact, as an InnerProduct takes it."""
    top = blob if in_place else "d"
    net = before + drop("d", blob, top) + ip("out", top, "out", 5)
    result = convert(net)
    stays = ""
    if in_place and wanted:
        stays = f"; blob '{blob}' stays whole, '{blob}_dropped' is dropped"
    assert result.notes == [
        f"Dropout 'd': becomes ApproxDropout{wanted}, compact{stays}"
    ]
    assert kinds(result, "d", "out") == ["o", "ni"]
    assert kinds(convert(net, pattern="TILE", max_period=4), "out") == ["t"]


def test_of_an_image_that_is_read_as_one_it_stays():
    result = convert(
        IMAGE
        + CONV
        + drop("d", "c", "c")
        + layer("Pooling", "p", "c", "p", "pooling_param { kernel_size: 2 }"),
    )
    assert result.notes == [
        "left Dropout 'd': blob 'c' has 4 axes; units of the last would be "
        "dropped, an image's columns"
    ]


def test_a_size_that_is_not_known_is_a_note_and_can_be_told():
    net = (
        layer("HDF5Data", "h", "", "h", 'hdf5_data_param { source: "h" }')
        + drop("d", "h", "d")
        + ip("f", "d", "f", 5)
    )
    result = convert_net(parse_net(net), Options())
    assert result.notes == [
        "left Dropout 'd': the size of blob 'h' is not known here; --shape can "
        "tell that of the data"
    ]
    result = convert_net(parse_net(net), Options(shapes={"h": (8, 30)}))
    assert kinds(result, "d", "f") == ["o", "ni"]


TWO = (
    X
    + ip("f1", "x", "f1", 64)
    + drop("d1", "f1", "f1")
    + ip("f2", "f1", "f2", 64)
    + drop("d2", "f2", "f2", 0.7)
    + ip("f3", "f2", "f3", 5)
)


def test_only_and_skip():
    for options in (dict(only=("d2",)), dict(skip=("d1",))):
        result = convert(TWO, **options)
        assert kinds(result, "f1", "d1", "f2", "f3") == ["", "D", "ro", "ni"]
        assert result.notes[0].startswith("left Dropout 'd1': ")


def test_rate():
    result = convert(TWO, rate=0.25)
    searches = [x.name for x in result.net.layer if x.type == "Python"]
    assert searches == ["k_0.25"]


def tower(end, rate=0.5):
    weights = 'param { name: "w" } param { name: "b" }'
    return (
        shaped(f"x{end}", 8, 20)
        + ip(f"f{end}", f"x{end}", f"f{end}", 64, extra=weights)
        + layer("ReLU", f"r{end}", f"f{end}", f"f{end}")
        + drop(f"d{end}", f"f{end}", f"f{end}", rate)
        + ip(
            f"g{end}",
            f"f{end}",
            f"g{end}",
            16,
            extra='param { name: "v" } param { name: "c" }',
        )
    )


@pytest.mark.parametrize("pattern", ["ROW", "TILE"])
def test_towers_share_a_pattern(pattern):
    result = convert(tower("1") + tower("2"), pattern=pattern, share=True)
    patterns = [x.name for x in result.net.layer if x.type == "DropoutPattern"]
    assert patterns == ["d1_pattern"]
    own = ("f1", "f2") if pattern == "ROW" else ("g1", "g2")
    for name in own:
        assert by_name(result)[name].bottom[1] == patterns[0]
    assert result.notes[1].endswith("; shares pattern 'd1_pattern'")


def test_only_what_is_alike_shares():
    for net, share in (
        (tower("1") + tower("2", 0.7), True),
        (tower("1") + tower("2"), False),
        (TWO, True),
    ):
        result = convert_net(parse_net(net), Options(share=share))
        patterns = [x for x in result.net.layer if x.type == "DropoutPattern"]
        assert len(patterns) == 2
