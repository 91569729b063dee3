"""scripts/measure_net.py: a net of the user's own is timed as stock Caffe's and
as ours. The patched build stands in for stock Caffe."""

import json

import pytest

import measure_net
from measure import timer

NET = """
layer { name: "data" type: "Data" top: "data" top: "label"
  data_param { source: "nowhere" batch_size: 8 } }
layer { name: "fc1" type: "InnerProduct" bottom: "data" top: "fc1"
  inner_product_param { num_output: 64 weight_filler { type: "xavier" } } }
layer { name: "drop1" type: "Dropout" bottom: "fc1" top: "fc1" }
layer { name: "fc2" type: "InnerProduct" bottom: "fc1" top: "fc2"
  inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc2" bottom: "label" }
layer { name: "right" type: "Accuracy" bottom: "fc2" bottom: "label" }
"""


@pytest.fixture
def net(tmp_path, monkeypatch):
    start = timer.start
    monkeypatch.setattr(
        timer, "start", lambda label, build, *more: start(label, "caffe", *more)
    )
    path = tmp_path / "net.prototxt"
    path.write_text(NET)
    return path


def test_times_three_nets(net, tmp_path, capsys):
    output = tmp_path / "times.json"
    options = ["--shape=data:8,3,6,6", "--shape=label:8", "--rounds=2"]
    # One that would refuse a momentum.
    options += ["--solver=RMSProp", f"--output={output}"]
    assert measure_net.main([str(net), *options]) == 0
    printed = capsys.readouterr().out
    assert "ROW: Dropout 'drop1': InnerProduct 'fc1' drops ROW" in printed
    results = json.loads(output.read_text())
    rows = {row["case"]: row for row in results["rows"]}
    assert [*rows] == ["stock Caffe", "ROW", "TILE"]
    assert rows["stock Caffe"]["speed_up"] == rows["stock Caffe"]["bound"] == 1
    # Of 2 products of fc1 and 3 of fc2 half is left, TILE's fc1 is whole.
    assert rows["ROW"]["bound"] == pytest.approx(2, rel=1e-3)
    first, second = 2 * 108 * 64, 3 * 64 * 5
    assert rows["TILE"]["bound"] == pytest.approx(
        (first + second) / (first + second / 2), rel=1e-3
    )
    for row in rows.values():
        assert len(row["wall_ms_all"]) == 2 and row["wall_ms"] > 0
        assert f"| {row['case']} |" in printed


def test_times_rates_of_feature_maps(net, tmp_path, capsys):
    drop = 'layer { name: "drop1" type: "Dropout" bottom: "fc1" top: "fc1" }'
    convolution = """
    layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
      convolution_param { num_output: 16 kernel_size: 3
        weight_filler { type: "xavier" } } }
    layer { name: "drop" type: "Dropout" bottom: "conv" top: "conv" }
    """
    text = NET.replace(drop, "").replace(
        'layer { name: "fc1"', convolution + 'layer { name: "fc1"'
    )
    net.write_text(text.replace('bottom: "data" top: "fc1"', (
        'bottom: "conv" top: "fc1"'
    )))  # fmt: skip
    options = ["--shape=data:8,3,6,6", "--shape=label:8", "--rounds=1"]
    options += ["--feature-maps", "--rate=0", "--rate=0.5"]
    assert measure_net.main([str(net), *options]) == 0
    printed = capsys.readouterr().out
    assert "ROW 0.5: Dropout 'drop': Convolution 'conv' drops ROW" in printed
    assert "| ROW 0 |" in printed and "| TILE" not in printed


def test_puts_dropouts_into_the_net(net, capsys):
    net.write_text(NET.replace(NET.splitlines()[5], ""))
    options = ["--shape=data:8,3,6,6", "--shape=label:8", "--rounds=1"]
    assert measure_net.main([str(net), *options, "--drop=fc1"]) == 0
    printed = capsys.readouterr().out
    assert "Dropout 'fc1_drop': InnerProduct 'fc1' drops ROW" in printed
    assert measure_net.main([str(net), *options, "--drop=fc3"]) == 1
    assert "--drop fc3 is no layer; there are: data, fc1, fc2" in (
        capsys.readouterr().err
    )


def test_says_which_shape_is_missing(net, capsys):
    net.write_text(NET.replace('type: "Data"', 'type: "HDF5Data"'))
    assert measure_net.main([str(net)]) == 1
    assert "--shape data:" in capsys.readouterr().err


def test_says_why_caffe_refuses_a_net(net, capsys):
    options = ["--shape=data:8,3,6,6", "--shape=label:7"]
    assert measure_net.main([str(net), *options]) == 1
    error = capsys.readouterr().err
    assert "Caffe cannot build the net: Check failed" in error


def test_says_which_build_is_missing(net, monkeypatch, capsys):
    monkeypatch.undo()
    monkeypatch.setattr(timer, "ROOT", net.parent)
    options = ["--shape=data:8,3,6,6", "--shape=label:8"]
    assert measure_net.main([str(net), *options]) == 1
    assert "step_times is missing" in capsys.readouterr().err
