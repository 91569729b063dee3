"""Times training steps for the paper's tables: one race of a profile.

All nets that are held against one conventional net take steps in turn, each
in a process of its own (measure/turns.py). Writes the race's JSON
file: each net's milliseconds per step and its speed-up over the conventional
net, as the median of the rounds, with the rounds' lowest and highest. Warns if
something else keeps the machine busy, and writes down how much.
"""

import argparse
import dataclasses
import datetime
import json
import sys

from tqdm import tqdm

from measure import sweeps, timer, turns
from paper import studies
from paper.profiles import PROFILES
from project import command_line, commit, machine, write_whole
from training.caffe_process import end_after
from training.run import TrainingError


def race(profile, key):
    """Runs the race; ValueError if the profile has none of that key."""
    races = studies.races(studies.studies(profile))
    if key not in races:
        raise ValueError(
            f"profile {profile.name} has no race against {key!r}; there are "
            f"races against: {' '.join(sorted(races))}"
        )
    nets = races[key]
    baseline_build = "caffe-stock" if profile.stock else "caffe"
    cases = [
        sweeps.Case(baseline_build if name == key else "caffe", experiment)
        for name, experiment in nets.items()
    ]
    (workload,) = {experiment.workload for experiment in nets.values()}
    rounds, steps = profile.timing[workload]
    with tqdm(desc=key, total=len(cases) * (rounds + 2)) as bar:
        workers, others = turns.measure(cases, rounds, steps, bar)
    turns.warn_of_others(key, others)
    rows = [
        {**turns.row(worker, workers[0]), "case": name}
        for name, worker in zip(nets, workers)
    ]
    return {
        "baseline": key,
        "baseline_build": baseline_build,
        "command": command_line(),
        "machine": machine(),
        "commit": commit(),
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(
            timespec="seconds"
        ),
        "others_busy_cores": others,
        "rounds": rounds,
        "steps": steps,
        "experiments": {
            name: dataclasses.asdict(experiment)
            for name, experiment in nets.items()
        },
        "rows": rows,
    }


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("key", help="mnist/conventional_0.5, say")
    parser.add_argument("--profile", choices=PROFILES, required=True)
    parser.add_argument("--end-after", type=int, metavar="PROCESS")
    options = parser.parse_args(arguments)
    profile = PROFILES[options.profile]
    timer.use_blas_kernels()
    try:
        if options.end_after is not None:
            end_after(options.end_after)
        result = race(profile, options.key)
        path = studies.race_file(profile, options.key)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, json.dumps(result, indent=1) + "\n")
    except (
        turns.BenchError, TrainingError, ValueError, OSError,
    ) as error:  # fmt: skip
        print(f"race.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
