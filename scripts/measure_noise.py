#!/usr/bin/python3
"""Measures how much noise dropout adds to a training's gradients.

At the weights of a .caffemodel each net sees the same batches of its training
data several times, each time with other masks or patterns. The gradient g of
all parameters together then has

    squared mean    |E g|^2, of the signal,
    batch variance  E |E(g | batch) - E g|^2, of the choice of the samples,
    mask variance   E |g - E(g | batch)|^2, of what is dropped,

which are estimated without bias and printed, mask variance with its standard
error over the batches. LSTMs begin every batch at a state of zero, so that all
its passes begin alike. --groups measures each RESIDUE net with those numbers of
groups, 2-2-10 being a number for each place that is dropped; --alone drops at
one place at a time, too. Needs pycaffe (`make caffe`) and the prepared data.
"""

import argparse
import datetime
import json
import os
import re
import sys
from pathlib import Path

from measure import noise
from nets.experiment import groups_text
from project import command_line, commit, machine, write_whole
from training.run import TrainingError, data_source

COLUMNS = {
    "mask variance": "mask_variance",
    "± s.e.": "mask_variance_error",
    "batch variance": "batch_variance",
    "squared mean": "squared_mean",
    "L2 norm": "norm",
}


def at_least_two(text):
    value = int(text)
    if value < 2:
        raise argparse.ArgumentTypeError(f"{value} is less than 2")
    return value


def groups_of(text):
    """What groups_text writes."""
    if not re.fullmatch(r"\d+(-\d+)*", text):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no number, nor several like 2-2-10"
        )
    numbers = tuple(map(int, text.split("-")))
    return numbers if len(numbers) > 1 else numbers[0]


def main(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("keys", nargs="+", metavar="EXPERIMENT")
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--groups", type=groups_of, nargs="+", default=[])
    parser.add_argument("--alone", action="store_true")
    parser.add_argument("--batches", type=at_least_two, default=8)
    parser.add_argument("--draws", type=at_least_two, default=8)
    parser.add_argument("--seed", type=int, default=1, help="of all masks")
    parser.add_argument("--output", type=Path, help="JSON file")
    options = parser.parse_args(arguments)
    os.environ.setdefault("GLOG_minloglevel", "2")  # nets are logged else
    rows = []
    try:
        if not options.weights.is_file():
            raise ValueError(f"--weights: there is no file {options.weights}")
        print(f"{'':32} groups" + "".join(f"{name:>15}" for name in COLUMNS))
        for experiment in noise.variants(
            options.keys, options.groups, options.alone
        ):
            source = data_source(experiment)
            estimates = noise.estimates(
                experiment.fitted(source),
                options.weights.absolute(),
                options.batches,
                options.draws,
                options.seed,
            )
            groups = groups_text(experiment.groups)
            rows.append(
                {"key": experiment.key, "groups": groups}
                | {"data": source["used"], **estimates}
            )
            values = "".join(
                f"{estimates[field]:15.4g}" for field in COLUMNS.values()
            )
            print(f"{experiment.key:32} {groups:>6}{values}")
    except (TrainingError, ValueError, OSError, ImportError) as error:
        print(f"measure_noise.py: {error}", file=sys.stderr)
        return 1
    if options.output:
        result = {
            "command": command_line(),
            "machine": machine(),
            "commit": commit(),
            "date": datetime.datetime.now(datetime.timezone.utc).isoformat(
                timespec="seconds"
            ),
            "batches": options.batches,
            "draws": options.draws,
            "seed": options.seed,
            "rows": rows,
        }
        try:
            write_whole(options.output, json.dumps(result, indent=1) + "\n")
        except OSError as error:
            print(f"measure_noise.py: {error}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
