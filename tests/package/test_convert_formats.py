"""Nets in Caffe's older formats, and files in any encoding."""

import caffe
import pytest
from caffe.proto import caffe_pb2
from convert_nets import drop, ip
from test_convert_cases import by_name, convert, kinds

from approx_dropout.__main__ import main
from approx_dropout.conversion import Options
from approx_dropout.convert import convert_net
from approx_dropout.proto import parse_net, read_net

V1 = """
input: "data" input_dim: 8 input_dim: 3 input_dim: 12 input_dim: 12
layers { name: "fc1" type: INNER_PRODUCT bottom: "data" top: "fc1"
  blobs_lr: 1 blobs_lr: 2 weight_decay: 1 weight_decay: 0 param: "w"
  inner_product_param { num_output: 64 } include { phase: TRAIN }
  include { phase: TEST } }
layers { name: "relu1" type: RELU bottom: "fc1" top: "fc1" }
layers { name: "drop1" type: DROPOUT bottom: "fc1" top: "fc1"
  dropout_param { dropout_ratio: 0.5 } }
layers { name: "fc2" type: INNER_PRODUCT bottom: "fc1" top: "fc2"
  inner_product_param { num_output: 10 } }
layers { name: "loss" type: SOFTMAX_LOSS bottom: "fc2" bottom: "label" }
layers { name: "mnist" type: DATA top: "data2" top: "label"
  data_param { source: "a" batch_size: 8 scale: 0.5 mirror: true crop_size: 9 }
}
"""
V0 = """
input: "data" input_dim: 8 input_dim: 3 input_dim: 12 input_dim: 12
layers { layer { name: "pad1" type: "padding" pad: 2 } bottom: "data" top: "p" }
layers { layer { name: "c1" type: "conv" num_output: 4 kernelsize: 3 stride: 2
  biasterm: false weight_filler { type: "xavier" } blobs_lr: 1. }
  bottom: "p" top: "c1" }
layers { layer { name: "fc1" type: "innerproduct" num_output: 64 blobs_lr: 1.
  blobs_lr: 2. weight_decay: 1. weight_decay: 0. } bottom: "c1" top: "fc1" }
layers { layer { name: "relu1" type: "relu" } bottom: "fc1" top: "fc1" }
layers { layer { name: "drop1" type: "dropout" dropout_ratio: 0.25 }
  bottom: "fc1" top: "fc1" }
layers { layer { name: "fc2" type: "innerproduct" num_output: 10 }
  bottom: "fc1" top: "fc2" }
"""


def test_v1_nets_are_upgraded():
    result = convert_net(parse_net(V1), Options())
    assert kinds(result, "fc1", "fc2") == ["ro", "ni"]
    fc1, data = by_name(result)["fc1"], by_name(result)["mnist"]
    assert [(p.name, p.lr_mult, p.decay_mult) for p in fc1.param] == [
        ("w", 1, 1),
        ("", 2, 0),
    ]
    assert len(fc1.include) == 2 and not result.net.layers
    assert by_name(result)["loss"].type == "SoftmaxWithLoss"
    assert data.transform_param.scale == 0.5 and data.transform_param.mirror
    assert data.transform_param.crop_size == 9
    assert not data.data_param.HasField("scale")


def test_v0_nets_are_upgraded():
    result = convert(V0)
    assert kinds(result, "fc1", "fc2") == ["ro", "ni"]
    assert "pad1" not in by_name(result)
    conv = by_name(result)["c1"]
    assert (conv.type, list(conv.bottom)) == ("Convolution", ["data"])
    param = conv.convolution_param
    assert (param.num_output, param.bias_term) == (4, False)
    assert (list(param.pad), list(param.kernel_size)) == ([2], [3])
    assert param.weight_filler.type == "xavier"
    fc1 = by_name(result)["fc1"]
    assert [(p.lr_mult, p.decay_mult) for p in fc1.param] == [(1, 1), (2, 0)]


@pytest.mark.parametrize(
    "kind, name", caffe_pb2.V1LayerParameter.LayerType.items()
)
def test_every_v1_type_has_a_layer(kind, name):
    net = convert_net(parse_net(f"layers {{ type: {kind} }}"), Options()).net
    known = set(caffe.layer_type_list())
    known |= {"", "ImageData", "WindowData"}  # a build without OpenCV lacks two
    assert net.layer[0].type in known, name


@pytest.mark.parametrize(
    "text, message",
    [
        (
            'layers { layer { name: "a" type: "x" } }',
            "layer 'a' has the unknown",
        ),
        (
            'layers { layer { name: "a" type: "relu" kernelsize: 3 } }',
            "layer 'a' has kernel_size, which type 'relu' does not take",
        ),
    ],
)
def test_what_cannot_be_upgraded_is_named(text, message):
    with pytest.raises(ValueError, match=message):
        convert_net(parse_net(text), Options())


@pytest.mark.parametrize(
    "data, out",
    [
        ("# 分类\n{}".encode("gbk"), b"x"),
        (b"\xef\xbb\xbf# \xe5\x88\x86\n{}", b"x"),
        ("\ufeff{} # \u5206".encode("utf-16-le"), b"x"),
        (b"{} # \xff\xfe\x80", b"x"),
        (b"# \xff\n{}", b"caf\xe9"),  # a name that is not UTF-8, either
        (b"{}", b"caf\xc3\xa9"),
    ],
)
def test_files_in_any_encoding(data, out, tmp_path):
    head = 'layer { name: "NAME" type: "Input" top: "x" } '.encode()
    tail = (ip("f", "x", "f", 64) + drop("d", "f", "f")).encode()
    body = head.replace(b"NAME", out) + tail
    if b"\0" in data:
        body = body.decode().encode("utf-16-le")
    path, output = tmp_path / "in", tmp_path / "out"
    path.write_bytes(
        data.replace("{}".encode("utf-16-le"), body).replace(b"{}", body)
    )
    assert main(["convert", str(path), "-o", str(output)]) == 0
    assert b'name: "' + out + b'"' in output.read_bytes()
    assert {x.name for x in read_net(str(output)).layer} >= {"f", "d_pattern"}
