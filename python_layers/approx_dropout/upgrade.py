"""Nets of Caffe's two older formats, in today's.

V1 nets hold `layers { type: INNER_PRODUCT blobs_lr: 1 ... }`. V0 nets hold
`layers { layer { name: ... type: "innerproduct" num_output: 10 ... } bottom:
... }`. Caffe upgrades both as it reads them; this does the same to a prototxt.
"""

_NAMES = {  # words of a V1 type that are not just capitalised
    "ABSVAL": "AbsVal",
    "ARGMAX": "ArgMax",
    "BNLL": "BNLL",
    "HDF5_DATA": "HDF5Data",
    "HDF5_OUTPUT": "HDF5Output",
    "LRN": "LRN",
    "MVN": "MVN",
    "NONE": "",
    "RELU": "ReLU",
    "SOFTMAX_LOSS": "SoftmaxWithLoss",
    "TANH": "TanH",
}
_V0_TYPES = {  # those that V1 calls otherwise
    "conv": "CONVOLUTION",
    "images": "IMAGE_DATA",
    "innerproduct": "INNER_PRODUCT",
    "pool": "POOLING",
}
_V0_PARAMS = {  # V0 type -> its message in V1
    "concat": "concat_param",
    "conv": "convolution_param",
    "data": "data_param",
    "dropout": "dropout_param",
    "hdf5_data": "hdf5_data_param",
    "images": "image_data_param",
    "infogain_loss": "infogain_loss_param",
    "innerproduct": "inner_product_param",
    "lrn": "lrn_param",
    "pool": "pooling_param",
    "window_data": "window_data_param",
}
_V0_FIELDS = {  # V0 field -> its name in that message, if it is another
    "batchsize": "batch_size",
    "biasterm": "bias_term",
    "det_bg_threshold": "bg_threshold",
    "det_context_pad": "context_pad",
    "det_crop_mode": "crop_mode",
    "det_fg_fraction": "fg_fraction",
    "det_fg_threshold": "fg_threshold",
    "kernelsize": "kernel_size",
    "shuffle_images": "shuffle",
}
_V0_TRANSFORM = {
    "cropsize": "crop_size",
    "meanfile": "mean_file",
    "mirror": "mirror",
    "scale": "scale",
}
_MOVED = ("scale", "mean_file", "crop_size", "mirror")  # to transform_param
_DATA = ("data_param", "image_data_param", "window_data_param")


def upgrade(net):
    """The net with `layer` fields only: itself, or an upgraded copy.

    Raises ValueError, naming the layer, for what has no place there.
    """
    if not net.layers:
        return net
    if net.layer:
        raise ValueError(
            "the net has both 'layer' and 'layers', today's and the deprecated "
            "format; write all of it in one"
        )
    result = type(net)()
    result.CopyFrom(net)
    del result.layers[:]
    old = list(net.layers)
    if any(layer.HasField("layer") for layer in old):
        old = [_from_v0(x) for x in _without_padding(old)]
    for layer in old:
        _from_v1(layer, result.layer.add())
    return result


def _without_padding(layers):
    """V0's padding layers become the pad of the layers that read them."""
    padding = {}
    kept = []
    for layer in layers:
        if layer.layer.type == "padding":
            padding[layer.top[0]] = layer
            continue
        copy = type(layer)()
        copy.CopyFrom(layer)
        for i, blob in enumerate(copy.bottom):
            if blob in padding:
                copy.bottom[i] = padding[blob].bottom[0]
                copy.layer.pad = padding[blob].layer.pad
        for blob in copy.top:
            padding.pop(blob, None)
        kept.append(copy)
    return kept


def _from_v0(old):
    """A V1 layer of a V0 one."""
    new = type(old)(bottom=old.bottom, top=old.top)
    v0 = old.layer
    kind = _V0_TYPES.get(v0.type, v0.type.upper())
    if kind not in new.LayerType.keys():
        raise ValueError(f"layer '{v0.name}' has the unknown type '{v0.type}'")
    new.type = new.LayerType.Value(kind)
    for field, value in v0.ListFields():
        name = field.name
        if name == "type":
            continue
        if name == "name":
            new.name = value
        elif name in ("blobs", "blobs_lr", "weight_decay"):
            getattr(new, name).extend(value)
        elif name == "hdf5_output_param":
            new.hdf5_output_param.CopyFrom(value)
        elif name in _V0_TRANSFORM:
            setattr(new.transform_param, _V0_TRANSFORM[name], value)
        else:
            _set_param(new, v0, _V0_FIELDS.get(name, name), value)
    return new


def _set_param(new, v0, name, value):
    param = getattr(new, _V0_PARAMS.get(v0.type, ""), None)
    if param is None or name not in param.DESCRIPTOR.fields_by_name:
        raise ValueError(
            f"layer '{v0.name}' has {name}, which type '{v0.type}' does not "
            f"take"
        )
    field = param.DESCRIPTOR.fields_by_name[name]
    if field.message_type is not None:
        getattr(param, name).CopyFrom(value)
    elif field.label == field.LABEL_REPEATED:
        getattr(param, name).append(value)
    else:
        setattr(param, name, value)


def _from_v1(old, new):
    """Writes a V1 layer into an empty LayerParameter."""
    for field, value in old.ListFields():
        name = field.name
        if name == "type":
            name = old.LayerType.Name(value)
            words = "".join(word.capitalize() for word in name.split("_"))
            new.type = _NAMES.get(name, words)
        elif name == "param":
            _set_specs(new, "name", value)
        elif name == "blob_share_mode":
            _set_specs(new, "share_mode", value)
        elif name == "blobs_lr":
            _set_specs(new, "lr_mult", value)
        elif name == "weight_decay":
            _set_specs(new, "decay_mult", value)
        elif field.label == field.LABEL_REPEATED:
            getattr(new, name).extend(value)
        elif field.message_type is not None:
            getattr(new, name).CopyFrom(value)
        else:
            setattr(new, name, value)
    for name in _DATA:
        if old.HasField(name):
            _move_transformation(new, getattr(new, name))


def _set_specs(layer, name, values):
    for i, value in enumerate(values):
        if len(layer.param) <= i:
            layer.param.add()
        setattr(layer.param[i], name, value)


def _move_transformation(layer, param):
    for name in _MOVED:
        if param.HasField(name):
            setattr(layer.transform_param, name, getattr(param, name))
            param.ClearField(name)
