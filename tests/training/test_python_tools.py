"""Caffe's own Python tools, on images that the test writes."""

import subprocess
import sys

import numpy as np
import pytest

from project import ROOT

PYTHON = ROOT / "build" / "caffe" / "python"
NET = """
input: "data" input_shape { dim: 10 dim: 3 dim: 24 dim: 24 }
layer { name: "class" type: "InnerProduct" bottom: "data" top: "class"
  inner_product_param { num_output: 4 weight_filler { type: "xavier" } } }
layer { name: "prob" type: "Softmax" bottom: "class" top: "prob" }
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A net, its weights, a colour JPEG and a grey PNG."""
    import caffe
    import skimage.io

    folder = tmp_path_factory.mktemp("tools")
    (folder / "net.prototxt").write_text(NET)
    caffe.set_random_seed(1)
    net = caffe.Net(str(folder / "net.prototxt"), caffe.TEST)
    net.save(str(folder / "net.caffemodel"))
    rng = np.random.RandomState(0)
    for name, shape in (("a.jpg", (30, 40, 3)), ("grey.png", (30, 40))):
        skimage.io.imsave(folder / name,
                          rng.randint(0, 256, shape).astype(np.uint8))
    return folder


def run(folder, tool, *arguments):
    """Runs a tool in the folder."""
    done = subprocess.run(
        [sys.executable, PYTHON / tool, *arguments], cwd=folder, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
        env={"PYTHONPATH": str(PYTHON), "PATH": "/usr/bin:/bin",
             "GLOG_minloglevel": "2"})
    assert done.returncode == 0, done.stdout


MODEL = ("--model_def", "net.prototxt", "--pretrained_model",
         "net.caffemodel", "--mean_file", "")


@pytest.mark.parametrize("name, color, channels", [
    ("a.jpg", True, 3), ("a.jpg", False, 1),
    ("grey.png", True, 3), ("grey.png", False, 1)])
def test_load_image(folder, name, color, channels):
    import caffe.io

    image = caffe.io.load_image(str(folder / name), color)
    assert image.shape == (30, 40, channels)
    assert image.dtype == np.float32
    assert 0 <= image.min() < 0.1 and 0.8 < image.max() <= 1


def test_classify(folder):
    run(folder, "classify.py", *MODEL, "--images_dim", "28,28", "--ext", "png",
        ".", "out.npy")
    predictions = np.load(folder / "out.npy")
    assert predictions.shape == (1, 4)
    assert predictions.sum() == pytest.approx(1, abs=1e-5)


def test_detect(folder):
    pandas = pytest.importorskip("pandas")
    (folder / "windows.csv").write_text(
        "filename,ymin,xmin,ymax,xmax\n"
        "a.jpg,0,0,20,20\na.jpg,5,5,29,39\ngrey.png,3,4,25,30\n")
    run(folder, "detect.py", *MODEL, "--crop_mode", "list", "--context_pad",
        "4", "windows.csv", "out.csv")
    found = pandas.read_csv(folder / "out.csv")
    assert list(found["xmin"]) == [0, 5, 4]
    classes = found[[f"class{i}" for i in range(4)]].to_numpy()
    assert classes.sum(axis=1) == pytest.approx(np.ones(3), abs=1e-5)


def test_draw_net(folder):
    pytest.importorskip("pydot")
    run(folder, "draw_net.py", "net.prototxt", "net.dot")
    assert "InnerProduct" in (folder / "net.dot").read_text()


def test_caffes_own_tests_of_images():
    done = subprocess.run(
        [sys.executable, "-m", "unittest", "caffe.test.test_io"], cwd=PYTHON,
        capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
