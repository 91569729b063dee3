"""convert --check: it sees what is wrong, and says what it compared."""

import re

import pytest
from convert_nets import drop, ip, layer, lstm
from test_convert_cases import TWO, X, shaped

from approx_dropout.__main__ import main
from approx_dropout.check import TOLERANCE, check
from approx_dropout.conversion import Options
from approx_dropout.convert import convert_net
from approx_dropout.proto import net_bytes, parse_net


def worst(compared, where):
    return max(x.difference for x in compared if x.where.startswith(where))


def damage_patterns(net, dropped):
    """Two patterns change places."""
    first, second = dropped
    dropped[:] = [
        first._replace(pattern=second.pattern),
        second._replace(pattern=first.pattern),
    ]


def damage_scale(net, dropped):
    """A rate other than the Dropout's is fine; no dropout at all is not."""
    for x in net.layer:
        if x.name == "f2":
            x.type = "InnerProduct"
            x.ClearField("approx_dropout_param")
            del x.bottom[1:]


def damage_activation(net, dropped):
    """A layer less, which TEST shows too."""
    (relu,) = [x for x in net.layer if x.type == "ReLU"]
    relu.relu_param.negative_slope = 0.5


def damage_tiles(net, dropped):
    """Tiles of another size: the oracle believes the net, so the plan says
    which product has them; another one is wrong."""
    dropped[0] = dropped[0]._replace(products=())


@pytest.mark.parametrize(
    "damage, pattern, in_test",
    [
        (damage_patterns, "ROW", False),
        (damage_scale, "TILE", False),
        (damage_activation, "ROW", True),
        (damage_tiles, "TILE", False),
    ],
)
def test_a_wrong_net_is_seen(damage, pattern, in_test):
    text = TWO.replace(
        drop("d2", "f2", "f2", 0.7),
        layer("ReLU", "r", "f2", "f2") + drop("d2", "f2", "f2", 0.7),
    )
    net = parse_net(text)
    result = convert_net(net, Options(pattern=pattern, max_period=8))
    dropped = list(result.dropped)
    damage(result.net, dropped)
    if damage is damage_scale:  # f2 has no tiles any more
        names = [x.name for x in net.layer]
        dropped = [
            x._replace(products=())
            if names.index("f2") in x.products
            else x
            for x in dropped
        ]
    compared = check(result.net, net, dropped)
    assert worst(compared, "TRAIN") > TOLERANCE
    assert (worst(compared, "TEST") > TOLERANCE) == in_test


def test_groups_and_tiles_of_an_lstm():
    text = (
        shaped("x", 3, 4, 20)
        + shaped("cont", 3, 4)
        + lstm("a", "x cont", "a", 48)
        + drop("da", "a", "a")
        + lstm("b", "a cont", "b", 64)
        + drop("db", "b", "db")
        + ip("c", "db", "c", 5, "axis: 2")
    )
    for pattern in ("ROW", "TILE"):
        net = parse_net(text)
        result = convert_net(net, Options(pattern=pattern, groups=2))
        assert worst(check(result.net, net, result.dropped), "T") < TOLERANCE


DATA = layer(
    "Data",
    "data",
    "",
    "data",
    'top: "label" transform_param { crop_size: 6 } '
    'data_param { source: "nowhere" batch_size: 64 }',
)
LOSS = layer("SoftmaxWithLoss", "loss", "f2 label", "loss")
BODY = (
    ip("f1", "data", "f1", 64)
    + drop("d1", "f1", "f1")
    + ip("f2", "f1", "f2", 5)
    + LOSS
)
HDF5 = DATA.replace('type: "Data"', 'type: "HDF5Data"')


def run(tmp_path, text, *arguments):
    path, output = tmp_path / "net.prototxt", tmp_path / "out.prototxt"
    path.write_text(text)
    status = main(["convert", str(path), "-o", str(output), *arguments])
    return status, output


def test_it_needs_no_data(tmp_path, capfd):
    status, output = run(tmp_path, DATA + BODY, "--check")
    assert status == 0 and output.exists()
    printed = capfd.readouterr().err
    for blob in ("loss", "f2"):
        for phase in ("TRAIN", "TEST"):
            line = f"{phase}: blob '{blob}': largest difference .* of the large"
            assert re.search(line, printed)
    assert "check passed: 4 comparisons" in printed


def test_a_shape_that_is_not_known_is_asked_for(tmp_path, capfd):
    status, output = run(tmp_path, HDF5 + BODY, "--check")
    assert status == 1
    assert "give it, as in --shape data:32,3,224,224" in capfd.readouterr().err
    arguments = ["--check", "--shape", "data:4,20", "--shape", "label:4"]
    assert run(tmp_path, HDF5 + BODY, *arguments)[0] == 0
    phases = [
        HDF5.replace(
            "transform_param", f"include {{ phase: {p} }} transform_param"
        )
        for p in ("TRAIN", "TEST")
    ]
    arguments = ["--check"]
    for shape in (
        "data@TRAIN:4,20",
        "data@TEST:2,20",
        "label@TRAIN:4",
        "label@TEST:2",
    ):
        arguments += ["--shape", shape]
    assert run(tmp_path, "".join(phases) + BODY, *arguments)[0] == 0


@pytest.mark.parametrize("text", ["data", "data:", "data:1,x", ":3", "a:0"])
def test_a_shape_is_sizes(text, tmp_path, capsys):
    with pytest.raises(SystemExit):
        run(tmp_path, TWO, "--shape", text)
    assert "is not BLOB:SIZES" in capsys.readouterr().err


def test_a_net_that_caffe_refuses_is_said(tmp_path, capfd):
    wrong = X + ip("f", "x", "f", 64) + drop("d", "f", "f")
    wrong += layer("Eltwise", "e", "f x", "e")  # of two shapes
    status, _ = run(tmp_path, wrong, "--check")
    assert status == 1
    printed = capfd.readouterr().err
    assert "Check failed" in printed and "Caffe refuses a net" in printed


def test_a_check_that_fails_ends_with_1(tmp_path, capfd, monkeypatch):
    """With every tolerance too small, any difference is too large."""
    monkeypatch.setattr("approx_dropout.check.TOLERANCE", -1.0)
    status, output = run(tmp_path, TWO, "--check")
    assert status == 1 and not output.exists()
    assert "check FAILED" in capfd.readouterr().err


def test_layers_without_a_name_of_their_own(tmp_path, capfd):
    """Caffe takes such nets."""
    text = (
        X
        + shaped("label", 8)
        + ip("", "x", "f1", 64)
        + drop("", "f1", "d1")
        + ip("", "d1", "f2", 32)
        + layer("ReLU", "", "f2", "f2")
        + drop("", "f2", "f2")
        + ip("", "f2", "f3")
        + ip("", "f1", "f4")
        + layer("SoftmaxWithLoss", "", "f3 label", "loss3")
        + layer("SoftmaxWithLoss", "loss", "f4 label", "loss4")
        + layer("SoftmaxWithLoss", "loss", "f3 label", "loss5")
    )
    for nameless in text, text.replace('name: "" ', ""):
        for pattern in ("ROW", "TILE"):
            status, _ = run(tmp_path, nameless, "--check", "--pattern", pattern)
            assert status == 0
            assert "check passed: 10 comp" in capfd.readouterr().err


def test_what_is_no_number_is_not_the_same(tmp_path, capfd):
    text = TWO + layer("Log", "log", "x", "log") + ip("g", "log", "g")
    status, output = run(tmp_path, text, "--check")
    assert status == 1 and not output.exists()
    printed = capfd.readouterr().err
    assert "blob 'g': largest difference nan" in printed
    assert "check FAILED: 4 comparisons, largest difference nan" in printed


def test_files_that_a_net_writes_are_left(tmp_path, capfd):
    features = tmp_path / "features.h5"
    features.write_text("mine")
    text = TWO + layer(
        "HDF5Output",
        "out",
        "f2 x",
        "t",
        f'hdf5_output_param {{ file_name: "{features}" }}',
    ).replace('top: "t"', "")
    status, output = run(tmp_path, text, "--check")
    assert status == 0
    assert "TEST: blob 'f2': largest difference" in capfd.readouterr().err
    assert "HDF5Output" in output.read_text()
    assert main(["inspect", str(output)]) == 0
    assert features.read_text() == "mine"


def test_an_unread_net_has_nothing_to_compare():
    net = parse_net(X + layer("Silence", "s", "x", "t").replace('top: "t"', ""))
    with pytest.raises(ValueError, match="puts out nothing"):
        check(net, net, [])


def test_all_options_and_back(tmp_path, capfd):
    arguments = "--family PERIOD --max-period 4 --rate 0.5 --skip d1 --check"
    status, output = run(tmp_path, TWO, *arguments.split())
    assert status == 0
    printed = capfd.readouterr().err
    assert "left Dropout 'd1': it is to be skipped" in printed
    back = tmp_path / "back"
    status = main(
        ["convert", "--revert", "--check", str(output), "-o", str(back)]
    )
    assert status == 0
    rates = [
        x.dropout_param.dropout_ratio
        for x in parse_net(back.read_text()).layer
        if x.type == "Dropout"
    ]
    assert rates == [0.5, 0.5]
    again = net_bytes(parse_net(back.read_text()))
    assert back.read_bytes() == again
