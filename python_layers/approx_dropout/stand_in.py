"""Nets that run without their files: Input layers in place of what reads data,
nothing in place of what writes it, random numbers for inputs and weights."""

import math

import numpy as np

from .edits import Layers
from .shapes import given_shape

_KEPT = ("DropoutPattern", "Parameter")  # no bottoms, but no data either
# A blob of whole numbers is one behind these, too.
_MOVES = ("Concat", "Flatten", "Reshape", "Slice", "Split")
# Behind any number of axes; data layers without known channels are of images.
_CHANNELS = 3
_BATCHED = ("Data", "ImageData", "MemoryData", "WindowData")


def samples_for(net):
    """A small batch that the groups of all patterns divide."""
    groups = [
        x.dropout_pattern_param.groups
        for x in net.layer
        if x.type == "DropoutPattern"
    ]
    return math.lcm(4, *groups)


def is_data(layer):
    """Whether a layer brings in data."""
    return (
        not layer.bottom
        and bool(layer.top)
        and layer.type not in _KEPT
        and layer.python_param.layer != "PatternSearchLayer"
    )


def write_nothing(net):
    """A net without side effects: HDF5Output empties its file when it is set
    up, so Silences take its place."""
    for layer in net.layer:
        if layer.type == "HDF5Output":
            layer.type = "Silence"
            layer.ClearField("hdf5_output_param")


def with_inputs(net, shapes, samples):
    """The net with an Input layer in place of each layer that brings in data,
    and no layer that writes files.

    shapes: of some of their tops, by blob or blob@PHASE, for those that the
    prototxt does not tell. samples: the batch of what reads images. Raises
    ValueError, naming the blob whose shape is not known.
    """
    layers = Layers(net)
    states = layers.graph().states
    for i, layer in enumerate(layers):
        if layer.pooling_param.pool == layer.pooling_param.STOCHASTIC:
            layer.pooling_param.pool = layer.pooling_param.AVE
        state = next((s for s in states if i in s.present), None)
        if not is_data(layer) or state is None:
            continue
        new = type(layer)(name=layer.name, type="Input", top=layer.top)
        new.include.extend(layer.include)
        new.exclude.extend(layer.exclude)
        for t, blob in enumerate(layer.top):
            shape = given_shape(shapes, blob, state.phase)
            if shape is None:
                shape = _told(layer, state.shapes[i, t], samples)
            if shape is None or None in shape:
                raise ValueError(
                    f"the shape of blob '{blob}' of {layer.type} layer "
                    f"'{layer.name}' is not known here; give it, as in "
                    f"--shape {blob}:32,3,224,224"
                )
            new.input_param.shape.add(dim=shape)
        layers[i] = new
    net = layers.to_net()
    write_nothing(net)
    return net


def _told(layer, shape, samples):
    """The shape of a data layer's top, small, and with a guess at channels."""
    if shape is None or layer.type not in _BATCHED:
        return shape
    if len(shape) == 4 and shape[1] is None:
        shape = (shape[0], _CHANNELS) + shape[2:]
    return (samples,) + shape[1:]


def whole_numbers(net):
    """Names of the blobs that hold labels, words or sequence marks."""
    found = set()
    for layer in reversed(net.layer):
        bottoms = list(layer.bottom)
        if layer.type.endswith("Loss") or layer.type in (
            "Accuracy",
            "ApproxDropoutLSTM",
            "BatchReindex",
            "LSTM",
            "RNN",
        ):
            found.update(bottoms[1:])
        elif layer.type == "Embed":
            found.update(bottoms)
        elif layer.type in _MOVES and found.intersection(layer.top):
            found.update(bottoms)
    return found


def fill_inputs(nets, definition, rng):
    """The same random inputs for several pycaffe nets of one definition."""
    names = list(definition.input)
    for layer in definition.layer:
        if layer.type == "Input":
            names += layer.top
    whole = whole_numbers(definition)
    values = {}
    for net in nets:
        for name in names:
            if name not in net.blobs:
                continue
            blob = net.blobs[name]
            if name not in values:
                values[name] = (
                    rng.integers(0, 2, blob.data.shape)
                    if name in whole
                    else rng.standard_normal(blob.data.shape, np.float32)
                )
            blob.data[...] = values[name]


def fill_weights(net, definition, rng):
    """Random weights that keep activations at about 1."""
    types = {layer.name: layer.type for layer in definition.layer}
    for name, blobs in net.params.items():
        kind = types.get(name)
        for i, blob in enumerate(blobs):
            noise = rng.standard_normal(blob.data.shape, np.float32)
            if kind == "BatchNorm":
                blob.data[...] = (0.1 * noise, 1 + 0.1 * abs(noise), 1)[i]
            elif kind in ("PReLU", "Scale") and i == 0:
                blob.data[...] = (0.25 if kind == "PReLU" else 1) + 0.1 * noise
            elif noise.ndim < 2:
                blob.data[...] = 0.1 * noise
            else:
                fan_in = noise.size // len(noise)
                blob.data[...] = noise * math.sqrt(2 / fan_in)
