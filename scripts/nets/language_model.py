"""The LSTM language model of Penn Treebank experiments.

    token -> embed -> drop1 -> lstm1 -> (drop2) -> lstm2 -> ... -> softmax

Dropout lies where the published recipes have it: on the embedding's output
and on each LSTM layer's, between time steps only if `recurrent`. Blobs are
T x N x units. Methods replace the layers around these places:

conventional  Caffe's Dropout, between Caffe's own layers.
ROW           ApproxDropout after the embedding, ApproxDropoutLSTM after it.
              Only kept units are put out, so that each place makes both the
              product before and the one behind it smaller.
TILE          drops synapses, so each place moves into the product behind it:
              the input products of the LSTM layers and the softmax's. The
              embedding itself has no product: it is looked up.

Learnable layers have the same names and shapes whatever the method.
"""

from nets.parts import Enum, layer, pattern_layers

IGNORED = -1  # target of a padded position


def fillers(experiment):
    """The recipes start all parameters alike, biases too."""
    uniform = {
        "type": "uniform",
        "min": -experiment.init,
        "max": experiment.init,
    }
    return {"weight_filler": uniform, "bias_filler": uniform}


def data_layers(experiment):
    """The words of T time steps, those to predict and where text begins."""
    return [
        layer(
            "data",
            "HDF5Data",
            [],
            ["token", "target", "cont"],
            include={"phase": Enum(phase), **stage},
            hdf5_data_param={
                "source": f"{experiment.data}/{split}.txt",
                "batch_size": experiment.sequence_length,
            },
        )
        for phase, split, stage in [
            ("TRAIN", "train", {}),
            *(("TEST", split, {"stage": split}) for split in experiment.splits),
        ]
    ]


def dropout(experiment, place, bottom, top):
    """Caffe's Dropout at the place-th place, from 1."""
    return layer(
        f"drop{place}",
        "Dropout",
        [bottom],
        [top],
        dropout_param={"dropout_ratio": experiment.rates[place - 1]},
    )


def embedding_layers(experiment):
    """Embedding and the first place; returns layers and their last blob."""
    layers = [
        layer(
            "embed",
            "Embed",
            ["token"],
            ["embed"],
            embed_param={
                "num_output": experiment.hidden[0],
                "input_dim": experiment.vocabulary,
                "bias_term": False,
                "weight_filler": fillers(experiment)["weight_filler"],
            },
        )
    ]
    if experiment.method == "conventional":
        layers.append(dropout(experiment, 1, "embed", "drop1"))
    elif experiment.pattern == "ROW":
        layers.append(
            layer(
                "drop1",
                "ApproxDropout",
                ["embed", "pattern1"],
                ["drop1"],
                approx_dropout_param={"compact_output": True},
            )
        )
    else:
        return layers, "embed"
    return layers, "drop1"


def dropped_by_pattern(experiment, place, is_output):
    """Patterns and approx_dropout_param of the product behind a place; with
    ROW it puts out the next place's units, unless it is the net's output."""
    x_pattern, y_pattern = f"pattern{place}", f"pattern{place + 1}"
    if experiment.pattern == "TILE":
        return [x_pattern], {
            "pattern": Enum("TILE"),
            "tile_size": experiment.tile_size,
        }
    if is_output:
        return [x_pattern], {"pattern": Enum("NONE"), "compact_input": True}
    return [y_pattern, x_pattern], {
        "pattern": Enum("ROW"),
        "compact_input": True,
        "compact_output": True,
    }


def lstm_layers(experiment, index, bottom):
    """The index-th LSTM layer, from 1, and the place after it."""
    name, kind, bottoms = f"lstm{index}", "LSTM", [bottom, "cont"]
    parameters = {
        "recurrent_param": {
            "num_output": experiment.hidden[index - 1],
            **fillers(experiment),
        }
    }
    if experiment.pattern:
        kind = "ApproxDropoutLSTM"
        patterns, approximate = dropped_by_pattern(experiment, index, False)
        if experiment.recurrent:
            approximate["recurrent"] = True
        bottoms += patterns
        parameters["approx_dropout_param"] = approximate
    layers = [layer(name, kind, bottoms, [name], **parameters)]
    if experiment.method == "conventional":
        layers.append(dropout(experiment, index + 1, name, name))
    return layers


def output_layers(experiment, bottom):
    """Softmax product and loss. A padded position counts nowhere, but the
    loss is divided by all, so that batches can be summed up exactly."""
    kind, bottoms = "InnerProduct", [bottom]
    parameters = {
        "inner_product_param": {
            "num_output": experiment.vocabulary,
            "axis": 2,
            **fillers(experiment),
        }
    }
    if experiment.pattern:
        kind = "ApproxDropoutInnerProduct"
        last = len(experiment.hidden) + 1
        patterns, approximate = dropped_by_pattern(experiment, last, True)
        bottoms += patterns
        parameters["approx_dropout_param"] = approximate
    return [
        layer("softmax", kind, bottoms, ["softmax"], **parameters),
        layer(
            "loss",
            "SoftmaxWithLoss",
            ["softmax", "target"],
            ["loss"],
            loss_weight=experiment.loss_weight,
            softmax_param={"axis": 2},
            loss_param={
                "ignore_label": IGNORED,
                "normalization": Enum("FULL"),
            },
        ),
    ]


def accuracy_layers():
    """`correct`, the share of positions whose word has the highest score.

    Accuracy divides by the batch's real targets; times their share of all
    positions, its mean over the batches is exact too.
    """
    test = {"include": {"phase": Enum("TEST")}}
    return [
        layer(
            "accuracy",
            "Accuracy",
            ["softmax", "target"],
            ["accuracy"],
            **test,
            accuracy_param={"axis": 2, "ignore_label": IGNORED},
        ),
        layer(
            "real",
            "Threshold",
            ["target"],
            ["real"],
            **test,
            threshold_param={"threshold": IGNORED + 0.5},
        ),
        layer(
            "real_share",
            "Reduction",
            ["real"],
            ["real_share"],
            **test,
            reduction_param={"operation": Enum("MEAN")},
        ),
        layer(
            "correct",
            "Eltwise",
            ["accuracy", "real_share"],
            ["correct"],
            **test,
            eltwise_param={"operation": Enum("PROD")},
        ),
    ]


def language_model(experiment):
    """The net for TRAIN and, in the stages valid and test, for TEST."""
    layers = data_layers(experiment)
    if experiment.pattern:
        layers += pattern_layers(experiment)
    embedding, bottom = embedding_layers(experiment)
    layers += embedding
    for index in range(1, len(experiment.hidden) + 1):
        layers += lstm_layers(experiment, index, bottom)
        bottom = f"lstm{index}"
    layers += output_layers(experiment, bottom) + accuracy_layers()
    return {"name": experiment.key, "layer": layers}
