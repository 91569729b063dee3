#!/usr/bin/python3
"""Counts what an iteration of our nets asks of a GPU, beside stock Caffe's, and
models the time that it would take on a card.

The nets run on the emulated device (docs/gpu.md), at full size and without
their matrix products, whose shapes are counted. Stock Caffe's runs with
conventional dropout, at rate 0 without. Prints a table for each net; writes
profile.json, all counts, and profile.md, each kernel too, into a folder; runs
that the same commit has left there, a clean one, are not made again. To compare
before and after a change of kernels, give --nets, --methods and --rates that it
concerns, and another --output.
"""

import argparse
import datetime
import itertools
import json
import sys
from pathlib import Path

from gpu import card_model, device_counts, device_report
from project import (
    ROOT,
    command_line,
    commit,
    is_clean,
    read_json,
    write_whole,
)

METHODS = ("conventional", "row", "tile")
RATES = (0.0, 0.5, 0.7)


def parse_args(arguments):
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    nets = tuple(device_counts.NETS)
    parser.add_argument("--nets", nargs="+", choices=nets, default=nets)
    parser.add_argument(
        "--methods", nargs="+", choices=METHODS, default=METHODS
    )
    parser.add_argument("--rates", nargs="+", type=float, default=RATES)
    parser.add_argument(
        "--output", type=Path, default=ROOT / "runs/gpu_profile"
    )
    return parser.parse_args(arguments)


def earlier(path):
    """The runs of a file that this commit has made, if it is a clean one."""
    current = commit()
    if not path.exists() or not is_clean(current):
        return []
    results = read_json(path)
    return results["runs"] if results["commit"] == current else []


def count_run(name, method, rate, known):
    """A run, or the one of `known`."""
    net = device_counts.NETS[name]
    conditions = {"net": net.title, "method": method, "rate": rate}
    for run in known:
        if conditions.items() <= run.items():
            return run
    counts = device_counts.count_net(net, method, rate)
    print(f"{name} {method} {rate:g}: counted", file=sys.stderr)
    return {**conditions, **counts, "model_s": card_model.total_s(counts)}


def main(arguments=None):
    """Runs the command line."""
    options = parse_args(arguments)
    options.output.mkdir(parents=True, exist_ok=True)
    path = options.output / "profile.json"
    known = earlier(path)
    now = datetime.datetime.now(datetime.timezone.utc)
    results = {
        "command": command_line(),
        "commit": commit(),
        "date": now.isoformat(timespec="seconds"),
        "runs": [],
    }
    for name, rate, method in itertools.product(
        options.nets, options.rates, options.methods
    ):
        results["runs"].append(count_run(name, method, rate, known))
        write_whole(path, json.dumps(results, indent=1) + "\n")
    print(device_report.summaries(results["runs"]))
    write_whole(options.output / "profile.md", device_report.page(results))


if __name__ == "__main__":
    try:
        main()
    except (ValueError, RuntimeError) as error:
        sys.exit(f"profile_steps: {error}")
