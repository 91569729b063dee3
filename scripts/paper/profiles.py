"""How large the studies of the paper's tables and figures are.

paper  the paper's sizes and up to 50 epochs; for machines with many cores
cpu    the same tables on 2 cores, a night for MLPs and one for LSTMs: the
       MLPs as they are; LSTMs of 200 units trained, with a short recipe,
       and those of the paper timed. Our own studies of LSTMs, the published
       recipe by rate and by groups of samples and the first epochs of 650
       units, take four nights more, the MLP trained until it learns no more
       half of one
quick  every cell in minutes, on tiny nets: shows that it all runs, no more
"""

import dataclasses

from nets.experiment import Experiment

USUAL_PERIOD = Experiment.max_period


@dataclasses.dataclass(frozen=True, kw_only=True)
class Profile:
    """How large the studies are.

    shrink: divides the units of the MLPs' hidden layers.
    training: {workload or what: fields of its trained experiments}; {} leaves
        the published recipe.
    trained, timed: {what: size} of the language models, by registry.SIZES.
    batches: of Fig. 6(b). groups: of the groups study, as registry.ptb
        takes them; trained_groups: those of them that train, too.
    map_size: of the net on CIFAR-10. map_rates, map_groups: of the studies of
        feature maps.
    periods: (rate, N, lambda3) of the study of PERIOD.
    seeds: trainings of each net, seeds 1, 2, ...; mlp_seeds: of Fig. 4's and
        Table I's MLPs; more_seeds: of Fig. 4's where its two rates are equal.
    timing: {workload: (rounds, steps per round)} of a race.
    stock: races are against a build of stock Caffe, else against Caffe's own
        layers in ours.
    threads: of one training; several share the machine.
    """

    name: str
    shrink: int = 1
    training: dict
    trained: dict
    timed: dict
    batches: tuple
    periods: tuple
    groups: tuple
    trained_groups: tuple
    map_size: str
    map_rates: tuple = (0.1, 0.3, 0.5)
    map_groups: tuple = (1, 4, 64)
    seeds: int
    mlp_seeds: int
    more_seeds: int
    timing: dict
    stock: bool = True
    threads: int


PAPER_SIZES = {
    "table2": "large8800",
    "fig6": "large3",
    "small": "small",
    "groups": "large",
    "medium": "medium",
}
QUICK_SIZES = {
    "table2": "tiny",
    "fig6": "tiny3",
    "small": "tiny",
    "groups": "tiny",
    "medium": "tiny",
}
PERIODS = (
    *((0.5, N, None) for N in (4, 6, 8, 10, 12, 14, USUAL_PERIOD)),
    (0.5, USUAL_PERIOD, 1e-4),
    *(
        (0.7, N, lambda3)
        for lambda3 in (None, 1e-5, 1e-4)
        for N in (8, USUAL_PERIOD)
    ),
)
QUICK_MAPS = {"epochs": 1, "iteration_limit": 20, "display": 5}
# Four epochs at the first learning rate, as published, and few more say
# nothing about the end of a training.
SHORT_RECIPE = {"epochs": 3, "flat_epochs": 1, "lr_decay": 0.5}
PROFILES = {
    profile.name: profile
    for profile in (
        Profile(
            name="paper",
            training={
                "mnist": {"epochs": 50},
                "ptb": {"epochs": 50},
                "small": {},
                "medium": {},
                "lenet": {"epochs": 20, "flat_epochs": 15, "lr_decay": 0.6},
                "cifar10": {"epochs": 50, "flat_epochs": 40, "lr_decay": 0.8},
            },
            trained=PAPER_SIZES,
            timed=PAPER_SIZES,
            batches=(20, 25, 30, 35, 40),
            periods=PERIODS,
            groups=(1, 2, 4, (2, 4), (2, 10)),
            trained_groups=(1, 2, 4, (2, 4), (2, 10)),
            map_size="vgg",
            seeds=5,
            mlp_seeds=5,
            more_seeds=8,
            timing={"mnist": (10, 100), "ptb": (5, 20)},
            threads=4,
        ),
        Profile(
            name="cpu",
            training={
                "mnist": {"epochs": 5},
                "ptb": SHORT_RECIPE,
                "small": {},
                "groups": {},
                # The published recipe's first, all at its first learning rate:
                # what is behind may catch up.
                "medium": {"epochs": 3},
                "lenet": {"epochs": 2, "flat_epochs": 1, "lr_decay": 0.1},
                "cifar10": {"epochs": 3, "flat_epochs": 2, "lr_decay": 0.1},
            },
            trained={
                "table2": "small8800",
                "fig6": "small3",
                "small": "small",
                "groups": "small",
                "medium": "medium",
            },
            timed={**PAPER_SIZES, "groups": "medium"},
            batches=(20, 30, 40),
            periods=PERIODS,
            groups=(1, 2, 4, (2, 4), (2, 10)),
            trained_groups=(1, (2, 4)),
            map_size="small",
            seeds=3,
            mlp_seeds=5,
            more_seeds=8,
            timing={"mnist": (5, 50), "ptb": (10, 5)},
            threads=1,
        ),
        Profile(
            name="quick",
            shrink=4,
            training={
                "mnist": {
                    "epochs": 1,
                    "iteration_limit": 50,
                    "batch_size": 32,
                    "display": 10,
                    "tile_size": 8,
                },
                "ptb": {"display": 5},
                "lenet": QUICK_MAPS,
                "cifar10": QUICK_MAPS,
            },
            trained=QUICK_SIZES,
            timed=QUICK_SIZES,
            batches=(20, 40),
            periods=(
                (0.5, 4, None),
                (0.7, USUAL_PERIOD, None),
                (0.7, USUAL_PERIOD, 1e-4),
            ),
            groups=(1, 5),
            trained_groups=(1, 5),
            map_size="small",
            map_rates=(0.5,),
            map_groups=(1, 4),
            seeds=2,
            mlp_seeds=2,
            more_seeds=2,
            timing={"mnist": (2, 5), "ptb": (2, 5)},
            stock=False,
            threads=1,
        ),
    )
}
