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
from nets.experiment import METHODS, groups_text
from nets.registry import PERIOD_LAMBDA3, RATES
from paper.profiles import USUAL_PERIOD
from paper.study import Point, Study
from project import ROOT

PYTHON = "/usr/bin/python3"
SERIES = METHODS[1:]
ROW_SERIES = ("conventional", "row_period", "row")


def _mlp(profile, method, rates, hidden=registry.USUAL_HIDDEN):
    return replace(
        registry.mnist(method, rates, hidden),
        hidden=tuple(units // profile.shrink for units in hidden),
        **profile.training["mnist"],
    )


def _lstms(profile, what, series, settings):
    """Nets to train and to time, {series: Experiment} each."""
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
    return {"trained": trained, "timed": timed}


def _lstm_study(profile, what, series, points, **fields):
    """points: (label, settings of registry.ptb) each."""
    return Study(
        script="ptb",
        points=tuple(
            Point(
                label=label,
                seeds=profile.seeds,
                **_lstms(profile, what, series, settings),
            )
            for label, settings in points
        ),
        **fields,
    )


def fig4(profile):
    points = []
    for rates in registry.RATE_PAIRS:
        nets = {method: _mlp(profile, method, rates) for method in SERIES}
        diagonal = rates[0] == rates[1]
        points.append(
            Point(
                label="{:g}, {:g}".format(*rates),
                trained=nets,
                timed=nets,
                seeds=profile.more_seeds if diagonal else profile.mlp_seeds,
            )
        )
    return Study(
        name="fig4",
        title="Fig. 4: MLP 784-2048-2048-10 on MNIST, by the two dropout rates",
        script="mnist",
        varies="rates",
        points=tuple(points),
        measure="accuracy",
    )


def table1(profile):
    points = []
    for hidden in registry.TABLE1_HIDDEN:
        nets = {
            method: _mlp(profile, method, (0.7, 0.7), hidden)
            for method in SERIES
        }
        label = "×".join(map(str, hidden))
        points.append(
            Point(
                label=label, trained=nets, timed=nets, seeds=profile.mlp_seeds
            )
        )
    return Study(
        name="table1",
        title="Table I: MLPs of four sizes on MNIST, rates (0.7, 0.7)",
        script="mnist",
        varies="hidden layers",
        points=tuple(points),
        measure="accuracy",
    )


def periods(profile):
    """PERIOD by its largest period N and by lambda3 of its search."""
    points = []
    for rate, N, lambda3 in profile.periods:
        nets = {
            method: _mlp(profile, method, (rate, rate))
            for method in ("conventional", "row_period", "tile_period")
        }
        variant = f"N{N}" if lambda3 is None else f"N{N}_lambda{lambda3:g}"
        if (N, lambda3) != (USUAL_PERIOD, PERIOD_LAMBDA3):
            for method in ("row_period", "tile_period"):
                nets[method] = replace(
                    nets[method],
                    max_period=N,
                    lambda3=lambda3,
                    variant=variant,
                )
        points.append(
            Point(
                label=f"{rate:g}: {N}"
                + (f", λ3 {lambda3:g}" if lambda3 else ""),
                trained=nets,
                timed={},
                seeds=profile.seeds,
            )
        )
    return Study(
        name="periods",
        title="Not in the paper: PERIOD by its largest period N and the λ3 of "
        "its search, MLP of Fig. 4",
        script="mnist",
        varies="rates: N",
        points=tuple(points),
        measure="accuracy",
    )


def residues(profile):
    """RESIDUE by its N: with 16, K at 0.3 and 0.7 mixes two numbers of kept
    residues; with 20 it keeps 14 or 6 always."""
    points = []
    for rate in (0.3, 0.7):
        usual = {
            method: _mlp(profile, method, (rate, rate))
            for method in ("conventional", "row", "tile")
        }
        for N in (USUAL_PERIOD, profile.whole_period):
            nets = dict(usual)
            if N != USUAL_PERIOD:
                for method in ("row", "tile"):
                    nets[method] = replace(
                        usual[method], max_period=N, variant=f"N{N}"
                    )
            points.append(
                Point(
                    label=f"{rate:g}: {N}",
                    trained=nets,
                    timed={},
                    seeds=profile.more_seeds,
                )
            )
    return Study(
        name="residues",
        title="Not in the paper: RESIDUE by its N, MLP of Fig. 4",
        script="mnist",
        varies="rates: N",
        points=tuple(points),
        measure="accuracy",
    )


def convergence(profile):
    """The MLP of Fig. 4 until it learns no more."""
    points = []
    for rate in (0.5, 0.7):
        nets = {
            method: replace(
                _mlp(profile, method, (rate, rate)),
                size="long",
                epochs=profile.long_epochs,
            )
            for method in ("conventional", "row", "tile", "row_period")
        }
        points.append(
            Point(
                label=f"{rate:g}",
                trained=nets,
                timed={},
                seeds=profile.seeds,
            )
        )
    return Study(
        name="convergence",
        title="Not in the paper: the MLP of Fig. 4, trained until it learns "
        "no more",
        script="mnist",
        varies="rates",
        points=tuple(points),
        measure="accuracy",
        curves=True,
        settles=True,
    )


def tiles(profile):
    """TILE by whether its tiles lie behind the hidden layers or before."""
    points = []
    for rate in RATES:
        nets = {
            method: _mlp(profile, method, (rate, rate))
            for method in ("conventional", "tile")
        }
        before = replace(nets["tile"], tiles="before", variant="before")
        for place, tile in ("behind", nets["tile"]), ("before", before):
            compared = {**nets, "tile": tile}
            points.append(
                Point(
                    label=f"{rate:g}, {place}",
                    trained=compared,
                    timed=compared,
                    seeds=profile.seeds,
                )
            )
    return Study(
        name="tiles",
        title="Not in the paper: TILE with tiles behind the hidden layers or "
        "before them, MLP of Fig. 4",
        script="mnist",
        varies="rate, tiles",
        points=tuple(points),
        measure="accuracy",
    )


def table2(profile):
    return _lstm_study(
        profile,
        "table2",
        SERIES,
        [(f"{rate:g}", {"rate": rate}) for rate in RATES],
        name="table2",
        title="Table II: LSTM of 2 layers, dictionary of 8,800 words",
        varies="rate",
        measure="accuracy",
    )


def fig5(profile):
    """Curves of trainings and a race that Table II has too."""
    return _lstm_study(
        profile,
        "table2",
        ROW_SERIES,
        [("0.5", {"rate": 0.5})],
        name="fig5",
        title="Fig. 5: accuracy in the course of training, rate 0.5",
        varies="rate",
        measure="accuracy",
        curves=True,
    )


def fig6a(profile):
    return _lstm_study(
        profile,
        "fig6",
        ROW_SERIES,
        [(f"{rate:g}", {"rate": rate}) for rate in RATES],
        name="fig6a",
        title="Fig. 6(a): LSTM of 3 layers on Penn Treebank, by dropout rate",
        varies="rate",
        measure="perplexity",
    )


def fig6b(profile):
    return _lstm_study(
        profile,
        "fig6",
        ROW_SERIES,
        [
            (f"{batch_size}", {"rate": 0.5, "batch_size": batch_size})
            for batch_size in profile.batches
        ],
        name="fig6b",
        title="Fig. 6(b): the same by batch size, rate 0.5",
        varies="batch size",
        measure="perplexity",
    )


def recurrent(profile):
    """Dropout in the product with h_{t-1} too: ROW's of units, TILE's of tiles
    of W_hc."""
    study = _lstm_study(
        profile,
        "table2",
        ("conventional", "row", "tile"),
        [
            (f"{rate:g}{label}", {"rate": rate, "recurrent": between})
            for rate in RATES
            for between, label in ((False, ""), (True, ", recurrent"))
        ],
        name="recurrent",
        title="Not in the paper: recurrent dropout in the LSTMs of Table II",
        varies="rate",
        measure="perplexity",
    )
    points = tuple(replace(point, timed={}) for point in study.points)
    return replace(study, points=points)


def groups(profile):
    """How many groups of samples RESIDUE needs, and what they cost."""
    return _lstm_study(
        profile,
        "groups",
        ("conventional", "row", "tile"),
        [
            (
                f"{batch_size}, {groups_text(number)}",
                {"rate": 0.5, "batch_size": batch_size, "groups": number},
            )
            for batch_size in (20, 40)
            for number in profile.groups
        ],
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
        profile,
        "medium",
        ("conventional", "row", "tile"),
        [("0.5", {"rate": 0.5})],
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
                    timed={},
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
    *(table2, fig5, fig6a, fig6b, recurrent, groups, medium),
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
