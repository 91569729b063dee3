#!/usr/bin/python3
"""Trains experiments of the registry, one after another, with `caffe train`.

A run has a folder, runs/mnist/row_0.7 say, that holds net.prototxt and
solver.prototxt as used, log.txt (Caffe's), metrics.json (kept up to date while
it trains), Caffe's snapshot and, when it is finished, `done`. Finished runs
are skipped. There is a snapshot at the end of each epoch and where a run is
interrupted (Ctrl-C, SIGTERM, a closed terminal); it goes on from the latest
that log.txt reaches, as the same run. Older ones are removed. A folder has one
training at a time.
"""

import argparse
import dataclasses
import sys

from nets import registry
from paper import studies
from paper.profiles import PROFILES
from training.caffe_process import end_after
from training.lock import LockedError
from training.run import TrainingError, train


def chosen(options):
    """(experiment, folder) of the command line's keys, folder None for the
    usual one; ValueError if there is no such experiment."""
    if not options.profile:
        return [(registry.find(key), None) for key in options.keys]
    profile = PROFILES[options.profile]
    seed = 1 if options.seed is None else options.seed
    runs = [studies.find_training(profile, key, seed) for key in options.keys]
    return [(run, studies.run_folder(profile, run)) for run in runs]


def gpu_number(text):
    """Caffe takes lists of GPUs and `all`, but its Python layers only one."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(
            f"{text!r} is no number of one GPU, 0, 1, ..."
        )
    return int(text)


def main(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "keys", nargs="+", metavar="EXPERIMENT", help="mnist/row_0.7, say"
    )
    parser.add_argument("--epochs", type=int, help="instead of the registry's")
    parser.add_argument(
        "--max-iter",
        type=int,
        dest="iteration_limit",
        metavar="ITERATIONS",
        help="end after this many, with a test",
    )
    parser.add_argument(
        "--seed", type=int, help="instead of the registry's, in its own folder"
    )
    parser.add_argument(
        "--force", action="store_true", help="train finished runs anew"
    )
    parser.add_argument(
        "--profile",
        choices=PROFILES,
        help="train what the paper's tables need in these sizes, in its "
        "folder; see paper/profiles.py",
    )
    parser.add_argument(
        "--gpu",
        type=gpu_number,
        metavar="N",
        help="train on that GPU (needs `make cuda`), not on the CPU",
    )
    parser.add_argument(
        "--end-after",
        type=int,
        metavar="PROCESS",
        help="end, with a snapshot, when this process has ended: that of the "
        "program that starts this one, $$ in a shell's script",
    )
    options = parser.parse_args(arguments)
    changes = {
        field: value
        for field in ("epochs", "iteration_limit", "seed")
        if (value := getattr(options, field)) is not None
    }
    try:
        if options.end_after is not None:
            end_after(options.end_after)
        for experiment, folder in chosen(options):
            changed = dataclasses.replace(experiment, **changes)
            train(changed, folder, force=options.force, gpu=options.gpu)
    except (
        TrainingError, LockedError, ValueError, OSError, ImportError,
    ) as error:  # fmt: skip
        print(f"train.py: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:  # before or after Caffe's part
        print("train.py: interrupted", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
