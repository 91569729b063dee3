"""Nets and solvers of experiments, as nested dicts for nets/text.py."""

from nets.convolutional import convolutional_net
from nets.language_model import language_model
from nets.mlp import mlp
from nets.parts import Enum

NETS = {
    "cifar10": convolutional_net,
    "lenet": convolutional_net,
    "mnist": mlp,
    "ptb": language_model,
}


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
    of the net; what has its default or is unused is left out."""
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
        "type": [] if experiment.solver == "SGD" else experiment.solver,
        "momentum": experiment.momentum,
        "weight_decay": experiment.weight_decay or [],
        "clip_gradients": clip or [],
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
