"""The shapes of a net's blobs, as far as its prototxt tells them.

A shape is a tuple of sizes, None where one is not known (a batch from a
database, say). (..., n): an unknown number of axes, the last one of n. None:
nothing is known. Nothing is opened and nothing is built.
"""

import argparse
import math
import re

_SAME = frozenset(
    "AbsVal BatchNorm Bias BNLL Clip Dropout ELU Exp Log LRN MVN Power PReLU "
    "ReLU Scale Sigmoid Softmax Swish TanH Threshold Split".split()
)


def base_type(layer):
    """A layer's type in stock Caffe: InnerProduct and LSTM of ours, too."""
    return layer.type.replace("ApproxDropout", "", 1) or "Dropout"


def blob_shape(text):
    """(blob, shape) of BLOB:SIZES on a command line."""
    blob, _, sizes = text.rpartition(":")
    if not blob or not re.fullmatch(r"[1-9]\d*(,[1-9]\d*)*", sizes):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not BLOB:SIZES, as in data:32,3,224,224"
        )
    return blob, tuple(map(int, sizes.split(",")))


def may_be_image(shape):
    """Whether a blob of this shape, as far as it is known, may have 4 axes."""
    return shape is None or ... in shape or len(shape) == 4


def given_shape(given, blob, phase):
    """The shape that people gave of a blob, "blob" or "blob@PHASE"; or None."""
    name = ("TRAIN", "TEST")[phase]
    shape = given.get(f"{blob}@{name}", given.get(blob))
    return None if shape is None else tuple(shape)


def infer_shapes(net, layers, state, given):
    """(layer, top) -> shape in one state; inputs of the net by their name.

    given: shapes of what layers without bottoms put out, which take precedence.
    """
    shapes = dict(_net_inputs(net))
    for i in state.present:
        layer = layers[i]
        bottoms = [
            shapes.get(state.sources[i, b] or layer.bottom[b])
            for b in range(len(layer.bottom))
        ]
        tops = _tops(layer, bottoms)
        for t, blob in enumerate(layer.top):
            shapes[i, t] = tops[t] if t < len(tops) else None
            if not layer.bottom:
                shape = given_shape(given, blob, state.phase)
                shapes[i, t] = shape or shapes[i, t]
    return shapes


def _net_inputs(net):
    for i, name in enumerate(net.input):
        if net.input_shape:
            yield name, tuple(net.input_shape[i].dim)
        elif net.input_dim:
            yield name, tuple(net.input_dim[4 * i : 4 * i + 4])


def _tops(layer, bottoms):
    if layer.approx_dropout_param.compact_output:
        return []
    kind = base_type(layer)
    if kind in _SAME:
        return bottoms[:1] * len(layer.top)
    rule = _RULES.get(kind)
    if rule is None or (None in bottoms[:1] and kind not in _LAST_KNOWN):
        return []
    try:
        return rule(layer, bottoms)
    except (ArithmeticError, LookupError, TypeError, ValueError):
        return []  # Caffe refuses such a layer: no bottom, an axis too many


def _input(layer, bottoms):
    shapes = [tuple(s.dim) for s in layer.input_param.shape]
    return shapes * len(layer.top) if len(shapes) == 1 else shapes


def _dummy_data(layer, bottoms):
    param = layer.dummy_data_param
    shapes = [tuple(s.dim) for s in param.shape] or list(
        zip(param.num, param.channels, param.height, param.width)
    )
    return shapes * len(layer.top) if len(shapes) == 1 else shapes


def _memory_data(layer, bottoms):
    p = layer.memory_data_param
    return [(p.batch_size, p.channels, p.height, p.width), (p.batch_size,)]


def _data(layer, bottoms):
    """Data, ImageData and WindowData: as far as transform_param tells."""
    transform = layer.transform_param
    param = {
        "Data": layer.data_param,
        "ImageData": layer.image_data_param,
        "WindowData": layer.window_data_param,
    }[layer.type]
    side = transform.crop_size or param.crop_size or None
    height = width = side
    if layer.type == "ImageData" and side is None:
        height, width = param.new_height or None, param.new_width or None
    channels = len(transform.mean_value) if len(transform.mean_value) > 1 else 0
    if transform.force_color:
        channels = 3
    elif transform.force_gray:
        channels = 1
    elif layer.type != "Data" and not channels:
        channels = 3 if layer.type != "ImageData" or param.is_color else 1
    batch = param.batch_size or None
    return [(batch, channels or None, height, width), (batch,)]


def _inner_product(layer, bottoms):
    param = layer.inner_product_param
    axes = param.axis
    if axes < 0:
        if bottoms[0] is None or ... in bottoms[0]:
            return [(..., param.num_output)]
        axes += len(bottoms[0])
    if bottoms[0] is None or ... in bottoms[0]:
        return [(None,) * axes + (param.num_output,)]
    return [bottoms[0][:axes] + (param.num_output,)]


def _recurrent(layer, bottoms):
    steps = (None, None)
    if bottoms[0] is not None and ... not in bottoms[0]:
        steps = bottoms[0][:2]
    return [steps + (layer.recurrent_param.num_output,)]


def _embed(layer, bottoms):
    head = bottoms[0] if bottoms[0] is not None else (...,)
    if ... in head:
        head = (...,)
    return [head + (layer.embed_param.num_output,)]


def _pair(param, name, default):
    """A size along height and width, from its three ways of being given."""
    both = getattr(param, name)
    suffix = "kernel" if name == "kernel_size" else name
    if param.HasField(f"{suffix}_h"):
        return getattr(param, f"{suffix}_h"), getattr(param, f"{suffix}_w")
    if isinstance(both, int):
        both = [both] if param.HasField(name) else []
    both = list(both) or [default]
    return (both * 2)[:2]


def _is_image(shape):
    return ... not in shape and len(shape) == 4


def _convolution(layer, bottoms):
    param = layer.convolution_param
    if not _is_image(bottoms[0]) or param.axis != 1:
        return []
    dilation = (list(param.dilation) or [1]) * 2
    sides = []
    for axis in (0, 1):
        kernel, stride, pad = (
            _pair(param, name, default)[axis]
            for name, default in (("kernel_size", 1), ("stride", 1), ("pad", 0))
        )
        size = bottoms[0][2 + axis]
        extent = dilation[axis] * (kernel - 1) + 1
        if size is None:
            sides.append(None)
        elif layer.type == "Deconvolution":
            sides.append(stride * (size - 1) + extent - 2 * pad)
        else:
            sides.append((size + 2 * pad - extent) // stride + 1)
    return [(bottoms[0][0], param.num_output, *sides)]


def _pooling(layer, bottoms):
    param = layer.pooling_param
    if not _is_image(bottoms[0]):
        return []
    if param.global_pooling:
        return [bottoms[0][:2] + (1, 1)] * len(layer.top)
    sides = []
    for axis in (0, 1):
        kernel, stride, pad = (
            _pair(param, name, default)[axis]
            for name, default in (("kernel_size", 1), ("stride", 1), ("pad", 0))
        )
        size = bottoms[0][2 + axis]
        if size is None:
            sides.append(None)
            continue
        steps = (size + 2 * pad - kernel) / stride
        floor = param.round_mode == param.FLOOR
        side = (math.floor(steps) if floor else math.ceil(steps)) + 1
        if pad and (side - 1) * stride >= size + pad:
            side -= 1
        sides.append(side)
    return [bottoms[0][:2] + tuple(sides)] * len(layer.top)


def _product(dims):
    return None if None in dims else math.prod(dims)


def _flatten(layer, bottoms):
    shape = bottoms[0]
    if ... in shape:
        return []
    param = layer.flatten_param
    start = param.axis % len(shape)
    end = param.end_axis % len(shape)
    middle = (_product(shape[start : end + 1]),)
    return [shape[:start] + middle + shape[end + 1 :]]


def _reshape(layer, bottoms):
    shape, param = bottoms[0], layer.reshape_param
    if ... in shape:
        return []
    start = param.axis if param.axis >= 0 else param.axis + len(shape) + 1
    end = len(shape) if param.num_axes == -1 else start + param.num_axes
    dims = list(param.shape.dim)
    for i, dim in enumerate(dims):
        if dim == 0:
            dims[i] = shape[start + i]
    if -1 in dims:
        at = dims.index(-1)
        rest = _product([dim for dim in dims if dim != -1])
        total = _product(shape[start:end])
        dims[at] = None if None in (rest, total) else total // rest
    return [shape[:start] + tuple(dims) + shape[end:]]


def _eltwise(layer, bottoms):
    return [next((b for b in bottoms if b is not None), None)]


def _axis(param, old, shape):
    """The axis of a Concat or Slice, which has an old name, too."""
    if param.HasField(old):
        return getattr(param, old)
    return param.axis % len(shape)


def _concat(layer, bottoms):
    if any(b is None or ... in b for b in bottoms):
        return []
    axis = _axis(layer.concat_param, "concat_dim", bottoms[0])
    sizes = [b[axis] for b in bottoms]
    total = None if None in sizes else sum(sizes)
    return [bottoms[0][:axis] + (total,) + bottoms[0][axis + 1 :]]


def _slice(layer, bottoms):
    shape, param = bottoms[0], layer.slice_param
    if ... in shape:
        return []
    axis = _axis(param, "slice_dim", shape)
    size, points = shape[axis], list(param.slice_point)
    if not points and size is not None:
        each = size // len(layer.top)
        points = [each * i for i in range(1, len(layer.top))]
    if not points and len(layer.top) > 1:
        sizes = [None] * len(layer.top)
    else:
        ends = points + [size]
        sizes = [
            None if end is None else end - start
            for start, end in zip([0] + points, ends)
        ]
    return [shape[:axis] + (n,) + shape[axis + 1 :] for n in sizes]


_RULES = {
    "Concat": _concat,
    "Convolution": _convolution,
    "Data": _data,
    "Deconvolution": _convolution,
    "DummyData": _dummy_data,
    "Eltwise": _eltwise,
    "Embed": _embed,
    "Flatten": _flatten,
    "ImageData": _data,
    "InnerProduct": _inner_product,
    "Input": _input,
    "LSTM": _recurrent,
    "MemoryData": _memory_data,
    "Pooling": _pooling,
    "Reshape": _reshape,
    "RNN": _recurrent,
    "Slice": _slice,
    "WindowData": _data,
}
# What these put out is known in part, whatever they read.
_LAST_KNOWN = ("Eltwise", "Embed", "InnerProduct", "LSTM", "RNN")
