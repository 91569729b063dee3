"""Caffe's files, told apart by what they hold, and those of weights read."""

import dataclasses
import math
import os

from .proto import UTF_16, load_caffe_pb2, read_net, read_text
from .state import HDF5_SIGNATURE, parse, reading, text_of

OUR_TYPES = (
    "ApproxDropout",
    "ApproxDropoutConvolution",
    "ApproxDropoutInnerProduct",
    "ApproxDropoutLSTM",
    "DropoutPattern",
)
_TEXT_BYTES = {9, 10, 12, 13, 27, *range(32, 256)}
_NONE_OF_THESE = (
    "is neither a solver state, nor a prototxt of a net or solver, nor a "
    ".caffemodel"
)


@dataclasses.dataclass(frozen=True)
class ModelLayer:
    """A layer in a file of weights: type "?" where that is not stored."""

    name: str
    type: str
    shapes: list

    @property
    def count(self):
        """Number of parameters."""
        return sum(math.prod(shape) for shape in self.shapes)


def kind(path):
    """What a file holds: "solver state", "model" (weights) or "prototxt".

    ValueError if it is none of these.
    """
    from google.protobuf.message import DecodeError

    with open(path, "rb") as file:
        data = file.read()
    if data.startswith(HDF5_SIGNATURE):
        return _hdf5_kind(path)
    if data.startswith(UTF_16) or (data and _TEXT_BYTES.issuperset(data)):
        return "prototxt"
    pb2 = load_caffe_pb2()
    for name, message, fields in (
        ("solver state", pb2.SolverState(), ["iter"]),
        ("model", pb2.NetParameter(), ["layer", "layers"]),
    ):
        try:
            parse(message, data)
        except (DecodeError, ValueError):
            continue
        present = {field.name for field, _ in message.ListFields()}
        if present.intersection(fields):
            return name
    raise ValueError(f"{path} {_NONE_OF_THESE}, or is damaged")


def _hdf5():
    try:
        import h5py
    except ImportError as error:
        raise ImportError(f"an HDF5 file needs h5py ({error})") from error
    return h5py


def _hdf5_kind(path):
    h5py = _hdf5()
    with reading(path, "HDF5 file"), h5py.File(path, "r") as file:
        if "iter" in file:
            return "solver state"
        if "data" in file and hasattr(file["data"], "keys"):
            return "model"
    raise ValueError(f"{path} {_NONE_OF_THESE}, but other HDF5")


def _line(error):
    """How far protobuf's parser came."""
    return getattr(error, "GetLine", int)() or 0


def _read_solver(path):
    """The SolverParameter in a prototxt, or the ParseError."""
    from google.protobuf import text_format

    text, _ = read_text(path)
    return text_format.Parse(text, load_caffe_pb2().SolverParameter())


def _net_of_solver(path, solver):
    for field in ("net_param", "train_net_param"):
        if solver.HasField(field):
            return getattr(solver, field)
    named = solver.train_net or solver.net
    beside = os.path.join(os.path.dirname(path), named)
    for candidate in (named, beside):
        if os.path.exists(candidate):
            return read_net(candidate)
    raise ValueError(
        f"{path}: its net {named!r} is not there, neither from this folder "
        f"nor from the solver's"
    )


def read_net_or_solver(path):
    """The NetParameter of a net's prototxt, or of the net that a solver's
    trains, with its train_state. ValueError says what is wrong."""
    from google.protobuf.text_format import ParseError

    error = None
    try:
        net = read_net(path)
        if net.layer or net.layers:
            return net
    except ValueError as not_net:
        error = not_net
    try:
        solver = _read_solver(path)
    except ParseError as not_solver:
        if error is None or _line(not_solver) > _line(error.__cause__):
            error = ValueError(f"{path}: {not_solver}")
        raise ValueError(
            f"{error}; nor is it a solver state or a .caffemodel"
        ) from None
    fields = ("net", "train_net", "net_param", "train_net_param")
    if not any(solver.HasField(field) for field in fields):
        raise ValueError(f"{path} {_NONE_OF_THESE}: it names no net")
    net = _net_of_solver(path, solver)
    net.state.MergeFrom(solver.train_state)
    return net


def _blob_shape(blob):
    if blob.HasField("shape"):
        return list(blob.shape.dim)
    return [blob.num, blob.channels, blob.height, blob.width]


def read_model(path):
    """The ModelLayers that have weights, in a .caffemodel's order."""
    with open(path, "rb") as file:
        data = file.read()
    if data.startswith(HDF5_SIGNATURE):
        return _read_hdf5_model(path)
    with reading(path, ".caffemodel"):
        net = parse(load_caffe_pb2().NetParameter(), data)
    if net.layer:
        return [
            ModelLayer(
                text_of(x.name), text_of(x.type), [*map(_blob_shape, x.blobs)]
            )
            for x in net.layer
        ]
    found = []
    for x in net.layers:  # Caffe's old formats: V1, and V0 within it
        kind = x.LayerType.Name(x.type)
        x, kind = (x.layer, x.layer.type) if x.HasField("layer") else (x, kind)
        found.append(
            ModelLayer(
                text_of(x.name), text_of(kind), [*map(_blob_shape, x.blobs)]
            )
        )
    return found


def _read_hdf5_model(path):
    h5py = _hdf5()
    layers = []

    def add(name, item):
        """A layer "a/b" is the group b in the group a, which may be one too."""
        if not isinstance(item, h5py.Group):
            return
        blobs = [i for i in item if isinstance(item[i], h5py.Dataset)]
        if blobs or not item:
            shapes = [list(item[i].shape) for i in sorted(blobs, key=int)]
            layers.append(ModelLayer(name, "?", shapes))

    with reading(path, ".caffemodel"), h5py.File(path, "r") as file:
        file["data"].visititems(add)
    return layers
