"""The numbers of the paper's tables from the metrics of runs and races.

Accuracy is in percent, differences of accuracies are in points.
"""

import dataclasses
import json

import numpy as np
from scipy import stats

from paper import studies
from project import read_json
from training.run import TrainingError, data_source

CONFIDENCE = 0.95
SETTLING_EPOCHS = 5
RACED = "machine", "date", "commit"
SEARCH_FIELDS = ("family", "max_period", "lambda3")
DATA_FIELDS = {  # as the data has them
    "vocabulary", "tokens", "train_samples", "test_samples", "test_batch_size",
    "display",
}  # fmt: skip


def same_net(record, experiment):
    """Whether the fields that metrics or a race recorded are those of an
    experiment, but for what the data decides."""
    fields = json.loads(json.dumps(dataclasses.asdict(experiment)))
    common = record.keys() & fields.keys() - DATA_FIELDS
    return all(record[field] == fields[field] for field in common)


def same_data(found, experiment):
    """Whether metrics are of the data that is prepared, if any is: as many
    samples or words, wherever they were got from."""
    try:
        source = data_source(experiment)
    except TrainingError:
        return True
    return found["data"]["counts"] == source["counts"]


class Results:
    """All that a profile's trainings and races have left so far.

    metrics(experiment, seed), race(nets): what metrics.json and a race's file
    hold, None where there is none or one of other settings or other data.
    """

    def __init__(self, profile):
        self.profile = profile
        self._read = {}

    def _json(self, path):
        if path not in self._read:
            self._read[path] = read_json(path) if path.exists() else None
        return self._read[path]

    def metrics(self, experiment, seed):
        run = studies.replace(experiment, seed=seed)
        found = self._json(
            studies.run_folder(self.profile, run) / "metrics.json"
        )
        if not found or not same_net(found["experiment"], run):
            return None
        return found if same_data(found, run) else None

    def race(self, nets):
        """nets: {series: Experiment}, the conventional one among them."""
        path = studies.race_file(self.profile, nets["conventional"].key)
        found = self._json(path)
        if found and all(
            net.key in found["experiments"]
            and same_net(found["experiments"][net.key], net)
            for net in nets.values()
        ):
            return found
        return None

    def finished(self, experiment, seeds):
        """{seed: metrics} of the finished trainings among 1 ... seeds."""
        runs = {s: self.metrics(experiment, s) for s in range(1, seeds + 1)}
        return {
            seed: run
            for seed, run in runs.items()
            if run and run["status"] == "finished"
        }


def final_score(tests, measure):
    """What a run's last test gave; for language models on the test text.

    tests: of its metrics. None if it is not a finite number.
    """
    last = [test for test in tests if test.get("split", "test") == "test"][-1]
    value = last[measure]
    return 100 * value if value and measure == "accuracy" else value


def curve(run, measure):
    """The measure at the epochs' ends, {epoch: value}, NaN for none."""
    epochs = sorted({test["epoch"] for test in run["tests"]})
    values = {
        epoch: final_score(
            [test for test in run["tests"] if test["epoch"] == epoch], measure
        )
        for epoch in epochs
    }
    return {e: np.nan if v is None else v for e, v in values.items()}


def settled(run, measure):
    """Where a run stops rising: the first epoch at which the mean of the last
    SETTLING_EPOCHS is not above that of as many before them, and that mean;
    (None, the last mean) if it still rises."""
    values = list(curve(run, measure).values())
    count = min(SETTLING_EPOCHS, len(values))
    means = np.convolve(values, np.ones(count) / count, "valid")
    for before, mean, epoch in zip(
        means, means[count:], range(2 * count, len(values) + 1)
    ):
        if not mean > before:
            return epoch, float(mean)
    return None, float(means[-1])


def gap(results, point, series, measure):
    """How far a net is above the conventional one in the course of training,
    {epoch: percent, mean over the seeds that both have}."""
    mine, other = (
        {
            seed: curve(run, measure)
            for seed, run in results.finished(
                point.trained[name], point.seeds
            ).items()
        }
        for name in (series, "conventional")
    )
    seeds = mine.keys() & other.keys()
    epochs = sorted({epoch for seed in seeds for epoch in mine[seed]})
    return {
        epoch: float(
            np.mean(
                [100 * (mine[s][epoch] / other[s][epoch] - 1) for s in seeds]
            )
        )
        for epoch in epochs
    }


def mean_and_error(values):
    """Mean and its standard error, None for what too few values give."""
    mean = float(np.mean(values)) if values else None
    error = float(stats.sem(values)) if len(values) > 1 else None
    return mean, error


def interval(differences):
    """The mean's two-sided 95 % interval by Student's t, as [low, high];
    None for fewer than two differences."""
    mean, error = mean_and_error(differences)
    if error is None:
        return None
    quantile = stats.t.ppf((1 + CONFIDENCE) / 2, len(differences) - 1)
    return [mean - quantile * error, mean + quantile * error]


def compared(mine, other):
    """The difference of values by seed, {seed: value}: mine minus other, seed
    by seed, as mean and interval, and the same in percent of other."""
    seeds = sorted(mine.keys() & other.keys())
    differences = [mine[seed] - other[seed] for seed in seeds]
    percent = [100 * (mine[seed] / other[seed] - 1) for seed in seeds]
    return {
        "pairs": len(seeds),
        "difference": mean_and_error(differences)[0],
        "interval": interval(differences),
        "percent": mean_and_error(percent)[0],
        "percent_interval": interval(percent),
    }


def speed(results, point, series):
    """A net's place in its race, None for what is missing."""
    race = point.timed and results.race(point.timed)
    rows = race["rows"] if race else []
    for row in rows:
        if series in point.timed and row["case"] == point.timed[series].key:
            return {
                "speed_up": row["speed_up"],
                "speed_up_range": [row["speed_up_min"], row["speed_up_max"]],
                "step_ms": row["wall_ms"],
                "peak_bytes": row["peak_bytes"],
                "raced": {name: race[name] for name in RACED},
            }
    return dict.fromkeys(
        ("speed_up", "speed_up_range", "step_ms", "peak_bytes", "raced")
    )


def scores(runs, others, measure, settles=False):
    """What trainings gave, and how far it is from others' of the same seeds.

    runs, others: {seed: metrics}; others: of the conventional net, {} to
    compare nothing. settles: what they gave is where they stopped rising.
    `measured`: how many of the runs have a value.
    """

    def score(run):
        if settles:
            return settled(run, measure)[1]
        return final_score(run["tests"], measure)

    values, other = (
        {
            seed: value
            for seed, run in some.items()
            if (value := score(run)) is not None
        }
        for some in (runs, others)
    )
    mean, error = mean_and_error(list(values.values()))
    return {
        "measured": len(values),
        "mean": mean,
        "standard_error": error,
        "values": values,
        **compared(values, other),
    }


def cell(results, study, point, series):
    """One net of a point: how fast, how good, against the conventional one.

    `seeds` is how many trainings were wanted, `finished` how many there are,
    `diverged` in how many a loss was not finite. A language model has its
    `perplexity` too where the study is about accuracy.
    """
    runs = results.finished(point.trained[series], point.seeds)
    others = {}
    if series != "conventional":
        others = results.finished(point.trained["conventional"], point.seeds)
    rates = [run["drop_rate"]["realised"] for run in runs.values()]
    found = {
        "point": point.label,
        "series": series,
        "key": point.trained[series].key,
        **speed(results, point, series),
        "seeds": point.seeds,
        "finished": len(runs),
        "diverged": sum(run["diverged"] for run in runs.values()),
        **scores(runs, others, study.measure, study.settles),
        "drop_rate": mean_and_error(rates)[0],
    }
    if study.settles:
        found["settled"] = {
            seed: settled(run, study.measure)[0] for seed, run in runs.items()
        }
    if study.script == "ptb" and study.measure == "accuracy":
        found["perplexity"] = scores(runs, others, "perplexity")
    return found


def cells(results, study):
    """All cells of a study, point by point."""
    return [
        cell(results, study, point, series)
        for point in study.points
        for series in point.trained
    ]


def outdated(profile, chosen):
    """Folders of finished trainings, and races, of other settings than the
    studies', or other data than is prepared."""
    results = Results(profile)
    found = []
    for run in studies.trainings(chosen).values():
        folder = studies.run_folder(profile, run)
        if (folder / "done").exists() and not results.metrics(run, run.seed):
            found.append(folder)
    for key, nets in studies.races(chosen).items():
        path = studies.race_file(profile, key)
        nets = {"conventional": nets[key], **nets}
        if path.exists() and not results.race(nets):
            found.append(path)
    return found


def searches(results, chosen):
    """Every K that was searched for, with what the trainings made of it:
    family, N, lambda3, groups of samples, rate and number of draws of a
    training, K and its rate; and over the layers of these trainings whose
    draws differ, `layers` many: the mean of the rates achieved, and of the
    numbers of different sub-models among the draws."""
    found = {}
    for (_, seed), experiment in studies.trainings(chosen).items():
        run = results.finished(experiment, seed).get(seed)
        if not run or not experiment.pattern:
            continue
        layers = sorted(run["drop_rate"]["layers"].items())
        for (name, layer), groups, rate in zip(
            layers, experiment.place_groups, experiment.rates
        ):
            key = (
                *(getattr(experiment, field) for field in SEARCH_FIELDS),
                groups,
                rate,
                layer["draws"],
            )
            # The same seed and name give the same draws in every net.
            found.setdefault(key, {})[seed, name] = layer
    return [
        {
            **dict(zip((*SEARCH_FIELDS, "groups", "rate", "draws"), key)),
            "probability": next(iter(layers.values()))["probability"],
            "layers": len(layers),
            **{
                what: float(np.mean([layer[what] for layer in layers.values()]))
                for what in ("expected", "realised", "sub_models")
            },
        }
        for key, layers in sorted(
            found.items(), key=lambda item: [x or 0 for x in item[0]]
        )
    ]
