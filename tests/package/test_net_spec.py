"""NetSpec, pycaffe's shorthand for nets, knows our layers."""

import caffe
import pytest
from caffe import layers as L
from caffe import params as P
from caffe.proto import caffe_pb2
from google.protobuf import text_format


def spec():
    net = caffe.NetSpec()
    net.data = L.Input(shape=dict(dim=[4, 6]))
    net.pattern = L.DropoutPattern(
        family=P.DropoutPattern.RESIDUE, probability=[0, 1, 0, 0], groups=2
    )
    return net


def layer(top, name="x"):
    """The LayerParameter of a top."""
    net = caffe.NetSpec()
    net[name] = top
    return net.to_proto().layer[-1]


def test_keywords_reach_the_message_that_has_them():
    net = spec()
    net.fc1 = L.ApproxDropoutInnerProduct(
        net.data,
        net.pattern,
        num_output=8,
        weight_filler=dict(type="xavier"),
        compact_output=True,
        param=[dict(lr_mult=1), dict(lr_mult=2)],
    )
    net.relu1 = L.ReLU(net.fc1, in_place=True)
    net.fc2 = L.ApproxDropoutInnerProduct(
        net.relu1, net.pattern, num_output=3,
        pattern=P.ApproxDropout.NONE, compact_input=True, loss_weight=0.5,
    )  # fmt: skip
    wanted = text_format.Parse(
        """
        layer { name: "data" type: "Input" top: "data"
                input_param { shape { dim: 4 dim: 6 } } }
        layer { name: "pattern" type: "DropoutPattern" top: "pattern"
                dropout_pattern_param { family: RESIDUE groups: 2
                    probability: [0, 1, 0, 0] } }
        layer { name: "fc1" type: "ApproxDropoutInnerProduct"
                bottom: "data" bottom: "pattern" top: "fc1"
                param { lr_mult: 1 } param { lr_mult: 2 }
                inner_product_param { num_output: 8
                    weight_filler { type: "xavier" } }
                approx_dropout_param { compact_output: true } }
        layer { name: "relu1" type: "ReLU" bottom: "fc1" top: "fc1" }
        layer { name: "fc2" type: "ApproxDropoutInnerProduct"
                bottom: "fc1" bottom: "pattern" top: "fc2" loss_weight: 0.5
                inner_product_param { num_output: 3 }
                approx_dropout_param { pattern: NONE compact_input: true } }
        """,
        caffe_pb2.NetParameter(),
    )
    assert net.to_proto() == wanted


def test_the_net_runs(tmp_path):
    net = spec()
    net.fc1 = L.ApproxDropoutInnerProduct(
        net.data, net.pattern, num_output=8, compact_output=True
    )
    net.fc2 = L.ApproxDropoutInnerProduct(
        net.fc1, net.pattern, num_output=3, pattern=P.ApproxDropout.NONE,
        compact_input=True,
    )  # fmt: skip
    path = tmp_path / "net.prototxt"
    path.write_text(str(net.to_proto()))
    made = caffe.Net(str(path), caffe.TRAIN)
    made.forward()
    assert made.blobs["fc1"].data.shape == (4, 4)
    assert made.blobs["fc2"].data.shape == (4, 3)


def test_other_layers_of_ours():
    net = spec()
    lstm = layer(
        L.ApproxDropoutLSTM(
            net.data, net.data, net.pattern, num_output=5, recurrent=True
        )
    )
    assert lstm.recurrent_param.num_output == 5
    assert lstm.approx_dropout_param.recurrent
    approx = layer(L.ApproxDropout(net.data, net.pattern, compact_output=True))
    assert approx.approx_dropout_param.compact_output


def test_stock_layers_stay_and_recurrent_ones_work():
    pooling = layer(L.Pooling(spec().data, kernel_size=2, phase=0))
    assert pooling.pooling_param.kernel_size == 2 and pooling.HasField("phase")
    for kind in (L.LSTM, L.RNN):
        made = layer(kind(spec().data, spec().data, num_output=7))
        assert made.recurrent_param.num_output == 7
    nested = layer(L.LSTM(spec().data, recurrent_param=dict(num_output=6)))
    assert nested.recurrent_param.num_output == 6
    with pytest.raises(AttributeError):
        layer(L.Pooling(spec().data, num_output=2))


@pytest.mark.parametrize(
    "kind, messages",
    [
        (
            L.ApproxDropoutInnerProduct,
            "inner_product_param or approx_dropout_param",
        ),
        (L.ApproxDropoutLSTM, "recurrent_param or approx_dropout_param"),
        (L.ApproxDropout, "approx_dropout_param"),
        (L.DropoutPattern, "dropout_pattern_param"),
    ],
)
def test_unknown_keyword_is_refused(kind, messages):
    message = f": 'num_outputs' is no field of {messages}, nor of a layer"
    with pytest.raises(TypeError, match=message):
        layer(kind(spec().data, num_outputs=2))


def test_keyword_of_two_messages_is_refused(monkeypatch):
    from caffe import layer_messages

    monkeypatch.setattr(layer_messages, "_has_field", lambda name, key: True)
    with pytest.raises(
        TypeError,
        match="'axis' is a field of inner_product_param and "
        r"approx_dropout_param; say which, as inner_product_param=dict\(axis",
    ):
        layer(L.ApproxDropoutInnerProduct(spec().data, axis=1))
