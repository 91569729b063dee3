"""The convolutional net of CIFAR-10 experiments.

    data -> conv1 -> relu -> (drop) -> conv2 -> relu -> (drop) -> pool -> ...
    -> fc1 -> relu -> (drop) -> fc2

Convolutions are 3 x 3 and keep height and width, poolings halve both. ROW puts
out the kept feature maps only, through ReLU and pooling, so that a place makes
the convolution or product before it smaller, and the one behind it, too.

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

PIXELS = {"mean_value": [128], "scale": 1 / 128}  # -1 ... 1
CLASSES = 10
MAPS_A_POOLING = 2


def weighted(experiment, place, kind, name, bottom, parameters):
    """A Convolution or InnerProduct, as the experiment drops it; place counts
    from 1, the last is the net's output, where nothing is dropped."""
    patterns = []
    last = place > experiment.dropped_places
    if experiment.pattern:
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
        "kernel_size": 3,
        "pad": 1,
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
    """What follows a convolution or product: ReLU, conventional dropout."""
    layers = [layer(f"relu{place}", "ReLU", [blob], [blob])]
    if experiment.method == "conventional":
        rate = experiment.rates[place - 1]
        layers.append(dropout_layer(f"drop{place}", blob, rate))
    return layers


def pooling(number, bottom):
    parameters = {"pool": Enum("MAX"), "kernel_size": 2, "stride": 2}
    name = f"pool{number}"
    return layer(name, "Pooling", [bottom], [name], pooling_param=parameters)


def convolutional_net(experiment):
    """The net for CIFAR-10; maps and hidden layers as the experiment says."""
    layers = [
        data_layer(experiment, "TRAIN", PIXELS),
        data_layer(experiment, "TEST", PIXELS),
    ]
    if experiment.pattern:
        layers += pattern_layers(experiment)
    bottom = "data"
    for place in range(1, len(experiment.maps) + 1):
        layers.append(convolution(experiment, place, bottom))
        bottom = f"conv{place}"
        layers += activation(experiment, place, bottom)
        if place % MAPS_A_POOLING == 0:
            layers.append(pooling(place // MAPS_A_POOLING, bottom))
            bottom = layers[-1]["name"]
    for index, units in enumerate(experiment.hidden, 1):
        layers.append(product(experiment, index, units, bottom))
        bottom = layers[-1]["name"]
        layers += activation(experiment, len(experiment.maps) + index, bottom)
    index = len(experiment.hidden) + 1
    layers.append(product(experiment, index, CLASSES, bottom))
    layers += classifier_layers(layers[-1]["name"])
    return {"name": experiment.key, "layer": layers}
