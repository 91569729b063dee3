"""The paper's tables and figures, and studies of ours, as nets to run.

A study is a list of points, a rate or a size each, that are compared for
several methods. Accuracy comes from training every net of a point with several
seeds, speed from a race: all nets that are held against the same conventional
one take training steps in turn (race.py). A profile of profiles.py says
how large the nets are, how long they train and with how many seeds.
"""

from dataclasses import replace
from functools import partial

from nets import registry
from nets.experiment import groups_text
from nets.registry import RATES
from paper.mlp_studies import (
    convergence,
    fig4,
    periods,
    residues,
    table1,
    tiles,
)
from paper.study import SERIES, Point, Study
from project import ROOT

PYTHON = "/usr/bin/python3"
ROW_SERIES = ("conventional", "row_period", "row")
RESIDUE_SERIES = ("conventional", "row", "tile")


def _lstms(profile, what, series, label, **settings):
    """A Point of language models. settings: of registry.ptb."""
    training = profile.training.get(what, profile.training["ptb"])
    trained = {
        method: replace(
            registry.ptb(profile.trained[what], method, **settings),
            **training,
        )
        for method in series
    }
    timed = {
        method: registry.ptb(profile.timed[what], method, **settings)
        for method in series
    }
    return Point(label=label, trained=trained, timed=timed, seeds=profile.seeds)


def _by_rate(profile, what, series):
    return [
        _lstms(profile, what, series, f"{rate:g}", rate=rate) for rate in RATES
    ]


def _lstm_study(points, **fields):
    return Study(script="ptb", points=tuple(points), **fields)


def table2(profile):
    return _lstm_study(
        _by_rate(profile, "table2", SERIES),
        name="table2",
        title="Table II: LSTM of 2 layers, dictionary of 8,800 words",
        varies="rate",
        measure="accuracy",
    )


def fig5(profile):
    """Curves of trainings and a race that Table II has too."""
    return _lstm_study(
        [_lstms(profile, "table2", ROW_SERIES, "0.5", rate=0.5)],
        name="fig5",
        title="Fig. 5: accuracy in the course of training, rate 0.5",
        varies="rate",
        measure="accuracy",
        curves=True,
    )


def fig6a(profile):
    return _lstm_study(
        _by_rate(profile, "fig6", ROW_SERIES),
        name="fig6a",
        title="Fig. 6(a): LSTM of 3 layers on Penn Treebank, by dropout rate",
        varies="rate",
        measure="perplexity",
    )


def fig6b(profile):
    points = [
        _lstms(
            profile,
            "fig6",
            ROW_SERIES,
            f"{batch_size}",
            rate=0.5,
            batch_size=batch_size,
        )
        for batch_size in profile.batches
    ]
    return _lstm_study(
        points,
        name="fig6b",
        title="Fig. 6(b): the same by batch size, rate 0.5",
        varies="batch size",
        measure="perplexity",
    )


def recurrent(profile):
    """Dropout in the product with h_{t-1} too: ROW's of units, TILE's of tiles
    of W_hc."""
    points = []
    for rate in RATES:
        for between, label in (False, ""), (True, ", recurrent"):
            point = _lstms(
                profile,
                "table2",
                RESIDUE_SERIES,
                f"{rate:g}{label}",
                rate=rate,
                recurrent=between,
            )
            points.append(replace(point, timed={}))
    return _lstm_study(
        points,
        name="recurrent",
        title="Not in the paper: recurrent dropout in the LSTMs of Table II",
        varies="rate",
        measure="perplexity",
    )


def small(profile):
    """The published small model with dropout, its whole recipe."""
    return _lstm_study(
        _by_rate(profile, "small", SERIES),
        name="small",
        title="Not in the paper: the published recipe of the small LSTM with "
        "dropout, by rate",
        varies="rate",
        measure="perplexity",
    )


def groups(profile):
    """How many groups of samples RESIDUE needs, and what they cost."""
    points = []
    for batch_size in (20, 40):
        for number in profile.groups:
            point = _lstms(
                profile,
                "groups",
                RESIDUE_SERIES,
                f"{batch_size}, {groups_text(number)}",
                rate=0.5,
                batch_size=batch_size,
                groups=number,
            )
            if number not in profile.trained_groups:
                point = replace(point, seeds=0)
            points.append(point)
    return _lstm_study(
        points,
        name="groups",
        title="Not in the paper: RESIDUE by groups of samples, LSTM of 2 "
        "layers, rate 0.5",
        varies="batch size, groups",
        measure="perplexity",
        gaps=True,
    )


def medium(profile):
    """RESIDUE in a larger language model, with the usual groups."""
    return _lstm_study(
        [_lstms(profile, "medium", RESIDUE_SERIES, "0.5", rate=0.5)],
        name="medium",
        title="Not in the paper: RESIDUE in a larger LSTM, rate 0.5",
        varies="rate",
        measure="perplexity",
        curves=True,
    )


def _map_study(profile, name, net, title):
    """Feature maps by rate and groups; net: as registry.lenet."""
    training = profile.training[name]
    points = []
    for rate in profile.map_rates:
        for number in profile.map_groups:
            row = net(method="row", rate=rate, groups=number)
            conventional = net(method="conventional", rate=rate)
            points.append(
                Point(
                    label=f"{rate:g}, {number}",
                    trained={
                        "conventional": replace(conventional, **training),
                        "row": replace(row, **training),
                    },
                    seeds=profile.seeds,
                )
            )
    return Study(
        name=name,
        title=title,
        script="maps",
        varies="rate, groups",
        points=tuple(points),
        measure="accuracy",
    )


def lenet(profile):
    return _map_study(
        profile,
        "lenet",
        registry.lenet,
        "Not in the paper: feature maps of LeNet on MNIST by groups of images, "
        "64 being one image each",
    )


def cifar10(profile):
    return _map_study(
        profile,
        "cifar10",
        partial(registry.cifar10, size=profile.map_size),
        "Not in the paper: feature maps on CIFAR-10 by groups of images, 64 "
        "being one image each",
    )


STUDIES = (
    *(fig4, table1, convergence, periods, residues, tiles),
    *(table2, fig5, fig6a, fig6b, recurrent, small, groups, medium),
    *(lenet, cifar10),
)


def studies(profile):
    """All studies in a profile's sizes, in the report's order."""
    return [study(profile) for study in STUDIES]


def trainings(chosen):
    """{(key, seed): Experiment} of all trainings that the studies need."""
    found = {}
    for study in chosen:
        for point in study.points:
            for experiment in point.trained.values():
                for seed in range(1, point.seeds + 1):
                    run = replace(experiment, seed=seed)
                    if found.setdefault((run.key, seed), run) != run:
                        raise ValueError(f"{run.key} names different nets")
    return found


def races(chosen):
    """{key of the conventional net: {key: Experiment}, itself included} of
    what is timed side by side."""
    found = {}
    for study in chosen:
        for point in study.points:
            for experiment in point.timed.values():
                race = found.setdefault(point.timed["conventional"].key, {})
                if race.setdefault(experiment.key, experiment) != experiment:
                    raise ValueError(f"{experiment.key} names different nets")
    return found


def preparations(chosen):
    """Commands that prepare all data that the studies need."""
    nets = [*trainings(chosen).values()]
    nets += [net for race in races(chosen).values() for net in race.values()]
    commands = {net.data: registry.preparation(net) for net in nets}
    return [[PYTHON, *command] for command in commands.values()]


def run_folder(profile, experiment):
    """Where a profile's training is kept; its seed is the experiment's."""
    name = f"{experiment.key}_seed{experiment.seed}"
    return ROOT / "runs" / profile.name / name


def race_file(profile, key):
    """The result of the race against the conventional net of that key."""
    return ROOT / "runs" / profile.name / "times" / f"{key}.json"


def find_training(profile, key, seed):
    """The experiment of a profile; ValueError if there is none."""
    runs = trainings(studies(profile))
    if (key, seed) not in runs:
        seeds = sorted(number for name, number in runs if name == key)
        known = dict.fromkeys(name for name, _ in runs)
        legal = f"seeds {seeds}" if seeds else " ".join(known)
        raise ValueError(
            f"profile {profile.name} has no experiment {key!r} with seed "
            f"{seed}; legal: {legal}"
        )
    return runs[key, seed]
