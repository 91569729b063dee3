"""Nets and solvers of experiments, as nested dicts for make_prototxt.

Learnable layers have the same names, shapes and order whatever the method, so
that one method's .caffemodel loads into any other's net.
"""

import networks_ptb
from net_parts import Enum, layer, pattern_layers


def data_layer(experiment, phase, split, batch_size):
    return layer(
        "data",
        "Data",
        [],
        ["data", "label"],
        include={"phase": Enum(phase)},
        transform_param={"scale": 1 / 256},
        data_param={
            "source": f"{experiment.data}/{split}_lmdb",
            "batch_size": batch_size,
            "backend": Enum("LMDB"),
        },
    )


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


def hidden_layers(experiment, index, bottom):
    """The index-th hidden layer: product, ReLU and conventional dropout."""
    top = f"fc{index}"
    bottoms, approximate = [bottom], None
    if experiment.pattern:
        bottoms.append(f"pattern{index}")
        approximate = {"pattern": Enum(experiment.pattern)}
    if experiment.pattern == "ROW":
        if index > 1:
            bottoms.append(f"pattern{index - 1}")
            approximate["compact_input"] = True
        approximate["compact_output"] = True
    elif experiment.pattern == "TILE":
        approximate["tile_size"] = experiment.tile_size
    layers = [
        product_layer(
            index, experiment.hidden[index - 1], bottoms, approximate
        ),
        layer(f"relu{index}", "ReLU", [top], [top]),
    ]
    if experiment.method == "conventional":
        rate = experiment.rates[index - 1]
        layers.append(
            layer(
                f"drop{index}",
                "Dropout",
                [top],
                [top],
                dropout_param={"dropout_ratio": rate},
            )
        )
    return layers


def output_layers(experiment, index, bottom):
    """The last product with loss and accuracy; with ROW it reads the units
    that the last hidden layer kept."""
    bottoms, approximate = [bottom], None
    if experiment.pattern == "ROW":
        bottoms.append(f"pattern{index - 1}")
        approximate = {"pattern": Enum("NONE"), "compact_input": True}
    top = f"fc{index}"
    return [
        product_layer(index, 10, bottoms, approximate),
        layer(
            "accuracy",
            "Accuracy",
            [top, "label"],
            ["accuracy"],
            include={"phase": Enum("TEST")},
        ),
        layer("loss", "SoftmaxWithLoss", [top, "label"], ["loss"]),
    ]


def mlp(experiment):
    """The perceptron for MNIST, hidden layers as the experiment says."""
    layers = [
        data_layer(experiment, "TRAIN", "train", experiment.batch_size),
        data_layer(experiment, "TEST", "test", experiment.test_batch_size),
    ]
    if experiment.pattern:
        layers += pattern_layers(experiment)
    bottom = "data"
    for index in range(1, len(experiment.hidden) + 1):
        layers += hidden_layers(experiment, index, bottom)
        bottom = f"fc{index}"
    layers += output_layers(experiment, len(experiment.hidden) + 1, bottom)
    return {"name": experiment.key, "layer": layers}


NETS = {"mnist": mlp, "ptb": networks_ptb.language_model}


def net(experiment):
    """The NetParameter, for TRAIN and TEST alike."""
    return NETS[experiment.workload](experiment)


def learning_rate(experiment):
    """The solver's fields for a rate that falls at the ends of epochs."""
    steps = experiment.decay_iterations
    if not steps:
        return {"base_lr": experiment.base_lr, "lr_policy": "fixed"}
    return {
        "base_lr": experiment.base_lr,
        "lr_policy": "multistep",
        "gamma": experiment.lr_decay,
        "stepvalue": steps,
    }


def solver(experiment, net_file, snapshot_prefix):
    """The SolverParameter. Several splits to test are told apart by a stage
    of the net; clip_gradients and test_state are left out where unused."""
    splits = experiment.splits
    stages = [{"stage": split} for split in splits if len(splits) > 1]
    clip = experiment.clip_gradients
    return {
        "net": net_file,
        "test_state": stages,
        "test_iter": experiment.test_iter,
        "test_interval": experiment.test_interval,
        "test_initialization": False,
        **learning_rate(experiment),
        "momentum": experiment.momentum,
        "clip_gradients": [clip] if clip else [],
        "display": experiment.display,
        "average_loss": experiment.display,
        "max_iter": experiment.max_iter,
        "snapshot": experiment.snapshot_interval,
        "snapshot_prefix": snapshot_prefix,
        "snapshot_after_train": True,
        "random_seed": experiment.seed,
        "solver_mode": Enum("CPU"),
    }


def timed_solver(experiment):
    """The same for timing steps: without tests, snapshots and log lines; its
    net is to be set."""
    unwanted = ("test_", "snapshot", "display", "average_loss")
    return {
        field: value
        for field, value in solver(experiment, "", "").items()
        if not field.startswith(unwanted)
    }
