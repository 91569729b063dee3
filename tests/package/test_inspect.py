"""approx-dropout inspect: solver states, nets, weights."""

import re

import caffe
import h5py
import numpy as np
import pytest
from caffe.proto import caffe_pb2
from google.protobuf import text_format

from approx_dropout import models, multiply_adds, net_shapes
from approx_dropout.__main__ import main
from approx_dropout.search import search

SEARCHED = """
layer { name: "k" type: "Python" top: "k"
  python_param { module: "approx_dropout" layer: "PatternSearchLayer"
    param_str: '{"dropout_ratio": 0.6, "family": "PERIOD", "max_period": 8}' } }
layer { name: "p1" type: "DropoutPattern" bottom: "k" top: "p1"
  dropout_pattern_param { family: PERIOD } }
layer { name: "p2" type: "DropoutPattern" top: "p2" dropout_pattern_param {
  family: RESIDUE groups: 2 probability: [0, 0.5, 0, 0.5] } }
"""
MLP = f"""
name: "mlp"
layer {{ name: "data" type: "Data" top: "data" top: "label"
  include {{ phase: TRAIN }} data_param {{ source: "no" batch_size: 20 }} }}
layer {{ name: "data" type: "Data" top: "data" top: "label"
  include {{ phase: TEST }} data_param {{ source: "no" batch_size: 5 }} }}
{SEARCHED}
layer {{ name: "fc1" type: "ApproxDropoutInnerProduct"
  bottom: "data" bottom: "p2" top: "fc1"
  inner_product_param {{ num_output: 64 weight_filler {{ type: "xavier" }} }}
  approx_dropout_param {{ compact_output: true }} }}
layer {{ name: "relu" type: "ReLU" bottom: "fc1" top: "fc1" }}
layer {{ name: "fc2" type: "ApproxDropoutInnerProduct"
  bottom: "fc1" bottom: "p1" bottom: "p2" top: "fc2"
  inner_product_param {{ num_output: 32 }}
  approx_dropout_param {{ pattern: TILE tile_size: 4 compact_input: true }} }}
layer {{ name: "fc3" type: "InnerProduct" bottom: "fc2" top: "fc3"
  inner_product_param {{ num_output: 10 }} }}
layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "fc3" bottom: "label"
  top: "loss" }}
layer {{ name: "side" type: "InnerProduct" bottom: "fc2" top: "side"
  inner_product_param {{ num_output: 3 }} }}
"""


def products(text, **inputs):
    net = text_format.Parse(text, caffe_pb2.NetParameter())
    return multiply_adds.products(net_shapes.training_net(net, inputs))


def rows(found):
    return {
        f"{p.layer} {p.part}".strip(): (p.samples, p.count, p.backward)
        for p in found
    }


def inspect(capsys, *arguments):
    """What the command prints, as lists of words, one per line."""
    assert main(["inspect", *map(str, arguments)]) == 0
    return [line.split() for line in capsys.readouterr().out.splitlines()]


def refusal(capsys, *arguments):
    assert main(["inspect", *map(str, arguments)]) == 1
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("approx-dropout: ")
    assert err.count("\n") == 1
    return err


# Nets


def test_mlp():
    found = products(MLP, data=(20, 100))
    assert rows(found) == {
        "fc1": (20, 6400, 1),  # the data need no gradient
        "fc2": (20, 2048, 2),
        "fc3": (20, 320, 2),
        "side": (20, 96, 0),  # no loss depends on it
    }
    k = search(0.6, "PERIOD", 8).probability
    tiles = sum(k / np.arange(1, 9))
    shares = {p.layer: p.share for p in found}
    assert shares == pytest.approx(
        {"fc1": 0.75, "fc2": 0.75 * tiles, "fc3": 1, "side": 1}
    )
    full = np.array([6400 * 2, 2048 * 3, 320 * 3, 96])
    kept = full * [0.75, 0.75 * tiles, 1, 1]
    assert multiply_adds.bound(found) == pytest.approx(full.sum() / kept.sum())


def test_one_pattern_on_both_sides_is_the_mean_of_the_square():
    net = MLP.replace(
        'bottom: "fc1" bottom: "p1" bottom: "p2"',
        'bottom: "fc1" bottom: "p2" bottom: "p2"',
    )
    share = {p.layer: p.share for p in products(net, data=(20, 100))}
    assert share["fc2"] == pytest.approx((0.5**2 + 1) / 2)


def test_expected_shares_are_what_draws_keep():
    """fc2's, counted over many draws with groups, sides and tiles."""
    from approx_dropout.draw import draw_pattern, kept_units

    k = search(0.6, "PERIOD", 8).probability
    counted = 0
    for draw in range(3000):
        tiles = draw_pattern(k, "PERIOD", 1, "p1", draw)
        x = draw_pattern([0, 0.5, 0, 0.5], "RESIDUE", 1, "p2", draw, 2)
        units = kept_units(x.period, x.residues[draw % 2], 64)
        tile = np.add.outer(np.arange(32) // 4, units // 4) % tiles.period
        counted += np.isin(tile, tiles.residues).sum()
    (found,) = [p for p in products(MLP, data=(20, 100)) if p.layer == "fc2"]
    assert counted / 3000 / 2048 == pytest.approx(found.share, rel=0.03)


LSTM = (
    SEARCHED
    + """
layer { name: "x" type: "Input" top: "x" top: "cont"
  input_param { shape { dim: 7 dim: 4 } shape { dim: 7 dim: 4 } } }
layer { name: "embed" type: "Embed" bottom: "x" top: "e"
  embed_param { num_output: 16 input_dim: 9 } }
layer { name: "drop" type: "ApproxDropout" bottom: "e" bottom: "p2" top: "d"
  approx_dropout_param { compact_output: true } }
layer { name: "lstm" type: "ApproxDropoutLSTM"
  bottom: "d" bottom: "cont" bottom: "p1" bottom: "p2" top: "h"
  recurrent_param { num_output: 24 }
  approx_dropout_param { compact_input: true OPTION } }
layer { name: "loss" type: "EuclideanLoss" bottom: "h" bottom: "h" top: "l" }
"""
)


@pytest.mark.parametrize(
    "option, with_x, with_h",
    [
        ("pattern: ROW", 0, 0),
        ("pattern: ROW recurrent: true", 0, 1),
        ("pattern: TILE tile_size: 4", 1, 0),
        ("pattern: TILE tile_size: 4 recurrent: true", 1, 1),
    ],
)
def test_lstm(option, with_x, with_h):
    found = products(LSTM.replace("OPTION", option))
    assert rows(found) == {
        "lstm input": (28, 4 * 24 * 16, 2),
        "lstm recurrent": (28, 4 * 24 * 24, 2),
    }
    own = 1 - search(0.6, "PERIOD", 8).rate
    assert [p.share for p in found] == pytest.approx(
        [0.75 * own**with_x, own**with_h]
    )


def test_stock_layers():
    found = products(
        """
        input: "x" input_shape { dim: 2 dim: 6 dim: 9 dim: 9 }
        layer { name: "conv" type: "Convolution" bottom: "x" top: "c"
          convolution_param { num_output: 4 kernel_size: 3 group: 2 } }
        layer { name: "up" type: "Deconvolution" bottom: "c" top: "u"
          param { lr_mult: 0 } param { lr_mult: 0 }
          convolution_param { num_output: 5 kernel_size: 2 stride: 2 } }
        layer { name: "fc" type: "InnerProduct" bottom: "u" top: "fc"
          inner_product_param { num_output: 3 axis: 2 } }
        layer { name: "loss" type: "EuclideanLoss"
          bottom: "fc" bottom: "fc" top: "l" }
        """
    )
    assert rows(found) == {
        "conv": (2, 4 * 3 * 9 * 49, 1),
        "up": (2, 4 * 5 * 4 * 49, 1),  # its weights do not learn
        "fc": (10, 14 * 14 * 3, 2),
    }
    assert multiply_adds.bound(found) == 1


def test_table(tmp_path, capsys):
    (tmp_path / "net").write_text(MLP)
    lines = inspect(capsys, tmp_path / "net", "--shape", "data:20,100")
    assert ["fc1", "ApproxDropoutInnerProduct", "6.4", "k", "20", "128", "k",
            "128", "k", "75.00%"] in lines  # fmt: skip
    assert ["fc3", "InnerProduct", "320", "20", "6.4", "k", "12.8", "k",
            "100.00%"] in lines  # fmt: skip
    bound = multiply_adds.bound(products(MLP, data=(20, 100)))
    assert ["bound", "of", "the", "speed-up:", f"{bound:.3g},"] in [
        line[:5] for line in lines
    ]
    assert lines[-1][:6] == ["p2", "RESIDUE", "4", "2", "0.250000", "0.250000"]
    assert " ".join(lines[-1][6:]) == "2: 0.5, 4: 0.5"


def test_net_of_a_solver(tmp_path, capsys):
    stage = 'include { stage: "a" }'
    (tmp_path / "net").write_text(
        MLP.replace('top: "side"', f'top: "side" {stage}')
    )
    solver = tmp_path / "solver"
    shape = ["--shape", "data:20,100"]
    for state, names in (
        ("", ["fc1", "fc2", "fc3", "all"]),
        ('train_state { stage: "a" }', ["fc1", "fc2", "fc3", "side", "all"]),
    ):
        solver.write_text(f'net: "net" base_lr: 1 {state}')
        lines = inspect(capsys, solver, *shape)
        found = [x[0] for x in lines if len(x) > 5 and x[-1].endswith("%")]
        assert found == names
    solver.write_text('net: "other"')
    assert "its net 'other' is not there" in refusal(capsys, solver)


def test_refused_nets(tmp_path, capsys):
    path = tmp_path / "net"
    path.write_text(MLP)
    err = refusal(capsys, path)
    assert "Data layer 'data': its source 'no' is not there" in err
    assert "--shape data:20,3,224,224" in err
    err = refusal(capsys, path, "--shape", "dat:20,100")
    assert "dat, which no data layer" in err
    path.write_text(MLP.replace("num_output: 10 }", "num_output: 10 axis: 5 }"))
    err = refusal(capsys, path, "--shape", "data:20,100")
    assert "Caffe cannot build the net: Check failed" in err
    path.write_text(MLP.replace("num_output: 10", "num_outputs: 10"))
    assert '"num_outputs"' in refusal(capsys, path)
    path.write_text(MLP.replace('"max_period"', '"max_perod"'))
    err = refusal(capsys, path, "--shape", "data:20,100")
    assert "key 'max_perod' in param_str is unknown" in err
    path.write_text(
        'layer { name: "kk" type: "Input" top: "kk" '
        "input_param { shape { dim: 4 } } }"
        + MLP.replace("probability: [0, 0.5, 0, 0.5]", "").replace(
            'top: "p2" dropout', 'bottom: "kk" top: "p2" dropout'
        )
    )
    err = refusal(capsys, path, "--shape", "data:20,100")
    assert "'p2' has no probability and reads no PatternSearchLayer" in err
    with pytest.raises(SystemExit):
        main(["inspect", str(path), "--shape", "data:20,x"])
    assert "'data:20,x' is not BLOB:SIZES" in capsys.readouterr().err


def test_without_pycaffe(tmp_path, monkeypatch, capsys):
    (tmp_path / "caffe.py").write_text("raise ImportError('no _caffe')")
    (tmp_path / "net").write_text(MLP)
    monkeypatch.syspath_prepend(tmp_path)
    err = refusal(capsys, tmp_path / "net", "--shape", "data:20,100")
    assert (
        "pycaffe cannot be imported (ImportError: no _caffe); run make" in err
    )


# Solver states and weights


@pytest.fixture
def trained(tmp_path, monkeypatch):
    """A folder with snapshots of both formats after two iterations."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net").write_text(
        re.sub(
            r'type: "Data"(.*?)data_param \{.*?\}',
            r'type: "DummyData" \1 dummy_data_param {'
            r"shape { dim: 20 dim: 100 } shape { dim: 20 } }",
            MLP,
            flags=re.S,
        )
    )
    for form in ("BINARYPROTO", "HDF5"):
        (tmp_path / "solver").write_text(
            f'net: "net" base_lr: 0.01 lr_policy: "fixed" max_iter: 2 '
            f'random_seed: 5 snapshot_prefix: "x" snapshot_format: {form} '
            f"snapshot: 2"
        )
        solver = caffe.SGDSolver("solver")
        solver.step(2)
        solver.snapshot()
    return tmp_path


@pytest.mark.parametrize("end", ["", ".h5"])
def test_solver_state(trained, capsys, end):
    lines = inspect(capsys, f"x_iter_2.solverstate{end}")
    assert lines[1] == "solver state after iteration 2".split()
    assert lines[2] == ["weights", "in", f"x_iter_2.caffemodel{end}"]
    p1, p2 = lines[-2:]
    rate = search(0.6, "PERIOD", 8).rate
    assert p1[:6] == ["p1", "PERIOD", "8", "5", "2", f"{rate:.6f}"]
    assert p2[:7] == ["p2", "RESIDUE", "4", "5", "2", "0.250000", "0.250000"]


def test_model(trained, capsys):
    lines = inspect(capsys, "x_iter_2.caffemodel")
    assert ["fc1", "ApproxDropoutInnerProduct", "64x100,", "64"] in lines
    assert ["relu", "ReLU"] in lines
    assert ["8973", "parameters"] == lines[-2]
    assert "DropoutPattern, ApproxDropoutInnerProduct" in " ".join(lines[-1])
    lines = inspect(capsys, "x_iter_2.caffemodel.h5")
    assert ["fc1", "?", "64x100,", "64"] in lines
    assert ["8973", "parameters"] == lines[-2]


def test_hdf5_model_with_slashes(tmp_path, capsys):
    """A layer "a/b" lies in the group a, be that a layer or not."""
    with h5py.File(tmp_path / "x.caffemodel.h5", "w") as file:
        file["data/conv1/0"] = np.zeros((2, 3), "f4")
        file["data/conv1/norm/0"] = np.zeros(5, "f4")
        file["data/pool/1x1/0"] = np.zeros((7, 4), "f4")
    lines = inspect(capsys, tmp_path / "x.caffemodel.h5")
    layers = [line for line in lines if "?" in line]
    assert layers == [
        ["conv1", "?", "2x3"],
        ["conv1/norm", "?", "5"],
        ["pool/1x1", "?", "7x4"],
    ]


def test_models_of_stock_caffe_and_of_its_old_formats(tmp_path, capsys):
    net = caffe_pb2.NetParameter()
    net.layer.add(name="a", type="InnerProduct").blobs.add().shape.dim[:] = [
        2,
        3,
    ]
    path = tmp_path / "new"
    path.write_bytes(net.SerializeToString())
    lines = inspect(capsys, path)
    assert ["a", "InnerProduct", "2x3"] in lines
    assert "all types are Caffe's own".split() == lines[-1]
    net = caffe_pb2.NetParameter()
    v1 = net.layers.add(name="b", type=caffe_pb2.V1LayerParameter.CONVOLUTION)
    v1.blobs.add(num=1, channels=2, height=3, width=4)
    v0 = net.layers.add().layer
    v0.name, v0.type = "c", "innerproduct"
    v0.blobs.add(num=1, channels=1, height=5, width=6)
    path.write_bytes(net.SerializeToString())
    lines = inspect(capsys, path)
    assert ["b", "CONVOLUTION", "1x2x3x4"] in lines
    assert ["c", "innerproduct", "1x1x5x6"] in lines


def test_state_before_any_draw_and_of_stock_caffe(tmp_path, capsys):
    state = caffe_pb2.SolverState(iter=0)
    path = tmp_path / "state"
    path.write_bytes(state.SerializeToString())
    lines = inspect(capsys, path)
    assert "no dropout patterns" in " ".join(lines[-1])
    state.dropout_pattern.add(layer="p", family=1, seed=3, draws=0)
    path.write_bytes(state.SerializeToString())
    assert inspect(capsys, path)[-1][:5] == ["p", "RESIDUE", "-", "3", "0"]


@pytest.mark.parametrize(
    "content",
    [b"", b"\x89PNG\r\n\x1a\n", b"some words\n", b"base_lr: 1", b"\0\0\0\0"],
)
def test_other_files_are_refused(tmp_path, capsys, content):
    path = tmp_path / "file"
    path.write_bytes(content)
    assert f"{path}" in refusal(capsys, path)


def test_other_hdf5_and_missing_files_are_refused(tmp_path, capsys):
    path = tmp_path / "file"
    with h5py.File(path, "w") as file:
        file["data"] = [1, 2]
    assert "other HDF5" in refusal(capsys, path)
    assert "missing" in refusal(capsys, tmp_path / "missing")
    assert main(["inspect", str(tmp_path)]) == 1


def test_kinds(trained):
    for name, kind in (
        ("net", "prototxt"),
        ("solver", "prototxt"),
        ("x_iter_2.solverstate", "solver state"),
        ("x_iter_2.solverstate.h5", "solver state"),
        ("x_iter_2.caffemodel", "model"),
        ("x_iter_2.caffemodel.h5", "model"),
    ):
        assert models.kind(name) == kind


def test_a_pattern_through_a_split(tmp_path, capsys):
    """As Caffe writes a net with its own Splits."""
    path = tmp_path / "net.prototxt"
    split = 'layer { name: "s" type: "Split" bottom: "p2" top: "q1" top: "q2" }'
    text = MLP.replace(SEARCHED, SEARCHED + split)
    text = text.replace(
        'bottom: "data" bottom: "p2"', 'bottom: "data" bottom: "q1"'
    ).replace('bottom: "p1" bottom: "p2"', 'bottom: "p1" bottom: "q2"')
    inputs = {"data": (20, 100)}
    assert products(text, **inputs) == products(MLP, **inputs)
    path.write_text(text)
    assert main(["inspect", str(path), "--shape", "data:20,100"]) == 0
    assert capsys.readouterr().out.count("RESIDUE") == 1


def test_a_pattern_that_is_an_input(tmp_path, capsys):
    path = tmp_path / "net.prototxt"
    path.write_text("""
input: "x" input_shape { dim: 4 dim: 6 }
input: "p" input_shape { dim: 1 dim: 6 }
layer { name: "f" type: "ApproxDropoutInnerProduct" bottom: "x" bottom: "p"
  top: "f" inner_product_param { num_output: 5 } }""")
    assert (
        "ApproxDropoutInnerProduct layer 'f' reads blob 'p' as a pattern, "
        "which no DropoutPattern puts out"
    ) in refusal(capsys, path)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig"])
def test_other_encodings(tmp_path, capsys, encoding):
    path = tmp_path / "net.prototxt"
    path.write_text(MLP, encoding=encoding)
    assert main(["inspect", str(path), "--shape", "data:20,100"]) == 0
    solver = tmp_path / "solver.prototxt"
    solver.write_text(f'net: "{path}"', encoding=encoding)
    assert main(["inspect", str(solver), "--shape", "data:20,100"]) == 0
    assert "fc3" in capsys.readouterr().out


def test_net_in_an_old_format(tmp_path, capsys):
    path = tmp_path / "net.prototxt"
    path.write_text("""
input: "x" input_dim: 4 input_dim: 3 input_dim: 1 input_dim: 1
layers { name: "f" type: INNER_PRODUCT bottom: "x" top: "f"
  inner_product_param { num_output: 5 } }""")
    assert ["f", "InnerProduct", "15", "4"] == inspect(capsys, path)[4][:4]
