"""What the nets of all workloads are made of, as nested dicts for prototxt."""

import json


class Enum(str):
    """A value that prototxt writes without quotes."""


def layer(name, kind, bottoms, tops, **parameters):
    """One LayerParameter; parameters are its other fields."""
    return {
        "name": name,
        "type": kind,
        "bottom": bottoms,
        "top": tops,
        **parameters,
    }


def search_layer(experiment, name, rate):
    """The search that gives K for one rate."""
    request = {
        "dropout_ratio": rate,
        "family": experiment.family,
        "max_period": experiment.max_period,
    }
    if experiment.lambda3 is not None:
        request["lambda3"] = experiment.lambda3
    return layer(
        name,
        "Python",
        [],
        [name],
        python_param={
            "module": "approx_dropout",
            "layer": "PatternSearchLayer",
            "param_str": json.dumps(request),
        },
    )


def pattern_layers(experiment):
    """A DropoutPattern for each rate, pattern1 first, and before them the
    searches that give K: one for all if the rates are equal."""
    rates = experiment.rates
    shared = len(set(rates)) == 1
    names = ["k" if shared else f"k{i + 1}" for i in range(len(rates))]
    searches = [
        search_layer(experiment, name, rate)
        for name, rate in dict(zip(names, rates)).items()
    ]
    patterns = [
        layer(
            f"pattern{i}",
            "DropoutPattern",
            [name],
            [f"pattern{i}"],
            dropout_pattern_param={
                "family": Enum(experiment.family),
                **({"groups": groups} if groups > 1 else {}),
            },
        )
        for i, (name, groups) in enumerate(
            zip(names, experiment.place_groups), 1
        )
    ]
    return searches + patterns
