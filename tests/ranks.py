"""Small nets, and `mpirun -np N caffe train` on them."""

import os
import shutil
import subprocess

import h5py
import numpy as np
import pytest

from conftest import ROOT
from interrupted_nets import write_images, write_lmdb

CAFFE = ROOT / "build" / "bin" / "caffe"
BATCH = 24  # samples of a step, on all ranks together
STREAMS = 8
SAMPLES = 100

DATA = """
layer {{ name: "data" type: "Data" top: "data" top: "label"
  data_param {{ source: "{folder}/lmdb" batch_size: {batch} backend: LMDB }}
  transform_param {{ scale: 0.004 }} }}
"""
IMAGES = """
layer {{ name: "data" type: "ImageData" top: "data" top: "label"
  image_data_param {{ source: "{folder}/images/list" shuffle: true
    root_folder: "{folder}/images/" batch_size: {batch}
    new_height: 8 new_width: 8 }} transform_param {{ scale: 0.004 }} }}
"""
PATTERN = """
layer {{ name: "{name}" type: "DropoutPattern" top: "{name}"
  dropout_pattern_param {{ probability: [0, 0.5, 0.5, 0] {more} }} }}
"""
PRODUCT = """
layer {{ name: "{name}" type: "ApproxDropoutInnerProduct" {bottoms}
  top: "{name}" approx_dropout_param {{ {approximate} }}
  inner_product_param {{ num_output: {size}
    weight_filler {{ type: "xavier" }} }} }}
"""
RELU = 'layer {{ name: "r{0}" type: "ReLU" bottom: "{0}" top: "{0}" }}\n'
LOSS = """
layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "fc3" bottom: "label"
  top: "loss" }}
"""
EMBED = """
layer {{ name: "data" type: "HDF5Data" top: "token" top: "cont" top: "label"
  hdf5_data_param {{ source: "{folder}/list" batch_size: 5 {shuffle} }} }}
layer {{ name: "embed" type: "Embed" bottom: "token" top: "embed"
  embed_param {{ num_output: 12 input_dim: 40 bias_term: false
    weight_filler {{ type: "uniform" min: -1 max: 1 }} }} }}
"""
LSTM = """
layer {{ name: "{name}" type: "{type}" bottom: "{bottom}" bottom: "cont"
  {pattern} top: "{name}" recurrent_param {{ num_output: 20
    weight_filler {{ type: "uniform" min: -0.3 max: 0.3 }} }} {more} }}
"""


def bottoms(*names):
    return " ".join(f'bottom: "{name}"' for name in names)


def row_mlp(groups="", first="data"):
    """Both hidden layers drop rows, so that fc2 drops columns too."""
    return (
        PATTERN.format(name="p1", more=groups)
        + PATTERN.format(name="p2", more=groups)
        + PRODUCT.format(
            name="fc1",
            bottoms=bottoms(first, "p1"),
            size=160,
            approximate="compact_output: true",
        )
        + RELU.format("fc1")
        + PRODUCT.format(
            name="fc2",
            bottoms=bottoms("fc1", "p2", "p1"),
            size=128,
            approximate="compact_input: true compact_output: true",
        )
        + RELU.format("fc2")
        + PRODUCT.format(
            name="fc3",
            bottoms=bottoms("fc2", "p2"),
            size=10,
            approximate="pattern: NONE compact_input: true",
        )
        + LOSS.format()
    )


def tile_mlp():
    """Tiles of fc2."""
    return (
        PATTERN.format(name="p1", more="")
        + PRODUCT.format(
            name="fc1",
            bottoms=bottoms("data"),
            size=64,
            approximate="pattern: NONE",
        )
        + RELU.format("fc1")
        + PRODUCT.format(
            name="fc2",
            bottoms=bottoms("fc1", "p1"),
            size=48,
            approximate="pattern: TILE tile_size: 8",
        )
        + RELU.format("fc2")
        + PRODUCT.format(
            name="fc3",
            bottoms=bottoms("fc2"),
            size=10,
            approximate="pattern: NONE",
        )
        + LOSS.format()
    )


CONVOLUTION = """
layer {{ name: "pc" type: "DropoutPattern" top: "pc"
  dropout_pattern_param {{ probability: [0, 0.5, 0.5, 0] }} }}
layer {{ name: "conv" type: "ApproxDropoutConvolution" bottom: "data"
  bottom: "pc" top: "conv" convolution_param {{ num_output: 16 kernel_size: 3
    weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "pool" type: "Pooling" bottom: "conv" top: "pool"
  pooling_param {{ pool: MAX kernel_size: 2 stride: 2 }} }}
"""


def language_model(kind="ApproxDropoutLSTM", shuffle=""):
    """Words, an embedding of those in use, two LSTMs, a softmax."""
    approximate = kind.startswith("Approx")
    return (
        EMBED.format(folder="{folder}", shuffle=shuffle)
        + (PATTERN.format(name="p1", more="") if approximate else "")
        + LSTM.format(
            name="lstm1",
            type=kind,
            bottom="embed",
            pattern=bottoms("p1") if approximate else "",
            more="approx_dropout_param { compact_output: true }"
            if approximate
            else "",
        )
        + (
            PRODUCT.format(
                name="fc3",
                bottoms=bottoms("lstm1", "p1"),
                size=40,
                approximate="pattern: NONE compact_input: true",
            ).replace("num_output", "axis: 2 num_output")
            if approximate
            else 'layer { name: "fc3" type: "InnerProduct" bottom: "lstm1" '
            'top: "fc3" inner_product_param { axis: 2 num_output: 40 '
            'weight_filler { type: "xavier" } } }'
        )
        + LOSS.format().replace(
            'top: "loss"', 'top: "loss" softmax_param { axis: 2 }'
        )
    )


NETS = {
    "row": DATA + row_mlp(),
    "groups": DATA + row_mlp("groups: 2"),
    "tile": DATA + tile_mlp(),
    "convolution": DATA + CONVOLUTION + row_mlp(first="pool"),
    "images": IMAGES + row_mlp(),
    "lstm": language_model(),
    "caffe_lstm": language_model("LSTM"),
}

# Not those of one process: crops, masks and the order of rows are drawn anew.
OTHER_NETS = {
    "own_draws": DATA.replace(
        "scale: 0.004", "scale: 0.004 mirror: true crop_size: 7"
    )
    + row_mlp().replace(
        'layer { name: "rfc1"',
        'layer { name: "drop" type: "Dropout" bottom: "fc1" top: "fc1" }\n'
        'layer { name: "rfc1"',
    ),
    "shuffled": language_model(shuffle="shuffle: true"),
}

SOLVER = """
net: "{net}" type: "{type}" base_lr: 0.05 lr_policy: "fixed"
max_iter: {iterations} snapshot: {snapshot} snapshot_prefix: "{folder}/{run}"
solver_mode: CPU random_seed: 6 {more}
"""


def has_mpi():
    """Whether mpirun is there and the build is for it."""
    cache = ROOT / "build/caffe/build/CMakeCache.txt"
    return (
        shutil.which("mpirun") is not None
        and cache.is_file()
        and "USE_MPI:BOOL=ON" in cache.read_text()
    )


needs_mpi = pytest.mark.skipif(not has_mpi(), reason="no `make mpi`")


def write_data(folder):
    """An LMDB of images, JPEGs, and two HDF5 files of words of STREAMS
    streams."""
    write_lmdb(folder / "lmdb", count=SAMPLES)
    (folder / "images").mkdir()
    write_images(folder / "images")
    random = np.random.default_rng(0)
    names = []
    for i, steps in enumerate((37, 24)):
        names.append(str(folder / f"steps{i}.h5"))
        with h5py.File(names[-1], "w") as file:
            shape = (steps, STREAMS)
            # Streams differ, so that it shows who has which.
            first = np.arange(STREAMS) * 3
            file["token"] = first + random.integers(0, 16, shape).astype("f4")
            file["label"] = random.integers(0, 40, shape).astype("f4")
            cont = np.ones(shape, "f4")
            cont[random.uniform(size=shape) < 0.05] = 0
            file["cont"] = cont
    (folder / "list").write_text("\n".join(names))


def command(
    folder,
    net,
    ranks,
    run=None,
    iterations=12,
    snapshot=0,
    kind="SGD",
    more="momentum: 0.9 weight_decay: 0.001",
    flags=(),
):
    """`caffe train` of a net on some ranks, the batch shared out to them; its
    files are called folder/run…"""
    run = run or f"{net}_{ranks}"
    path = folder / f"{run}.prototxt"
    path.write_text(
        {**NETS, **OTHER_NETS}[net]
        .replace("{folder}", str(folder))
        .replace("{batch}", str(BATCH // ranks))
        .replace("{{", "{")
        .replace("}}", "}")
    )
    solver = folder / f"{run}_solver.prototxt"
    solver.write_text(
        SOLVER.format(
            net=path,
            type=kind,
            iterations=iterations,
            snapshot=snapshot,
            folder=folder,
            run=run,
            more=more,
        )
    )
    return [CAFFE, "train", f"--solver={solver}", *flags]


def mpirun(ranks):
    return [
        "mpirun", "--allow-run-as-root", "--oversubscribe", "-np", str(ranks),
    ]  # fmt: skip


def train(folder, net, ranks, check=True, **options):
    """Trains; returns (exit status, what it wrote)."""
    launcher = mpirun(ranks) if ranks > 1 else []
    done = subprocess.run(
        launcher + command(folder, net, ranks, **options),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=120,
    )
    assert done.returncode == 0 or not check, done.stdout[-6000:]
    return done.returncode, done.stdout


def weights(folder, run, iteration=12):
    """All of a snapshot's weights, one after the other."""
    from caffe.proto import caffe_pb2

    path = folder / f"{run}_iter_{iteration}.caffemodel"
    net = caffe_pb2.NetParameter.FromString(path.read_bytes())
    return np.concatenate(
        [np.float32(blob.data) for layer in net.layer for blob in layer.blobs]
    )
