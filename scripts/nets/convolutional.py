"""The convolutional nets, VGG-like ones on CIFAR-10 and LeNet on MNIST.

    data -> conv1 -> relu -> (drop) -> conv2 -> relu -> (drop) -> pool -> ...
    -> fc1 -> relu -> (drop) -> fc2

Poolings halve height and width. ROW puts out the kept feature maps only,
through ReLU and pooling, so that a place makes the convolution or product
before it smaller, and the one behind it, too. The same dropout computed densely
is Caffe's own layers, and ApproxDropout where Dropout would stand.

Learnable layers have the same names, shapes and order whatever the method, so
that one method's .caffemodel loads into any other's net.
"""

from nets.parts import (
    Enum,
    classifier_layers,
    data_layer,
    dropout_layer,
    layer,
    pattern_layers,
)

CLASSES = 10


def weighted(experiment, place, kind, name, bottom, parameters):
    """A Convolution or InnerProduct, as the experiment drops it; place counts
    from 1, the last is the net's output, where nothing is dropped."""
    patterns = []
    last = place > experiment.dropped_places
    if experiment.pattern and not experiment.dense:
        kind = f"ApproxDropout{kind}"
        approximate = {"pattern": Enum("NONE" if last else "ROW")}
        if not last:
            patterns.append(f"pattern{place}")
            approximate["compact_output"] = True
        if place > 1:
            patterns.append(f"pattern{place - 1}")
            approximate["compact_input"] = True
        parameters = {**parameters, "approx_dropout_param": approximate}
    return layer(name, kind, [bottom, *patterns], [name], **parameters)


def convolution(experiment, place, bottom):
    """The convolution of a place."""
    parameters = {
        "num_output": experiment.maps[place - 1],
        "kernel_size": experiment.kernel,
        "pad": experiment.pad,
        "weight_filler": {"type": "msra"},
    }
    return weighted(
        experiment,
        place,
        "Convolution",
        f"conv{place}",
        bottom,
        {"convolution_param": parameters},
    )


def product(experiment, index, outputs, bottom):
    """The index-th inner product, of a hidden layer or the net's output."""
    parameters = {"num_output": outputs, "weight_filler": {"type": "msra"}}
    return weighted(
        experiment,
        len(experiment.maps) + index,
        "InnerProduct",
        f"fc{index}",
        bottom,
        {"inner_product_param": parameters},
    )


def activation(experiment, place, blob):
    """What follows a convolution or product: ReLU, and dropout if that is not
    part of the layer before."""
    layers = [layer(f"relu{place}", "ReLU", [blob], [blob])]
    name = f"drop{place}"
    if experiment.method == "conventional":
        rate = experiment.rates[place - 1]
        layers.append(dropout_layer(name, blob, rate))
    elif experiment.dense:
        bottoms = [blob, f"pattern{place}"]
        layers.append(layer(name, "ApproxDropout", bottoms, [name]))
    return layers


def pooling(number, bottom):
    parameters = {"pool": Enum("MAX"), "kernel_size": 2, "stride": 2}
    name = f"pool{number}"
    return layer(name, "Pooling", [bottom], [name], pooling_param=parameters)


def convolutional_net(experiment):
    """The net; maps, poolings and hidden layers as the experiment says."""
    layers = [
        data_layer(experiment, "TRAIN", experiment.pixels),
        data_layer(experiment, "TEST", experiment.pixels),
    ]
    if experiment.pattern:
        layers += pattern_layers(experiment)
    bottom = "data"
    for place in range(1, len(experiment.maps) + 1):
        layers.append(convolution(experiment, place, bottom))
        layers += activation(experiment, place, f"conv{place}")
        bottom = layers[-1]["top"][0]
        if place % experiment.pooling_every == 0:
            layers.append(pooling(place // experiment.pooling_every, bottom))
            bottom = layers[-1]["name"]
    for index, units in enumerate(experiment.hidden, 1):
        layers.append(product(experiment, index, units, bottom))
        place = len(experiment.maps) + index
        layers += activation(experiment, place, layers[-1]["name"])
        bottom = layers[-1]["top"][0]
    index = len(experiment.hidden) + 1
    layers.append(product(experiment, index, CLASSES, bottom))
    layers += classifier_layers(layers[-1]["name"])
    return {"name": experiment.key, "layer": layers}
