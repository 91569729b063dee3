"""JPEGs train through every way that Caffe has for images: ImageData, encoded
and decoded records, LMDB and LevelDB. The images are red or blue noise, so a
few steps tell them apart."""

import re
import subprocess

import numpy as np
import pytest

from project import ROOT

BIN = ROOT / "build" / "bin"
IMAGES, SIDE, BATCH, STEPS = 12, 20, 6, 30

NET = """
layer { name: "data" type: "%s" top: "data" top: "label"
  transform_param { scale: 0.0078125 crop_size: 16 mirror: true
    mean_value: 128 }
  %s }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 4 kernel_size: 5
    weight_filler { type: "xavier" } } }
layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool"
  pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
layer { name: "pattern" type: "DropoutPattern" top: "pattern"
  dropout_pattern_param { family: PERIOD probability: 0.5 probability: 0.5 } }
layer { name: "hidden" type: "ApproxDropoutInnerProduct" bottom: "pool"
  bottom: "pattern" top: "hidden"
  inner_product_param { num_output: 16 weight_filler { type: "xavier" } }
  approx_dropout_param { pattern: ROW } }
layer { name: "relu" type: "ReLU" bottom: "hidden" top: "hidden" }
layer { name: "class" type: "InnerProduct" bottom: "hidden" top: "class"
  inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "class" bottom: "label"
  top: "loss" }
"""
SOLVER = """
net: "%s" solver_mode: CPU random_seed: 7 base_lr: 0.05 momentum: 0.9
lr_policy: "fixed" display: 1 max_iter: %d snapshot_after_train: false
"""


def run(tool, *arguments):
    """What a tool of Caffe's says."""
    done = subprocess.run([BIN / tool, *arguments], text=True, check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout[-4000:]
    return done.stdout


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """A folder with JPEGs and list.txt, which gives each its label."""
    import skimage.io

    folder = tmp_path_factory.mktemp("images")
    rng = np.random.RandomState(0)
    lines = []
    for i in range(IMAGES):
        pixels = rng.randint(0, 100, (SIDE, SIDE, 3), dtype=np.uint8)
        pixels[:, :, 2 * (i % 2)] += 120
        name = f"{i:02d}.jpg"
        skimage.io.imsave(folder / name, pixels, check_contrast=False)
        lines.append(f"{name} {i % 2}\n")
    (folder / "list.txt").write_text("".join(lines))
    return folder


def losses(folder, layer, parameters):
    """The losses of a training, one per step."""
    (folder / "net.prototxt").write_text(NET % (layer, parameters))
    (folder / "solver.prototxt").write_text(
        SOLVER % (folder / "net.prototxt", STEPS))
    said = run("caffe", "train", f"--solver={folder / 'solver.prototxt'}")
    return [float(x) for x in re.findall(r"Iteration \d+ .*loss = (\S+)",
                                         said)]


def learns(folder, layer, parameters):
    found = losses(folder, layer, parameters)
    assert len(found) == STEPS
    assert np.mean(found[:2]) > 0.4
    assert np.mean(found[-5:]) < 0.1


def test_image_data(images, tmp_path):
    learns(tmp_path, "ImageData", f'''image_data_param {{ shuffle: true
        source: "{images}/list.txt" root_folder: "{images}/"
        batch_size: {BATCH} new_height: 18 new_width: 18 }}''')


RECORDS = [("lmdb", ("--encoded", "--encode_type=jpg"), "backend: LMDB"),
           ("lmdb", (), "backend: LMDB"),
           ("leveldb", ("--encoded",), "backend: LEVELDB"),
           ("leveldb", (), "")]  # the backend that data_param has by default


@pytest.mark.parametrize("backend, options, field", RECORDS)
def test_records(images, tmp_path, backend, options, field):
    run("convert_imageset", f"--backend={backend}", *options, f"{images}/",
        images / "list.txt", tmp_path / "records")
    learns(tmp_path, "Data", f'''data_param {{ batch_size: {BATCH}
        source: "{tmp_path}/records" {field} }}''')


def test_same_images_give_the_same_losses(images, tmp_path):
    """ImageData decodes what an encoded record holds."""
    run("convert_imageset", "--backend=lmdb", "--encoded", f"{images}/",
        images / "list.txt", tmp_path / "records")
    of_files = losses(tmp_path, "ImageData", f'''image_data_param {{
        source: "{images}/list.txt" root_folder: "{images}/"
        batch_size: {BATCH} }}''')
    of_records = losses(tmp_path, "Data", f'''data_param {{ backend: LMDB
        source: "{tmp_path}/records" batch_size: {BATCH} }}''')
    assert of_files == of_records


def test_window_data(images, tmp_path):
    """A whole image is one class, a corner of it the other."""
    lines = []
    for i in range(IMAGES):
        lines += [f"# {i}", f"{images}/{i:02d}.jpg", "3", str(SIDE), str(SIDE),
                  "2", f"1 1.0 0 0 {SIDE - 1} {SIDE - 1}", "1 0.1 0 0 9 9"]
    (tmp_path / "windows.txt").write_text("\n".join(lines) + "\n")
    found = losses(tmp_path, "WindowData", f'''window_data_param {{
        source: "{tmp_path}/windows.txt" batch_size: {BATCH}
        fg_threshold: 0.5 bg_threshold: 0.5 fg_fraction: 0.5
        crop_mode: "warp" scale: 0.0078125 }}''')
    assert len(found) == STEPS and np.isfinite(found).all()


def test_mean_of_records(images, tmp_path):
    """compute_image_mean's blob is the mean of the decoded pixels."""
    import caffe
    import skimage.io

    run("convert_imageset", "--backend=lmdb", "--encoded", f"{images}/",
        images / "list.txt", tmp_path / "records")
    run("compute_image_mean", "--backend=lmdb", tmp_path / "records",
        tmp_path / "mean.binaryproto")
    blob = caffe.proto.caffe_pb2.BlobProto()
    blob.ParseFromString((tmp_path / "mean.binaryproto").read_bytes())
    mean = caffe.io.blobproto_to_array(blob)[0]
    pixels = np.mean([skimage.io.imread(images / f"{i:02d}.jpg")
                      for i in range(IMAGES)], axis=0)
    # Decoders of JPEG may differ by one in a pixel.
    assert np.abs(mean - pixels[:, :, ::-1].transpose(2, 0, 1)).max() < 1
