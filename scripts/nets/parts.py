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


def data_layer(experiment, phase, transform):
    """The images of one phase; transform: their transform_param."""
    training = phase == "TRAIN"
    split = "train" if training else "test"
    batch = experiment.batch_size if training else experiment.test_batch_size
    return layer(
        "data",
        "Data",
        [],
        ["data", "label"],
        include={"phase": Enum(phase)},
        transform_param=transform,
        data_param={
            "source": f"{experiment.data}/{split}_lmdb",
            "batch_size": batch,
            "backend": Enum("LMDB"),
        },
    )


def dropout_layer(name, blob, rate):
    """Caffe's Dropout, in place."""
    return layer(
        name, "Dropout", [blob], [blob], dropout_param={"dropout_ratio": rate}
    )


def classifier_layers(top):
    """Loss and, in tests, accuracy of the classes' scores."""
    return [
        layer(
            "accuracy",
            "Accuracy",
            [top, "label"],
            ["accuracy"],
            include={"phase": Enum("TEST")},
        ),
        layer("loss", "SoftmaxWithLoss", [top, "label"], ["loss"]),
    ]


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
