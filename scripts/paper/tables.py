"""The tables of the paper's report: numbers as text, and what they are of."""

import math

from approx_dropout.families import tile_size_behind
from approx_dropout.search import default_lambda3
from nets.experiment import APPROXIMATE, groups_text
from paper import provenance, reported, studies
from paper.pictures import MEASURES
from reports.curves import FULL_TITLES
from reports.table import cell
from training.drop_rates import unit_deviation, unit_rates

LEAST_SHOWN = 0.0005  # of K
NOT_ASKED = "–"  # where MISSING would say that it is yet to be run


def signed(mean, low_high, form="+.2f"):
    """A mean and its interval, "+0.12 [-0.03, +0.27]"."""
    text = cell(mean, form)
    if low_high:
        text += " [{}]".format(", ".join(format(x, form) for x in low_high))
    return text


def speed_up(numbers):
    text = cell(numbers["speed_up"], ".2f")
    if numbers["speed_up_range"]:
        low, high = numbers["speed_up_range"]
        text += f" ({low:.2f}–{high:.2f})"
    return text


def trained(numbers):
    """Mean, standard error and how many trainings it is the mean of."""
    if not numbers["seeds"]:
        return NOT_ASKED
    text = cell(numbers["mean"], ".2f")
    if numbers["standard_error"] is not None:
        text += f" ± {numbers['standard_error']:.2f}"
    if numbers["finished"]:
        text += f" ({numbers['measured']}"
        if numbers["measured"] < numbers["seeds"]:
            text += f" of {numbers['seeds']}"
        text += ")"
    if numbers["diverged"]:
        text += f", {numbers['diverged']} diverged"
    return text


def settled(epochs):
    """epochs: {seed: epoch, None where it still rises}."""
    return ", ".join(
        "not yet" if e is None else str(e) for e in epochs.values()
    )


def study_table(study, cells):
    """One line per cell, {title of the column: text}."""
    timed = any(point.timed for point in study.points)
    in_paper = study.name in reported.NUMBERS
    measure = MEASURES[study.measure]
    lines = []
    for numbers in cells:
        where = study.name, numbers["point"], numbers["series"]
        paper = {
            what: str(reported.number(*where, what))
            for what in ("speed_up", "value", "difference")
        }
        line = {
            study.varies: numbers["point"],
            "method": FULL_TITLES[numbers["series"]],
        }
        if timed and in_paper:
            line["speed-up, paper"] = paper["speed_up"]
        if timed:
            line["speed-up (rounds)"] = speed_up(numbers)
            line["ms/step"] = cell(numbers["step_ms"], ".1f")
            peak = numbers["peak_bytes"]
            line["peak MB"] = cell(peak and peak / 1e6, ".0f")
        if in_paper:
            line[f"{measure}, paper"] = paper["value"]
        line[measure] = trained(numbers)
        if study.settles:
            line["after epochs"] = settled(numbers["settled"])
        none = numbers["series"] == "conventional" or not numbers["seeds"]
        if in_paper:
            line["difference, paper"] = paper["difference"]
        change = signed(numbers["difference"], numbers["interval"])
        line["difference [95 %]"] = NOT_ASKED if none else change
        perplexity = numbers.get("perplexity")
        if perplexity:
            line[MEASURES["perplexity"]] = trained({**numbers, **perplexity})
        if study.measure == "perplexity":
            perplexity = numbers
        if perplexity:
            change = signed(
                perplexity["percent"], perplexity["percent_interval"]
            )
            line["perplexity in percent [95 %]"] = NOT_ASKED if none else change
        rate = cell(numbers["drop_rate"], ".4f")
        line["drop rate achieved"] = NOT_ASKED if none else rate
        lines.append(line)
    return lines


def searched_lambda3(family, max_period, lambda3):
    """λ3 of a search as text; lambda3: as experiments have it."""
    if lambda3 is None:
        lambda3 = default_lambda3(family, max_period)
    return f"{lambda3:g}"


def _joined(values):
    return ", ".join(dict.fromkeys(map(str, values)))


def _nets(all_fields):
    """Sizes, batches and the like of nets, from their experiments' fields."""
    text = ""
    for field, title in ("maps", "maps"), ("hidden", "hidden layers"):
        if field in all_fields[0]:
            sizes = ("×".join(map(str, f[field])) for f in all_fields)
            text += f"{title} {_joined(sizes)}; "
    text += "batch "
    text += _joined(fields["batch_size"] for fields in all_fields)
    if "vocabulary" in all_fields[0]:
        text += f"; {_joined(f['vocabulary'] for f in all_fields)} words"
        text += f"; {_joined(f['sequence_length'] for f in all_fields)} steps"
    for family in "RESIDUE", "PERIOD":
        fields = [
            f
            for f in all_fields
            if APPROXIMATE.get(f["method"], ("", ""))[1] == family
        ]
        if fields:
            text += f"; {family}: N {_joined(f['max_period'] for f in fields)}"
            lambdas = (
                searched_lambda3(family, f["max_period"], f["lambda3"])
                for f in fields
            )
            text += f", λ3 {_joined(lambdas)}"
            groups = _joined(groups_text(f["groups"]) for f in fields)
            text += f", groups {groups}"
    tiles = [
        tile_size_behind(units, fields["tile_size"], fields["max_period"])
        if fields.get("tiles") == "behind"
        else fields["tile_size"]
        for fields in all_fields
        if "tile" in fields["method"]
        for units in fields["hidden"]
    ]
    if tiles:
        text += f"; tiles of {_joined(tiles)}"
    return text


def _trained_on(runs):
    """runs: metrics, with the sessions of resumed trainings."""
    sessions = [s for run in runs for s in (*run.get("earlier", ()), run)]
    machines = _joined(map(provenance.machine, sessions))
    return f"{machines}; commit {_joined(s['commit'] for s in sessions)}"


def conditions(results, study):
    """How a study's nets were trained and timed, as far as they were."""
    runs = [
        run
        for point in study.points
        for experiment in point.trained.values()
        for run in results.finished(experiment, point.seeds).values()
    ]
    races_by_point = {
        point.label: race
        for point in study.points
        if point.timed and (race := results.race(point.timed))
    }
    races = races_by_point.values()
    lines = []
    if runs:
        fields = [run["experiment"] for run in runs]
        lines.append(
            f"Trained: {_nets(fields)}; epochs "
            + _joined(f"{run['tests'][-1]['epoch']:.3g}" for run in runs)
            + f"; data: {_joined(run['data']['used'] for run in runs)}; "
            + f"{_trained_on(runs)}."
        )
    if races:
        keys = {net.key for p in study.points for net in p.timed.values()}
        fields = [
            net
            for race in races
            for key, net in race["experiments"].items()
            if key in keys
        ]
        others = _joined(
            f"{race['others_busy_cores']:.2f}"
            for race in races
            if "others_busy_cores" in race
        )
        lines.append(
            f"Timed: {_nets(fields)}; against conventional dropout in the "
            f"build {_joined(race['baseline_build'] for race in races)}; "
            f"{_joined(race['rounds'] for race in races)} rounds of "
            f"{_joined(race['steps'] for race in races)} steps; "
            + (f"other processes kept {others} cores busy; " if others else "")
            + f"{provenance.measured(races_by_point.items())}."
        )
    return lines


def search_table(searches):
    return [
        {
            "family": search["family"],
            "N": str(search["max_period"]),
            "λ3": searched_lambda3(
                search["family"], search["max_period"], search["lambda3"]
            ),
            "groups": str(search["groups"]),
            "p": f"{search['rate']:g}",
            "rate of K": f"{search['expected']:.4f}",
            "rate achieved": f"{search['realised']:.4f}",
            "layers × seeds": str(search["layers"]),
            "draws": str(search["draws"]),
            "sub-models drawn": f"{search['sub_models']:.0f}",
            "K": ", ".join(
                f"{i}: {k:.3f}"
                for i, k in enumerate(search["probability"], 1)
                if k >= LEAST_SHOWN
            ),
        }
        for search in searches
    ]


def tile_diagonals(experiment):
    """Diagonals of tiles of the first dropped product."""
    columns = experiment.hidden[0]
    if experiment.workload == "ptb":
        rows = 4 * columns
    elif experiment.tiles == "behind":
        rows = experiment.hidden[1]
    else:
        rows, columns = columns, 784
    size = experiment.tile_size
    return math.ceil(rows / size) + math.ceil(columns / size) - 1


def shown_units(results, chosen):
    """One finished training for each workload and method, rate 0.5 if there
    is one, as draw_units takes them."""
    found = {}
    for (key, seed), experiment in studies.trainings(chosen).items():
        run = results.finished(experiment, seed).get(seed)
        place = experiment.workload, experiment.method
        if not run or not experiment.pattern or experiment.variant:
            continue
        if place in found and (set(experiment.rates) != {0.5} or seed != 1):
            continue
        layer = run["drop_rate"]["layers"]["pattern1"]
        rows = experiment.pattern == "ROW"
        units = experiment.first_units if rows else tile_diagonals(experiment)
        title = f"{key}, seed {seed}, pattern1"
        found[place] = title, experiment, layer, units, experiment.rates[0]
    return list(found.values())


def unit_table(shown):
    lines = []
    for title, experiment, layer, units, rate in shown:
        groups = experiment.place_groups[0]
        rates = unit_rates(layer, groups, units)
        deviation = unit_deviation(layer, experiment.family, groups)
        lines.append(
            {
                "training": title,
                "method": FULL_TITLES[experiment.method],
                "p": f"{rate:g}",
                "units": str(units),
                "lowest": f"{rates.min():.4f}",
                "mean": f"{rates.mean():.4f}",
                "highest": f"{rates.max():.4f}",
                "expected deviation": f"{deviation:.4f}",
                "draws": str(layer["draws"]),
                "sub-models drawn": str(layer["sub_models"]),
            }
        )
    return lines
