"""Small nets, and `mpirun -np N caffe train` on them."""

import os
import shutil
import string
import subprocess

import h5py
import numpy as np
import pytest

from conftest import ROOT
from interrupted_nets import weights as blobs
from interrupted_nets import write_images, write_lmdb

CAFFE = ROOT / "build" / "bin" / "caffe"
BATCH = 24  # samples of a step, on all ranks together
STREAMS = 8
SAMPLES = 100

# Layers are templates: $folder and $batch are known when a net is written.
DATA = """
layer { name: "data" type: "Data" top: "data" top: "label"
  data_param { source: "$folder/lmdb" batch_size: $batch backend: LMDB }
  transform_param { scale: 0.004 } }
"""
IMAGES = """
layer { name: "data" type: "ImageData" top: "data" top: "label"
  image_data_param { source: "$folder/images/list" shuffle: true
    root_folder: "$folder/images/" batch_size: $batch
    new_height: 8 new_width: 8 } transform_param { scale: 0.004 } }
"""
WINDOWS = """
layer { name: "data" type: "WindowData" top: "data" top: "label"
  window_data_param { source: "$folder/windows" batch_size: $batch
    crop_mode: "warp" scale: 0.004 } transform_param { crop_size: 8 } }
"""
# A layer of the test's, OwnLayer of own_layer.py.
PYTHON = """
layer { name: "own" type: "Python" bottom: "data" top: "own"
  python_param { module: "own_layer" layer: "OwnLayer" } }
"""
PATTERN = """
layer { name: "$name" type: "DropoutPattern" top: "$name"
  dropout_pattern_param { probability: [0, 0.5, 0.5, 0] $more } }
"""
PRODUCT = """
layer { name: "$name" type: "$type" $bottoms top: "$name"
  inner_product_param { num_output: $size axis: $axis
    weight_filler { type: "xavier" } } $approximate }
"""
RELU = """
layer { name: "r$name" type: "ReLU" bottom: "$name" top: "$name" }
"""
LOSS = """
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc3" bottom: "label"
  top: "loss" softmax_param { axis: $axis } }
"""
CONVOLUTION = """
layer { name: "conv" type: "ApproxDropoutConvolution" bottom: "data"
  bottom: "pc" top: "conv" convolution_param { num_output: 16 kernel_size: 3
    weight_filler { type: "xavier" } } }
layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool"
  pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
"""
EMBED = """
layer { name: "data" type: "HDF5Data" top: "token" top: "cont" top: "label"
  hdf5_data_param { source: "$folder/list" batch_size: 5 $shuffle } }
layer { name: "embed" type: "Embed" bottom: "token" top: "embed"
  embed_param { num_output: 12 input_dim: 40 bias_term: false
    weight_filler { type: "uniform" min: -1 max: 1 } } }
"""
LSTM = """
layer { name: "lstm" type: "$type" bottom: "embed" bottom: "cont" $bottoms
  top: "lstm" recurrent_param { num_output: 20
    weight_filler { type: "uniform" min: -0.3 max: 0.3 } } $approximate }
"""


def fill(text, **values):
    """A template with some of its values."""
    return string.Template(text).safe_substitute(values)


def drops(*names, approximate="", **values):
    """What a layer needs that reads `names`, and knows of dropout if it is
    told how."""
    if approximate:
        approximate = f"approx_dropout_param {{ {approximate} }}"
    bottoms = " ".join(f'bottom: "{name}"' for name in names)
    return {"bottoms": bottoms, "approximate": approximate, **values}


def product(name, size, *bottoms, approximate="", axis=1):
    kind = "ApproxDropoutInnerProduct" if approximate else "InnerProduct"
    values = drops(*bottoms, approximate=approximate, type=kind)
    return fill(PRODUCT, name=name, size=size, axis=axis, **values)


def pattern(name, more=""):
    return fill(PATTERN, name=name, more=more)


def mlp(first, second, third):
    """Three products, with ReLU between them, and a loss."""
    return (
        first
        + fill(RELU, name="fc1")
        + second
        + fill(RELU, name="fc2")
        + third
        + fill(LOSS, axis=1)
    )


def row_mlp(groups="", first="data"):
    """Both hidden layers drop rows, so that fc2 drops columns too."""
    inner = "compact_input: true compact_output: true"
    last = "pattern: NONE compact_input: true"
    return (
        pattern("p1", groups)
        + pattern("p2", groups)
        + mlp(
            product(
                "fc1", 160, first, "p1", approximate="compact_output: true"
            ),
            product("fc2", 128, "fc1", "p2", "p1", approximate=inner),
            product("fc3", 10, "fc2", "p2", approximate=last),
        )
    )


def tile_mlp():
    """Tiles of fc2."""
    tiles = "pattern: TILE tile_size: 8"
    return pattern("p1") + mlp(
        product("fc1", 64, "data", approximate="pattern: NONE"),
        product("fc2", 48, "fc1", "p1", approximate=tiles),
        product("fc3", 10, "fc2", approximate="pattern: NONE"),
    )


def language_model(kind="ApproxDropoutLSTM", shuffle=""):
    """Words, an embedding of those in use, an LSTM, a softmax."""
    net = fill(EMBED, shuffle=shuffle)
    if kind == "LSTM":
        net += fill(LSTM, **drops(type=kind))
        net += product("fc3", 40, "lstm", axis=2)
    else:
        compact = drops("p1", approximate="compact_output: true", type=kind)
        last = "pattern: NONE compact_input: true"
        net += pattern("p1") + fill(LSTM, **compact)
        net += product("fc3", 40, "lstm", "p1", approximate=last, axis=2)
    return net + fill(LOSS, axis=2)


NETS = {
    "row": DATA + row_mlp(),
    "groups": DATA + row_mlp("groups: 2"),
    "tile": DATA + tile_mlp(),
    "convolution": DATA + pattern("pc") + CONVOLUTION + row_mlp(first="pool"),
    "images": IMAGES + row_mlp(),
    "lstm": language_model(),
    "caffe_lstm": language_model("LSTM"),
}

# Not those of one process: crops, masks, windows and the order of rows are
# drawn anew.
OTHER_NETS = {
    "own_draws": DATA.replace(
        "scale: 0.004", "scale: 0.004 mirror: true crop_size: 7"
    )
    + row_mlp().replace(
        'layer { name: "rfc1"',
        'layer { name: "drop" type: "Dropout" bottom: "fc1" top: "fc1" }\n'
        'layer { name: "rfc1"',
    ),
    "windows": WINDOWS + row_mlp(),
    "python": DATA + PYTHON + row_mlp(first="own"),
    "shuffled": language_model(shuffle="shuffle: true"),
}

SOLVER = """
net: "$net" type: "$type" base_lr: 0.05 lr_policy: "fixed"
max_iter: $iterations snapshot: $snapshot snapshot_prefix: "$folder/$run"
snapshot_format: $format solver_mode: CPU random_seed: 6 $more
"""


def has_mpi():
    """Whether the build is for mpirun, and that is Open MPI's, whose options
    these tests give it."""
    cache = ROOT / "build/caffe/build/CMakeCache.txt"
    if not (shutil.which("mpirun") and cache.is_file()):
        return False
    version = subprocess.run(
        ["mpirun", "--version"], capture_output=True, text=True, check=False
    )
    is_open = "Open MPI" in version.stdout
    return is_open and "USE_MPI:BOOL=ON" in cache.read_text()


needs_mpi = pytest.mark.skipif(not has_mpi(), reason="no Open MPI: `make mpi`")


def write_data(folder):
    """An LMDB of images, JPEGs and windows of them, and two HDF5 files of
    words of STREAMS streams."""
    write_lmdb(folder / "lmdb", count=SAMPLES)
    (folder / "images").mkdir()
    write_images(folder / "images")
    lines = []
    for i in range(20):  # an object and background in each
        lines += [f"# {i}", f"{folder}/images/{i}.jpg", "3", "12", "12", "2"]
        lines += [f"{1 + i % 9} 1.0 1 1 9 9", "0 0.1 0 0 4 4"]
    (folder / "windows").write_text("\n".join(lines) + "\n")
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
    snapshot_format="BINARYPROTO",
    flags=(),
):
    """`caffe train` of a net on some ranks, the batch shared out to them; its
    files are called folder/run…"""
    run = run or f"{net}_{ranks}"
    file = folder / run.replace("/", "_")
    path = file.with_name(f"{file.name}.prototxt")
    text = {**NETS, **OTHER_NETS}[net]
    path.write_text(fill(text, folder=folder, batch=BATCH // ranks))
    solver = file.with_name(f"{file.name}_solver.prototxt")
    solver.write_text(
        fill(
            SOLVER,
            net=path,
            type=kind,
            iterations=iterations,
            snapshot=snapshot,
            format=snapshot_format,
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


def launched(launch, limit_s=120):
    """Exit status and log of a training."""
    done = subprocess.run(
        launch,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=limit_s,
    )
    return done.returncode, done.stdout


def train(folder, net, ranks, check=True, **options):
    """Trains; returns (exit status, what it wrote)."""
    launcher = mpirun(ranks) if ranks > 1 else []
    status, log = launched(launcher + command(folder, net, ranks, **options))
    assert status == 0 or not check, log[-6000:]
    return status, log


def weights(folder, run, iteration=12):
    """All of a snapshot's weights, one after the other."""
    (path,) = folder.glob(f"{run}_iter_{iteration}.caffemodel*")
    return np.concatenate(
        [np.frombuffer(blob, np.float32) for _, blob in blobs(path)]
    )
