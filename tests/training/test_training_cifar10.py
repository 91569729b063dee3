"""A small convolutional net trained by `caffe train` with whole feature maps
dropped: it learns, its weights give the same answers in Caffe's layers, and the
same dropout computed densely trains the same weights.

Needs build/bin/caffe and the digits that come with scikit-learn.
"""

import dataclasses
import re
import subprocess

import numpy as np
import pytest

import training.run
from data import cifar10
from nets import registry
from nets.text import net_text
from project import ROOT

EPOCHS = 4


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """A folder with the embedded digits as LMDBs: 1,497 and 300 of them."""
    folder = tmp_path_factory.mktemp("data") / "images"
    cifar10.prepare(folder, source="embedded")
    return folder


def experiment(key, images):
    """One with fewer maps and units."""
    return dataclasses.replace(
        registry.find(key),
        data=str(images),
        maps=(16, 16, 32, 32),
        hidden=(64,),
        rates=(0.3,) * 5,
        # At 0.01 PERIOD, which may keep one map of 16, diverges now and then.
        base_lr=0.003,
        groups=2 if "period" not in key else 1,
        batch_size=32,
        epochs=EPOCHS,
    )


def accuracy_of(net, weights, folder):
    """Share that a net gets right with these weights, by `caffe test`."""
    path = folder / "net.prototxt"
    path.write_text(net_text(net))
    result = subprocess.run(
        [
            training.run.CAFFE,
            "test",
            f"--model={path}",
            f"--weights={weights}",
            "--iterations=3",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return float(re.findall(r"\baccuracy = (\S+)", result.stderr)[-1])


@pytest.mark.parametrize("method", ["row", "row_period"])
def test_dropped_feature_maps_learn(images, tmp_path, method):
    net = experiment(f"cifar10/{method}_0.3", images)
    metrics = training.run.train(net, tmp_path / "run")
    assert metrics["status"] == "finished" and not metrics["diverged"]
    accuracy = metrics["tests"][-1]["accuracy"]
    assert accuracy > 0.5  # chance: 0.1
    assert metrics["drop_rate"]["realised"] == pytest.approx(0.3, abs=0.03)
    (weights,) = (tmp_path / "run").glob("*.caffemodel")
    stock = experiment("cifar10/conventional_0.3", images)
    assert accuracy_of(stock, weights, tmp_path) == pytest.approx(
        accuracy, abs=1e-3
    )


def trained_weights(net, folder):
    """All weights after a few iterations."""
    from caffe.proto import caffe_pb2

    training.run.train(dataclasses.replace(net, iteration_limit=4), folder)
    (path,) = folder.glob("*.caffemodel")
    model = caffe_pb2.NetParameter.FromString(path.read_bytes())
    return np.concatenate(
        [blob.data for layer in model.layer for blob in layer.blobs]
    )


def test_spatial_dropout_computed_densely_is_the_oracle(images, tmp_path):
    """With the same patterns the weights are the same but for rounding: one
    pattern for all images, for groups of them, and for each, which is
    SpatialDropout."""
    found = {}
    for groups in (1, 4, 32):
        net = experiment("cifar10/row_0.3", images)
        net = dataclasses.replace(net, groups=groups)
        dense = dataclasses.replace(net, dense=True)
        compact = trained_weights(net, tmp_path / f"compact{groups}")
        wide = trained_weights(dense, tmp_path / f"dense{groups}")
        assert np.abs(compact - wide).max() < 1e-3 * np.abs(wide).max()
        found[groups] = wide
    # Other patterns train other weights.
    largest = np.abs(found[1]).max()
    assert np.abs(found[1] - found[4]).max() > 1e-2 * largest
    assert np.abs(found[4] - found[32]).max() > 1e-2 * largest
