"""The studies of MLPs on MNIST: Fig. 4, Table I and ours; see studies.py."""

from dataclasses import replace

from nets import registry
from nets.registry import PERIOD_LAMBDA3, RATES
from paper.profiles import USUAL_PERIOD
from paper.study import SERIES, Point, Study

WHOLE_PERIOD = 20  # keeps equally many residues in every pass at 0.3, 0.7 too
LONG_EPOCHS = 50


def _nets(profile, methods, rates, hidden=registry.USUAL_HIDDEN):
    """{method: Experiment}."""
    return {
        method: replace(
            registry.mnist(method, rates, hidden),
            hidden=tuple(units // profile.shrink for units in hidden),
            **profile.training["mnist"],
        )
        for method in methods
    }


def _changed(nets, methods, **fields):
    """The nets, those of some methods with other settings."""
    return nets | {
        method: replace(nets[method], **fields) for method in methods
    }


def _study(points, **fields):
    return Study(
        script="mnist", measure="accuracy", points=tuple(points), **fields
    )


def fig4(profile):
    points = []
    for rates in registry.RATE_PAIRS:
        nets = _nets(profile, SERIES, rates)
        diagonal = rates[0] == rates[1]
        points.append(
            Point(
                label="{:g}, {:g}".format(*rates),
                trained=nets,
                timed=nets,
                seeds=profile.more_seeds if diagonal else profile.mlp_seeds,
            )
        )
    return _study(
        points,
        name="fig4",
        title="Fig. 4: MLP 784-2048-2048-10 on MNIST, by the two dropout rates",
        varies="rates",
    )


def table1(profile):
    points = []
    for hidden in registry.TABLE1_HIDDEN:
        nets = _nets(profile, SERIES, (0.7, 0.7), hidden)
        label = "×".join(map(str, hidden))
        points.append(
            Point(
                label=label, trained=nets, timed=nets, seeds=profile.mlp_seeds
            )
        )
    return _study(
        points,
        name="table1",
        title="Table I: MLPs of four sizes on MNIST, rates (0.7, 0.7)",
        varies="hidden layers",
    )


def convergence(profile):
    """The MLP of Fig. 4 until it learns no more."""
    methods = "conventional", "row", "tile", "row_period"
    points = []
    for rate in (0.5, 0.7):
        nets = _nets(profile, methods, (rate, rate))
        nets = _changed(nets, methods, size="long", epochs=LONG_EPOCHS)
        points.append(
            Point(label=f"{rate:g}", trained=nets, seeds=profile.seeds)
        )
    return _study(
        points,
        name="convergence",
        title="Not in the paper: the MLP of Fig. 4, trained until it learns "
        "no more",
        varies="rates",
        curves=True,
        settles=True,
    )


def periods(profile):
    """PERIOD by its largest period N and by lambda3 of its search."""
    changed = "row_period", "tile_period"
    points = []
    for rate, N, lambda3 in profile.periods:
        nets = _nets(profile, ("conventional", *changed), (rate, rate))
        variant = f"N{N}" if lambda3 is None else f"N{N}_lambda{lambda3:g}"
        if (N, lambda3) != (USUAL_PERIOD, PERIOD_LAMBDA3):
            nets = _changed(
                nets, changed, max_period=N, lambda3=lambda3, variant=variant
            )
        label = f"{rate:g}: {N}" + (f", λ3 {lambda3:g}" if lambda3 else "")
        points.append(Point(label=label, trained=nets, seeds=profile.seeds))
    return _study(
        points,
        name="periods",
        title="Not in the paper: PERIOD by its largest period N and the λ3 of "
        "its search, MLP of Fig. 4",
        varies="rates: N",
    )


def residues(profile):
    """RESIDUE by its N: with 16, K at 0.3 and 0.7 mixes two numbers of kept
    residues; with 20 it keeps 14 or 6 always."""
    changed = "row", "tile"
    points = []
    for rate in (0.3, 0.7):
        usual = _nets(profile, ("conventional", *changed), (rate, rate))
        whole = _changed(
            usual, changed, max_period=WHOLE_PERIOD, variant=f"N{WHOLE_PERIOD}"
        )
        points += [
            Point(
                label=f"{rate:g}: {N}", trained=nets, seeds=profile.more_seeds
            )
            for N, nets in ((USUAL_PERIOD, usual), (WHOLE_PERIOD, whole))
        ]
    return _study(
        points,
        name="residues",
        title="Not in the paper: RESIDUE by its N, MLP of Fig. 4",
        varies="rates: N",
    )


def tiles(profile):
    """TILE by whether its tiles lie behind the hidden layers or before."""
    points = []
    for rate in RATES:
        behind = _nets(profile, ("conventional", "tile"), (rate, rate))
        before = _changed(behind, ["tile"], tiles="before", variant="before")
        points += [
            Point(
                label=f"{rate:g}, {place}",
                trained=nets,
                timed=nets,
                seeds=profile.seeds,
            )
            for place, nets in (("behind", behind), ("before", before))
        ]
    return _study(
        points,
        name="tiles",
        title="Not in the paper: TILE with tiles behind the hidden layers or "
        "before them, MLP of Fig. 4",
        varies="rate, tiles",
    )
