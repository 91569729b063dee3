"""The shapes of a net's blobs and parameters in training, from Caffe itself.

A child process builds the net, since Caffe ends the process where a net is
wrong. Nothing is trained, and fillers are left out.
"""

import dataclasses
import json
import os
import subprocess
import sys
import tempfile

from .graph import TRAIN, State
from .proto import ADVICE
from .stand_in import write_nothing
from .upgrade import upgrade

# Types that read files: the field that names the file.
SOURCES = {
    "Data": "data_param",
    "HDF5Data": "hdf5_data_param",
    "ImageData": "image_data_param",
    "WindowData": "window_data_param",
}
_BUILD = """
import json, sys
import caffe
net = caffe.Net(sys.argv[1], caffe.TRAIN)
json.dump({
    "blobs": {name: [*blob.shape] for name, blob in net.blobs.items()},
    "params": {name: [[*blob.shape] for blob in blobs]
               for name, blobs in net.params.items()},
}, sys.stdout)
"""


@dataclasses.dataclass(frozen=True)
class TrainingNet:
    """A net in its TRAIN phase.

    layers: its LayerParameters, in order. blobs: {name: shape}, everything
    kept. params: {layer: shapes of its parameters}.
    """

    layers: list
    blobs: dict
    params: dict
    force_backward: bool


def _without_fillers(layer):
    for field, value in layer.ListFields():
        if field.name.endswith("_param") and field.message_type:
            if field.label == field.LABEL_REPEATED:
                continue
            for name in ("weight_filler", "bias_filler"):
                if name in field.message_type.fields_by_name:
                    value.ClearField(name)


def _as_input(layer, inputs):
    """Makes a data layer an Input of the given shapes; a top that has none
    is taken for labels, one per sample."""
    samples = next(inputs[top][0] for top in layer.top if top in inputs)
    tops = list(layer.top)
    name = layer.name
    layer.Clear()
    layer.name, layer.type = name, "Input"
    layer.top.extend(tops)
    for top in tops:
        shape = layer.input_param.shape.add()
        shape.dim.extend(inputs.get(top, (samples,)))


def _check_source(layer):
    if layer.type not in SOURCES:
        return
    param = getattr(layer, SOURCES[layer.type])
    if not os.path.exists(param.source):
        raise ValueError(
            f"{layer.type} layer '{layer.name}': its source {param.source!r} "
            f"is not there, and its shape unknown; run this in the folder "
            f"that it is relative to, or give it, as in --shape "
            f"{layer.top[0] if layer.top else 'data'}:"
            f"{getattr(param, 'batch_size', 0) or 1},3,224,224"
        )


def training_net(net, inputs=None):
    """The TrainingNet of a NetParameter.

    inputs: {blob: shape} for data layers to be replaced. ValueError if Caffe
    cannot build the net, ImportError without pycaffe.
    """
    inputs = inputs or {}
    net = upgrade(net)
    net_in_training = type(net)()
    net_in_training.CopyFrom(net)
    del net_in_training.layer[:]
    net_in_training.state.phase = TRAIN
    state = State(TRAIN, net.state.level, {*net.state.stage})
    unused = set(inputs)
    for layer in net.layer:
        if not state.includes(layer):
            continue
        added = net_in_training.layer.add()
        added.CopyFrom(layer)
        added.ClearField("include")
        added.ClearField("exclude")
        if not added.bottom and unused & {*added.top}:
            unused -= {*added.top}
            _as_input(added, inputs)
        _without_fillers(added)
    if unused:
        raise ValueError(
            f"--shape names {', '.join(sorted(unused))}, which no data layer "
            f"of the net in training puts out"
        )
    for layer in net_in_training.layer:
        _check_source(layer)
    write_nothing(net_in_training)
    shapes = _build(net_in_training)
    return TrainingNet(
        layers=list(net_in_training.layer),
        blobs=shapes["blobs"],
        params=shapes["params"],
        force_backward=net.force_backward,
    )


def _path():
    """Where the child finds modules: as here, and the pycaffe that is loaded
    here even if it is from elsewhere."""
    loaded = getattr(sys.modules.get("caffe"), "__file__", None)
    return [*sys.path, loaded and os.path.dirname(os.path.dirname(loaded))]


def _build(net):
    from google.protobuf import text_format

    with tempfile.NamedTemporaryFile("w", suffix=".prototxt") as file:
        file.write(text_format.MessageToString(net))
        file.flush()
        done = subprocess.run(
            [sys.executable, "-c", _BUILD, file.name],
            env={
                **os.environ,
                "GLOG_minloglevel": "2",
                "PYTHONPATH": os.pathsep.join(filter(None, _path())),
            },
            capture_output=True,
            text=True,
            errors="replace",
        )
    if done.returncode == 0:
        return json.loads(done.stdout)
    lines = done.stderr.splitlines() or [f"status {done.returncode}"]
    if lines[-1].startswith(("ImportError", "ModuleNotFoundError")):
        raise ImportError(f"pycaffe cannot be imported ({lines[-1]}); {ADVICE}")
    fatal = [line.partition("] ")[2] for line in lines if line[:1] == "F"]
    raise ValueError(f"Caffe cannot build the net: {[*fatal, lines[-1]][0]}")
