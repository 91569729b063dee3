"""The perceptron of MNIST experiments.

    data -> fc1 -> relu1 -> (drop1) -> fc2 -> relu2 -> (drop2) -> fc3

Methods replace the products around the places of conventional dropout. ROW
puts out the kept units only, so that a place makes both the product before and
the one behind it smaller. TILE drops synapses, so a place moves into the
product behind it; fc1 stays whole, since its tiles would drop the pixels too.

Learnable layers have the same names, shapes and order whatever the method, so
that one method's .caffemodel loads into any other's net.
"""

from approx_dropout.families import tile_size_behind
from nets.parts import (
    Enum,
    classifier_layers,
    data_layer,
    dropout_layer,
    layer,
    pattern_layers,
)

PIXELS = {"scale": 1 / 256}


def product_layer(index, outputs, bottoms, approximate=None):
    """The index-th InnerProduct; approximate is its approx_dropout_param,
    None for Caffe's own layer."""
    parameters = {
        "inner_product_param": {
            "num_output": outputs,
            "weight_filler": {"type": "xavier"},
        }
    }
    kind = "InnerProduct"
    if approximate:
        kind = "ApproxDropoutInnerProduct"
        parameters["approx_dropout_param"] = approximate
    name = f"fc{index}"
    return layer(name, kind, bottoms, [name], **parameters)


def dropped_by_rows(experiment, index):
    """Patterns and approx_dropout_param of the index-th product, whose input
    and output are hidden layers or the net's own."""
    hidden = index <= len(experiment.hidden)
    patterns = [f"pattern{index}"] if hidden else []
    approximate = {"pattern": Enum("ROW" if hidden else "NONE")}
    if index > 1:
        patterns.append(f"pattern{index - 1}")
        approximate["compact_input"] = True
    if hidden:
        approximate["compact_output"] = True
    return patterns, approximate


def dropped_by_tiles(experiment, index):
    """The same for TILE: the pattern is that of the hidden layer before the
    product, or behind it. approx_dropout_param is None if there is none."""
    place = index - 1 if experiment.tiles == "behind" else index
    if not 1 <= place <= len(experiment.hidden):
        return [], None
    size = experiment.tile_size
    if experiment.tiles == "behind":
        units = experiment.hidden[place - 1]
        size = tile_size_behind(units, size, experiment.max_period)
    return [f"pattern{place}"], {"pattern": Enum("TILE"), "tile_size": size}


DROPPED = {"ROW": dropped_by_rows, "TILE": dropped_by_tiles}


def dropped_product(experiment, index, outputs, bottom):
    """The index-th product, as the experiment's pattern drops it."""
    patterns, approximate = [], None
    if experiment.pattern:
        patterns, approximate = DROPPED[experiment.pattern](experiment, index)
    return product_layer(index, outputs, [bottom, *patterns], approximate)


def hidden_layers(experiment, index, bottom):
    """The index-th hidden layer: product, ReLU and conventional dropout."""
    top = f"fc{index}"
    layers = [
        dropped_product(
            experiment, index, experiment.hidden[index - 1], bottom
        ),
        layer(f"relu{index}", "ReLU", [top], [top]),
    ]
    if experiment.method == "conventional":
        rate = experiment.rates[index - 1]
        layers.append(dropout_layer(f"drop{index}", top, rate))
    return layers


def output_layers(experiment, index, bottom):
    """The last product with loss and accuracy."""
    return [
        dropped_product(experiment, index, 10, bottom),
        *classifier_layers(f"fc{index}"),
    ]


def mlp(experiment):
    """The perceptron for MNIST, hidden layers as the experiment says."""
    layers = [
        data_layer(experiment, "TRAIN", PIXELS),
        data_layer(experiment, "TEST", PIXELS),
    ]
    if experiment.pattern:
        layers += pattern_layers(experiment)
    bottom = "data"
    for index in range(1, len(experiment.hidden) + 1):
        layers += hidden_layers(experiment, index, bottom)
        bottom = f"fc{index}"
    layers += output_layers(experiment, len(experiment.hidden) + 1, bottom)
    return {"name": experiment.key, "layer": layers}
