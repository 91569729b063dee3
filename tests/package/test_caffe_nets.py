"""The nets that come with Caffe: all convert, and back; CaffeNet is checked."""

import pathlib

import pytest

from approx_dropout.check import TOLERANCE, check
from approx_dropout.conversion import Options
from approx_dropout.convert import convert_net
from approx_dropout.proto import read_net

CAFFE = pathlib.Path(__file__).resolve().parents[2] / "build" / "caffe"
CAFFENET = CAFFE / "models/bvlc_reference_caffenet/deploy.prototxt"
# Dropouts of image blobs that a Convolution reads.
FULLY_CONVOLUTIONAL = "bvlc_caffenet_full_conv.prototxt"


def nets_with_dropout():
    found = []
    for folder in ("models", "examples"):
        for path in sorted((CAFFE / folder).rglob("*.prototxt")):
            if "Dropout" in path.read_text():
                found.append(path)
    return found


@pytest.mark.parametrize("pattern", ["ROW", "TILE"])
def test_they_convert_and_revert(pattern):
    from approx_dropout.revert import revert_net

    paths = nets_with_dropout()
    if not paths:
        pytest.skip("this Caffe came without its models and examples")
    for path in paths:
        net = read_net(str(path))
        result = convert_net(net, Options(pattern=pattern))
        left = [n for n in result.notes if n.startswith("left")]
        assert bool(left) == (path.name == FULLY_CONVOLUTIONAL), (path, left)
        back = revert_net(result.net).net
        wanted = sorted((x.type, x.name) for x in net.layer)
        assert sorted((x.type, x.name) for x in back.layer) == wanted, path


@pytest.mark.parametrize("pattern", ["ROW", "TILE"])
def test_caffenet_is_the_same(pattern):
    if not CAFFENET.exists():
        pytest.skip("this Caffe came without its models")
    net = read_net(str(CAFFENET))
    (data,) = [x for x in net.layer if x.type == "Input"]
    data.input_param.shape[0].dim[0] = 2
    result = convert_net(net, Options(pattern=pattern))
    for compared in check(result.net, net, result.dropped):
        assert compared.difference < TOLERANCE, compared
