"""Nets changed for a purpose: K written into them, Input layers for data."""

import json

from approx_dropout.search import search
from nets.parts import layer


def without_python(net):
    """The net with K written into its DropoutPattern layers."""
    found = {}
    for each in net["layer"]:
        if each["type"] == "Python":
            request = json.loads(each["python_param"]["param_str"])
            found[each["name"]] = search(
                request["dropout_ratio"],
                request["family"],
                request["max_period"],
                lambda3=request.get("lambda3"),
            ).probability
    layers = []
    for each in net["layer"]:
        if each["type"] == "DropoutPattern":
            k = found[each["bottom"][0]]
            parameters = each["dropout_pattern_param"] | {
                "probability": [float(value) for value in k]
            }
            each = each | {"bottom": [], "dropout_pattern_param": parameters}
        if each["type"] != "Python":
            layers.append(each)
    return net | {"layer": layers}


def for_timing(net, inputs):
    """The net without what it has for one phase only, data and tests.

    inputs: the layers that take the place of the data layers.
    """
    layers = [each for each in net["layer"] if "include" not in each]
    return net | {"layer": inputs + layers}


def input_layer(shapes):
    """An Input layer; shapes: {top: dimensions}."""
    return layer(
        "inputs",
        "Input",
        [],
        list(shapes),
        input_param={"shape": [{"dim": list(x)} for x in shapes.values()]},
    )
