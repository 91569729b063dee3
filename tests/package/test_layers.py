"""PatternSearchLayer, called as Caffe calls it."""

import json
import re
import types

import caffe
import numpy as np
import pytest

import approx_dropout
from approx_dropout import layers
from approx_dropout.search import search


class Blob:
    """A pycaffe blob's reshape and data, in float as Caffe's."""

    def reshape(self, *shape):
        self.data = np.full(shape, np.nan, dtype=np.float32)


def run_layer(param_str, bottoms=(), tops=1):
    """The tops after set-up and reshape, and the layer."""
    layer = types.SimpleNamespace(param_str=param_str, phase=0, layer_name="k1")
    top = [Blob() for _ in range(tops)]
    cls = approx_dropout.PatternSearchLayer
    cls.setup(layer, list(bottoms), top)
    cls.reshape(layer, list(bottoms), top)
    return top, layer


def test_top_is_k():
    arguments = dict(dropout_ratio=0.7, family="PERIOD", max_period=8)
    top, layer = run_layer(json.dumps(arguments))
    wanted = search(**arguments).probability
    assert top[0].data.shape == (8,)
    np.testing.assert_allclose(top[0].data, wanted, rtol=1e-6)
    before = top[0].data.copy()
    cls = approx_dropout.PatternSearchLayer
    cls.forward(layer, [], top)
    cls.backward(layer, top, [], [])
    assert (top[0].data == before).all()


def test_every_key_reaches_the_search():
    arguments = dict(
        dropout_ratio=0.4,
        family="RESIDUE",
        max_period=5,
        lambda1=0.9,
        lambda2=1e-4,
        lambda3=1e-3,
        seed=3,
    )
    top, _ = run_layer(json.dumps(arguments))
    np.testing.assert_allclose(
        top[0].data, search(**arguments).probability, rtol=1e-6
    )


def test_searches_and_logs_once(monkeypatch):
    logged = []
    monkeypatch.setattr(layers, "_log", logged.append)
    for _ in range(2):
        run_layer('{"dropout_ratio": 0.123}')
    assert len(logged) == 1
    result = search(0.123)
    for text in (
        "0.123",
        f"{result.rate:.6f}",
        f"{result.entropy:.4f}",
        f"{result.spread:.6f}",
    ):
        assert text in logged[0]
    run_layer('{"dropout_ratio": 0.124}')
    assert len(logged) == 2


@pytest.mark.parametrize(
    "param_str, message",
    [
        ("", "is not JSON"),
        ("{'dropout_ratio': 0.5}", "is not JSON"),
        ("[0.5]", "is no JSON object"),
        ("{}", "key 'dropout_ratio' is missing"),
        (
            '{"dropout_ratio": 0.5, "max_perod": 8}',
            "key 'max_perod' in param_str is unknown.*max_period",
        ),
        ('{"dropout_ratio": "0.5"}', "dropout_ratio is '0.5'"),
        ('{"dropout_ratio": true}', "key 'dropout_ratio' in param_str is True"),
        ('{"dropout_ratio": [0.5]}', "key 'dropout_ratio' in param_str is"),
        ('{"dropout_ratio": 0.5, "lambda3": null}', "key 'lambda3'"),
        ('{"dropout_ratio": NaN}', "dropout_ratio is nan"),
        ('{"dropout_ratio": -0.5}', "dropout_ratio is -0.5, must be at le"),
        ('{"dropout_ratio": 1}', "dropout_ratio is 1, must be .* less than 1"),
        ('{"dropout_ratio": 1e999}', "dropout_ratio is inf"),
        ('{"dropout_ratio": 0.5, "lambda1": "big"}', "lambda1 is 'big'"),
        ('{"dropout_ratio": 0.5, "lambda2": 0}', "lambda2 is 0, must be great"),
        ('{"dropout_ratio": 0.5, "lambda3": -1}', "lambda3 is -1, must be at"),
        ('{"dropout_ratio": 0.5, "seed": -1}', "seed is -1, must be an int"),
        ('{"dropout_ratio": 0.5, "max_period": "8"}', "max_period is '8'"),
        ('{"dropout_ratio": 0.5, "max_period": 0}', "an integer from 1 to 256"),
        ('{"dropout_ratio": 0.5, "family": 1}', "family is 1, must be PERIOD"),
        ('{"dropout_ratio": 0.95, "max_period": 4}', "at least 20"),
        ('{"dropout_ratio": 0.5, "max_period": 4.5}', "max_period is 4.5"),
        ('{"dropout_ratio": 0.5, "family": "TILE"}', "family is 'TILE'"),
    ],
)
def test_bad_param_str_is_refused(param_str, message):
    with pytest.raises(ValueError) as error:
        run_layer(param_str)
    text = str(error.value)
    assert re.search(f"^PatternSearchLayer 'k1': .*{message}", text)
    assert "\n" not in text and "dropout_ratio and, if wanted, family" in text


def test_caffe_tells_the_name(tmp_path):
    path = tmp_path / "net.prototxt"
    path.write_text(
        """layer { name: "k7" type: "Python" top: "k"
        python_param { module: "approx_dropout" layer: "PatternSearchLayer"
                       param_str: '{"dropout_ratio": 2}' } }"""
    )
    message = "^PatternSearchLayer 'k7': dropout_ratio is 2, must be at least 0"
    with pytest.raises(ValueError, match=message):
        caffe.Net(str(path), caffe.TEST)


@pytest.mark.parametrize("bottoms, tops", [([None], 1), ([], 2), ([], 0)])
def test_bottoms_and_tops(bottoms, tops):
    message = "'k1' has .* must have no bottom and 1 top"
    with pytest.raises(ValueError, match=message):
        run_layer('{"dropout_ratio": 0.5}', bottoms, tops)


def test_package_has_nothing_else():
    with pytest.raises(AttributeError, match="no attribute 'Layer'"):
        approx_dropout.Layer  # noqa: B018
