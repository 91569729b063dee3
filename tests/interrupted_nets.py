"""Small nets that read their data in different ways, and `caffe train` on
them, with snapshots that lie within epochs."""

import resource
import subprocess

import h5py
import lmdb
import numpy as np

from conftest import ROOT

CAFFE = ROOT / "build" / "bin" / "caffe"
# None divides another: snapshots lie within epochs.
SAMPLES, BATCH, SNAPSHOT = 83, 16, 12
FORMATS = ("BINARYPROTO", "HDF5")

MLP = """
layer {{ name: "data" type: "Data" top: "data" top: "label"
  data_param {{ source: "{folder}/lmdb" batch_size: {batch} backend: LMDB }}
  transform_param {{ mirror: true crop_size: 7 scale: 0.004 }} }}
layer {{ name: "pattern" type: "DropoutPattern" top: "pattern"
  dropout_pattern_param {{ probability: [0, 0.5, 0.5, 0] }} }}
layer {{ name: "fc1" type: "ApproxDropoutInnerProduct" bottom: "data"
  bottom: "pattern" top: "fc1"
  inner_product_param {{ num_output: 64 weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "relu" type: "ReLU" bottom: "fc1" top: "fc1" }}
layer {{ name: "drop" type: "Dropout" bottom: "fc1" top: "fc1" }}
layer {{ name: "fc2" type: "InnerProduct" bottom: "fc1" top: "fc2"
  inner_product_param {{ num_output: 10 weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "fc2" bottom: "label"
  top: "loss" }}
"""

LSTM = """
layer {{ name: "data" type: "HDF5Data" top: "x" top: "cont" top: "target"
  hdf5_data_param {{ source: "{folder}/list" batch_size: 5 shuffle: false }} }}
layer {{ name: "pattern" type: "DropoutPattern" top: "pattern"
  dropout_pattern_param {{ probability: [0, 0.5, 0.5, 0] }} }}
layer {{ name: "lstm1" type: "LSTM" bottom: "x" bottom: "cont" top: "h1"
  recurrent_param {{ num_output: 16
    weight_filler {{ type: "uniform" min: -0.2 max: 0.2 }} }} }}
layer {{ name: "drop" type: "Dropout" bottom: "h1" top: "h1" }}
layer {{ name: "lstm2" type: "ApproxDropoutLSTM" bottom: "h1" bottom: "cont"
  bottom: "pattern" top: "h2" recurrent_param {{ num_output: 8
    weight_filler {{ type: "uniform" min: -0.2 max: 0.2 }} }} }}
layer {{ name: "loss" type: "EuclideanLoss" bottom: "h2" bottom: "target"
  top: "loss" }}
"""

IMAGES = """
layer {{ name: "data" type: "ImageData" top: "data" top: "label"
  image_data_param {{ source: "{folder}/list" root_folder: "{folder}/"
    batch_size: 6 shuffle: true new_height: 10 new_width: 11 }}
  transform_param {{ mirror: true crop_size: 8 scale: 0.004 }} }}
layer {{ name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param {{ num_output: 4 kernel_size: 3
    weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "pattern" type: "DropoutPattern" top: "pattern"
  dropout_pattern_param {{ probability: [0, 0.5, 0.5, 0] groups: 2 }} }}
layer {{ name: "fc1" type: "ApproxDropoutInnerProduct" bottom: "conv"
  bottom: "pattern" top: "fc1"
  inner_product_param {{ num_output: 24 weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "drop" type: "Dropout" bottom: "fc1" top: "fc1" }}
layer {{ name: "fc2" type: "InnerProduct" bottom: "fc1" top: "fc2"
  inner_product_param {{ num_output: 10 weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "fc2" bottom: "label"
  top: "loss" }}
"""

SOLVER = """
net: "{folder}/net.prototxt"
base_lr: 0.05 lr_policy: "fixed" momentum: 0.9 weight_decay: 0.001
max_iter: {iterations} snapshot: {snapshot} snapshot_prefix: "{folder}/{run}"
snapshot_format: {format} solver_mode: CPU random_seed: 6
test_interval: 25 test_iter: 2
"""


def write_lmdb(path, count=SAMPLES, shape=(1, 8, 8), seed=0):
    """Random images of a shape (channels, height, width), of ten classes."""
    from caffe.proto import caffe_pb2

    random = np.random.default_rng(seed)
    with lmdb.open(str(path), map_size=2**24) as database:
        with database.begin(write=True) as transaction:
            for i in range(count):
                datum = caffe_pb2.Datum(
                    **dict(zip(("channels", "height", "width"), shape))
                )
                datum.data = random.bytes(int(np.prod(shape)))
                datum.label = i % 10
                transaction.put(b"%08d" % i, datum.SerializeToString())


def write_hdf5(folder):
    """Two files of time steps of three sequences that go on and on."""
    random = np.random.default_rng(0)
    names = []
    for i, steps in enumerate((37, 24)):
        names.append(str(folder / f"steps{i}.h5"))
        with h5py.File(names[-1], "w") as file:
            file["x"] = random.normal(size=(steps, 3, 6)).astype("f4")
            file["cont"] = np.ones((steps, 3), "f4")
            file["target"] = random.uniform(
                -1, 1, size=(steps, 3, 8)).astype("f4")
    (folder / "list").write_text("\n".join(names))


def write_images(folder):
    """Random JPEGs of two sizes, and their list."""
    import skimage.io

    random = np.random.default_rng(0)
    lines = []
    for i in range(SAMPLES):
        pixels = random.integers(0, 256, (12, 12 + i % 2, 3), np.uint8)
        skimage.io.imsave(folder / f"{i}.jpg", pixels, check_contrast=False)
        lines.append(f"{i}.jpg {i % 10}\n")
    (folder / "list").write_text("".join(lines))


NETS = {
    "mlp": (MLP, lambda folder: write_lmdb(folder / "lmdb")),
    "lstm": (LSTM, write_hdf5),
    "images": (IMAGES, write_images),
}


def prepare(name, folder):
    """Writes a net and its data into the folder."""
    net, write_data = NETS[name]
    write_data(folder)
    text = net.format(folder=folder, batch=BATCH)
    (folder / "net.prototxt").write_text(text)


def command(folder, run, snapshot="auto", snapshot_format="BINARYPROTO",
            iterations=30):
    """`caffe train` of a run, snapshots of which are called folder/run_iter_…:
    its solver is written."""
    solver = folder / f"solver_{run.replace('/', '_')}.prototxt"
    solver.write_text(SOLVER.format(
        folder=folder, run=run, iterations=iterations, snapshot=SNAPSHOT,
        format=snapshot_format))
    return [CAFFE, "train", f"--solver={solver}", f"--snapshot={snapshot}"]


def train(*args, limit=None, **options):
    """Runs it; returns (exit status, log)."""
    def set_limit():
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    done = subprocess.run(
        command(*args, **options), stdout=subprocess.PIPE, text=True,
        stderr=subprocess.STDOUT, check=False, preexec_fn=set_limit)
    return done.returncode, done.stdout


def weights(path):
    """The blobs of a model, of either format, as one list of bytes."""
    if path.suffix == ".h5":
        found = []
        with h5py.File(path) as file:
            file["data"].visititems(
                lambda name, item: found.append((name, item[()].tobytes()))
                if isinstance(item, h5py.Dataset) else None)
        return found
    from caffe.proto import caffe_pb2
    net = caffe_pb2.NetParameter.FromString(path.read_bytes())
    return [(layer.name, np.float32(blob.data).tobytes())
            for layer in net.layer for blob in layer.blobs]
