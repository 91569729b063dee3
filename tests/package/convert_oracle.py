"""What a converted net is held against: the original net, in NumPy with its
Dropout masks set to the patterns drawn, and in Caffe."""

import multiprocessing

import caffe
import numpy as np
from caffe.proto import caffe_pb2
from convert_nets import NETS
from google.protobuf import text_format
from numpy_net import NumpyNet, included

from approx_dropout.convert import convert
from approx_dropout.draw import Pattern, draw_pattern
from approx_dropout.search import search

TRAIN, TEST = caffe_pb2.TRAIN, caffe_pb2.TEST
N = 4


def parse(text):
    return text_format.Parse(text, caffe_pb2.NetParameter())


def describe(layer):
    """What became of a layer, in NETS' letters."""
    if not layer.type.startswith("ApproxDropout"):
        return "D" if layer.type == "Dropout" else ""
    param = layer.approx_dropout_param
    pattern = {0: "n", 1: "r", 2: "t"}[param.pattern]
    if layer.type == "ApproxDropout":
        pattern = ""
    return pattern + "i" * param.compact_input + "o" * param.compact_output


def make_patterns(net, family, draw):
    """A drawn pattern for each Dropout; those left as they are have one too."""
    return {
        d.name: draw_pattern(
            search(
                round(d.dropout_param.dropout_ratio, 4), family, N
            ).probability,
            family,
            1,
            d.name,
            draw,
        )
        for d in net.layer
        if d.type == "Dropout"
    }


def assert_same_outputs(net, converted, shape, patterns, phase, weights):
    rng = np.random.default_rng(8)
    inputs = {
        "x": rng.normal(0, 1, shape),
        "cont": rng.integers(0, 2, shape[:2]).astype(float),
    }
    kept = [x for x in net.layer if included(x, phase)]
    read = {name for x in kept for name in x.bottom}
    wanted = NumpyNet(net, weights, patterns, phase).forward(inputs)
    found = NumpyNet(converted, weights, patterns, phase, frozen=True).forward(
        inputs
    )
    outputs = [
        x.top[0]
        for x in kept
        if x.top[0] not in read or x.top[0] == kept[-1].top[0]
    ]
    assert outputs
    for name in outputs:
        np.testing.assert_allclose(
            found[name], wanted[name], rtol=1e-10, atol=1e-12
        )


def caffe_net(net, shape, path, phase):
    """A pycaffe net, its Input layers made of x's shape."""
    shaped = caffe_pb2.NetParameter()
    shaped.CopyFrom(net)
    for x in shaped.layer:
        if x.type == "Input":
            dims = shape if x.top[0] == "x" else shape[:2]
            x.input_param.shape.add(dim=dims)
    path.write_text(text_format.MessageToString(shaped))
    return caffe.Net(str(path), phase)


def drawn(blob):
    """The Pattern in a DropoutPattern's blob."""
    return Pattern(blob[0, 0], int(blob[0, 1]), blob[:, 2:].astype(int))


def exit_status(case, folder, **arguments):
    """0 if Caffe and the oracle agree on a converted net.

    In a process of its own, which Caffe ends when it refuses a net; started
    anew, as a fork of one whose BLAS has threads can hang.
    """
    process = multiprocessing.get_context("spawn").Process(
        target=compare_in_caffe, args=(case, folder), kwargs=arguments
    )
    process.start()
    process.join()
    return process.exitcode


def compare_in_caffe(case, folder, **arguments):
    text, shape, _ = NETS[case]
    net = parse(text)
    converted, _ = convert(net, max_period=N, **arguments)
    rng = np.random.default_rng(2)
    inputs = {
        "x": rng.normal(0, 1, shape),
        "cont": rng.integers(0, 2, shape[:2]),
    }
    inputs["cont"][0] = 0
    caffe.set_random_seed(4)
    for phase in (TRAIN, TEST):
        ours = caffe_net(converted, shape, folder / "ours", phase)
        weights = {}
        for name, params in ours.params.items():
            weights[name] = [blob.data for blob in params]
            for data in weights[name]:
                data[...] = rng.normal(0, 0.5, data.shape)
        stock = caffe_net(net, shape, folder / "stock", phase)
        ours.save(str(folder / "weights"))
        stock.copy_from(str(folder / "weights"))
        for x in (ours, stock):
            for name in {"x", "cont"} & set(x.blobs):
                x.blobs[name].data[...] = inputs[name]
        for _ in range(3 if phase == TRAIN else 1):
            found = ours.forward()
            patterns = {
                name[: -len("_pattern")]: drawn(blob.data)
                for name, blob in ours.blobs.items()
                if name.endswith("_pattern")
            }
            wanted = (
                stock.forward()
                if phase == TEST
                else NumpyNet(net, weights, patterns, phase).forward(inputs)
            )
            assert set(stock.outputs) <= set(found)
            for name in stock.outputs:
                np.testing.assert_allclose(
                    found[name], wanted[name], rtol=1e-3, atol=1e-4
                )
