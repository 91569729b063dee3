"""Whether it helps to keep feature maps by what they have put out so far.

Trains the small net on CIFAR-10 at rate 0.5 with a pattern for each iteration
and layer that keeps half of the 16 residues, which are chosen

evenly   each with the same probability
strong   the likelier the larger their norm
weak     the likelier the smaller their norm: the opposite, to see the sign

by a running mean of the norm of a residue's maps, or units of the inner
product, behind ReLU. Of a residue that is not kept nothing is known at an
iteration: its mean stays. Residues are drawn without replacement, each with a
probability in proportion to its norm, or its inverse. All three scale by 2.
Writes a line for each training into a file, with its test accuracies; trainings
of the same settings that are there already are not made again.
"""

import argparse
import datetime
import json
import os
import tempfile
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

import nets.solver
from nets import registry
from nets.rewrite import input_layer
from nets.text import to_text
from paper.profiles import PROFILES
from project import (
    ROOT,
    command_line,
    commit,
    import_caffe,
    machine,
    whole_lines,
)
from training.run import data_source

CHOICES = {"evenly": 0, "strong": 1, "weak": -1}  # powers of the norm
RATE = 0.5
# Of the running mean: it forgets half in 70 iterations.
MEMORY = 0.99


def kept_half(weights, random):
    """Half of the residues, ascending, drawn one after the other without
    replacement, in proportion to their weights."""
    kept = random.choice(
        len(weights),
        len(weights) // 2,
        replace=False,
        p=weights / weights.sum(),
    )
    return np.sort(kept)


def residue_norms(blob, kept):
    """Root mean squares of a compact blob's units or maps, for each residue.

    blob: (samples, units, ...), the units of `kept` residues in turn.
    """
    by_residue = blob.reshape(len(blob), -1, kept, blob[0, 0].size)
    return np.sqrt(np.square(by_residue).mean((0, 1, 3)))


class Place:
    """The patterns of one layer, and the running norms that choose them."""

    def __init__(self, net, pattern, top, period, power):
        self.pattern = net.blobs[pattern].data
        self.top = net.blobs[top]
        self.norms = np.full(period, np.nan)
        self.power = power

    def draw(self, random):
        # What has never been kept counts like the mean of what has.
        seen = ~np.isnan(self.norms)
        mean = self.norms[seen].mean() if seen.any() else 1
        norms = np.where(seen, self.norms, mean) + 1e-3 * mean
        self.kept = kept_half(norms**self.power, random)
        scale = len(norms) / len(self.kept)
        self.pattern[0] = [scale, len(norms), *self.kept]

    def learn(self):
        found = residue_norms(self.top.data, len(self.kept))
        before = self.norms[self.kept]
        self.norms[self.kept] = np.where(
            np.isnan(before), found, MEMORY * before + (1 - MEMORY) * found
        )


def net_with_inputs(experiment):
    """The net, with Input layers where searches and DropoutPattern layers
    stand. What nobody writes, as in the test net, keeps everything."""
    net = nets.solver.net(experiment)
    shape = (1, 2 + experiment.max_period // 2)
    inputs = input_layer(
        {f"pattern{i + 1}": shape for i in range(experiment.dropped_places)}
    )
    kept = [
        layer
        for layer in net["layer"]
        if layer["type"] not in ("Python", "DropoutPattern")
    ]
    return {**net, "layer": [inputs, *kept]}


def test_accuracy(caffe, solver, experiment, folder):
    """Of the weights so far, in a net of its own."""
    weights = str(folder / f"snapshot_iter_{solver.iter}.caffemodel")
    solver.snapshot()
    net = caffe.Net(str(folder / "net.prototxt"), caffe.TEST, weights=weights)
    batches = experiment.test_samples // experiment.test_batch_size
    found = [float(net.forward()["accuracy"]) for _ in range(batches)]
    return float(np.mean(found))


def train(caffe, experiment, choice, folder):
    """The test accuracies of one training, an epoch each."""
    (folder / "net.prototxt").write_text(to_text(net_with_inputs(experiment)))
    settings = nets.solver.solver(
        experiment, str(folder / "net.prototxt"), str(folder / "snapshot")
    )
    # Tests are ours: those of Caffe would only tell the log.
    settings.update(test_iter=[], test_interval=[], snapshot=0)
    (folder / "solver.prototxt").write_text(to_text(settings))
    solver = caffe.get_solver(str(folder / "solver.prototxt"))
    tops = [layer["name"] for layer in dropped_layers(experiment)]
    places = [
        Place(
            solver.net,
            f"pattern{number}",
            top,
            experiment.max_period,
            CHOICES[choice],
        )
        for number, top in enumerate(tops, 1)
    ]
    random = np.random.default_rng(experiment.seed)
    accuracies = []
    for iteration in tqdm(range(1, experiment.max_iter + 1), desc=choice):
        for place in places:
            place.draw(random)
        solver.step(1)
        for place in places:
            place.learn()
        if iteration % experiment.epoch_iterations == 0:
            accuracies.append(test_accuracy(caffe, solver, experiment, folder))
    return accuracies


def dropped_layers(experiment):
    """The layers whose outputs are dropped."""
    weighted = [
        layer
        for layer in nets.solver.net(experiment)["layer"]
        if layer["type"].startswith("ApproxDropout")
    ]
    return weighted[: experiment.dropped_places]


def parse_args(arguments):
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--profile", choices=PROFILES, default="cpu")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument(
        "--output", type=Path, default=ROOT / "runs/map_norms.jsonl"
    )
    return parser.parse_args(arguments)


def main(arguments=None):
    """Runs the command line."""
    options = parse_args(arguments)
    profile = PROFILES[options.profile]
    base = replace(
        registry.cifar10("row", RATE, size=profile.map_size, groups=1),
        **profile.training["cifar10"],
    )
    source = data_source(base)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    lines = whole_lines(options.output).splitlines()
    rows = map(json.loads, lines)
    done = [(row["choice"], row["experiment"]) for row in rows]
    os.environ.setdefault("GLOG_minloglevel", "1")
    caffe = import_caffe()
    for seed in range(1, options.seeds + 1):
        for choice in CHOICES:
            experiment = replace(base, seed=seed)
            fields = json.loads(json.dumps(asdict(experiment)))
            if (choice, fields) in done:
                continue
            with tempfile.TemporaryDirectory() as folder:
                accuracies = train(caffe, experiment, choice, Path(folder))
            row = {
                "choice": choice,
                "accuracies": accuracies,
                "experiment": fields,
                "data": source["used"],
                "command": command_line(),
                "machine": machine(),
                "commit": commit(),
                "date": datetime.datetime.now(datetime.timezone.utc).isoformat(
                    timespec="seconds"
                ),
            }
            with open(options.output, "a") as file:
                file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
