"""Nets with words changed, through the converter: a net, or one message that
names the file, exit status 1 and nothing written."""

import contextlib
import io

import pytest
from hypothesis import strategies

from approx_dropout.__main__ import main
from approx_dropout.proto import read_net
from fuzz import damaged, fuzzed

DATA = """
layer { name: "data" type: "Input" top: "data" top: "cont" input_param {
  shape { dim: 8 dim: 4 dim: 6 dim: 6 } shape { dim: 8 dim: 4 } } }
"""
NETS = [
    DATA
    + """
layer { name: "fc1" type: "InnerProduct" bottom: "data" top: "fc1"
  inner_product_param { num_output: 64 weight_filler { type: "xavier" } } }
layer { name: "relu" type: "ReLU" bottom: "fc1" top: "fc1" }
layer { name: "drop" type: "Dropout" bottom: "fc1" top: "fc1"
  dropout_param { dropout_ratio: 0.5 } }
layer { name: "fc2" type: "InnerProduct" bottom: "fc1" top: "fc2"
  param { name: "w" lr_mult: 1 } inner_product_param { num_output: 32 } }
layer { name: "drop2" type: "Dropout" bottom: "fc2" top: "d2"
  include { phase: TRAIN } dropout_param { dropout_ratio: 0.75 } }
layer { name: "fc3" type: "InnerProduct" bottom: "d2" top: "fc3"
  inner_product_param { num_output: 10 axis: 1 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc3" bottom: "cont"
  top: "loss" }
""",
    DATA
    + """
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 16 kernel_size: 3 group: 2 } }
layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool"
  pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
layer { name: "drop" type: "Dropout" bottom: "pool" top: "pool" }
layer { name: "flat" type: "Flatten" bottom: "pool" top: "flat" }
layer { name: "fc" type: "InnerProduct" bottom: "flat" top: "fc"
  inner_product_param { num_output: 16 } }
layer { name: "split" type: "Concat" bottom: "fc" bottom: "flat" top: "all" }
""",
    DATA
    + """
layer { name: "lstm" type: "LSTM" bottom: "data" bottom: "cont" top: "h"
  recurrent_param { num_output: 16 weight_filler { type: "uniform" } } }
layer { name: "drop" type: "Dropout" bottom: "h" top: "hd"
  dropout_param { dropout_ratio: 0.5 } }
layer { name: "lstm2" type: "LSTM" bottom: "hd" bottom: "cont" top: "h2"
  recurrent_param { num_output: 16 } }
layer { name: "drop2" type: "Dropout" bottom: "h2" top: "h2" }
layer { name: "out" type: "InnerProduct" bottom: "h2" top: "out"
  inner_product_param { num_output: 5 axis: 2 } }
""",
    """
layers { name: "data" type: DUMMY_DATA top: "data" dummy_data_param {
  num: 4 channels: 3 height: 2 width: 2 } }
layers { name: "fc" type: INNER_PRODUCT bottom: "data" top: "fc"
  inner_product_param { num_output: 32 } }
layers { name: "drop" type: DROPOUT bottom: "fc" top: "fc" }
""",
]
WORDS = sorted({word for net in NETS for word in net.split()}) + [
    "0", "1", "-1", "7", "1.5", "nan", "inf", "1e39", "4294967296", '""',
    '"data"', '"ApproxDropoutInnerProduct"', '"Python"', "include", "exclude",
    "stage:", "phase:", "TEST", "loss_weight:", "propagate_down:", "false",
]  # fmt: skip
FLAGS = [
    ["--pattern", "TILE"], ["--family", "PERIOD"], ["--max-period", "4"],
    ["--groups", "2"], ["--inline-probability"],
]  # fmt: skip


@strategies.composite
def changed_nets(draw):
    """A net with words left out, doubled, or other words in their place."""
    words = draw(strategies.sampled_from(NETS)).split()
    for _ in range(draw(strategies.integers(1, 5))):
        i = draw(strategies.integers(0, len(words) - 1))
        kind = draw(strategies.sampled_from(["drop", "double", "put", "put"]))
        if kind == "put":
            words[i] = draw(strategies.sampled_from(WORDS))
        else:
            words[i : i + 1] = words[i : i + 1] * (2 * (kind == "double"))
        if not words:
            break
    return " ".join(words).encode()


@fuzzed(
    content=changed_nets() | damaged([net.encode() for net in NETS]),
    flags=strategies.lists(strategies.sampled_from(FLAGS), max_size=3),
)
def test_convert(tmp_path, content, flags):
    net, output = tmp_path / "net.prototxt", tmp_path / "out.prototxt"
    net.write_bytes(content)
    output.unlink(missing_ok=True)
    options = [word for flag in flags for word in flag]
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        status = main(["convert", str(net), *options, "-o", str(output)])
    if status == 0:
        read_net(output)
        return
    error = said.getvalue().rstrip("\n").split("\n")[-1]
    assert status == 1 and not output.exists()
    assert error.startswith("approx-dropout: ")


@pytest.mark.parametrize("kind", ["Concat", "Flatten", "InnerProduct"])
def test_layer_without_a_bottom(tmp_path, kind):
    """Found so: Caffe refuses it; what it puts out has no shape."""
    net, output = tmp_path / "net.prototxt", tmp_path / "out.prototxt"
    net.write_text(
        f'layer {{ name: "data" type: "{kind}" top: "data" }}'
        'layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc"'
        "  inner_product_param { num_output: 32 } }"
        'layer { name: "drop" type: "Dropout" bottom: "fc" top: "fc" }'
    )
    assert main(["convert", str(net), "-o", str(output)]) == 0
    assert "DropoutPattern" in output.read_text()
