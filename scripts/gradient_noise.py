#!/usr/bin/env python3
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
import contextlib
import dataclasses
import datetime
import json
import os
import re
import shlex
import sys
import tempfile
from pathlib import Path

import numpy as np
from tqdm import tqdm

import bundle_nets
import experiments
import make_prototxt
import networks
import provenance
import train
from experiments import ROOT
from workloads import groups_text

# Before scripts/, pycaffe has a train.py of its own.
sys.path += [str(ROOT / "python_layers"), str(ROOT / "build/caffe/python")]
COLUMNS = {
    "mask variance": "mask_variance",
    "± s.e.": "mask_variance_error",
    "batch variance": "batch_variance",
    "squared mean": "squared_mean",
    "L2 norm": "norm",
}


def loaded(net, seed, **weights):
    """The pycaffe net in the TRAIN phase. Data files are found from ROOT.
    seed: of all that it draws."""
    import caffe

    caffe.set_random_seed(seed)
    with tempfile.NamedTemporaryFile("w", suffix=".prototxt") as file:
        file.write(make_prototxt.to_text(net))
        file.flush()
        with contextlib.chdir(ROOT):
            return caffe.Net(file.name, caffe.TRAIN, **weights)


def batches(experiment, count):
    """The first batches of the training data, {blob: values} each."""
    layers = [
        each
        for each in networks.net(experiment)["layer"]
        if str(each.get("include", {}).get("phase")) == "TRAIN"
    ]
    net = loaded({"name": "data", "layer": layers}, seed=1)
    found = []
    for _ in range(count):
        net.forward()
        batch = {name: blob.data.copy() for name, blob in net.blobs.items()}
        if "cont" in batch:
            batch["cont"][0] = 0
        found.append(batch)
    return found


def gradient(net, batch):
    """The gradient of one pass, all parameters in one vector."""
    for name, values in batch.items():
        net.blobs[name].data[...] = values
    net.clear_param_diffs()
    net.forward()
    net.backward()
    return np.concatenate(
        [
            blob.diff.ravel()
            for layer in net.layers
            if layer.type not in ("Python", "DropoutPattern")
            for blob in layer.blobs
        ]
    )


def noise(gradients, draws):
    """The estimates of the docstring.

    gradients: draws gradients of the first batch, as many of the next, ...;
    two draws and two batches at least. Any iterable of vectors.
    """
    mask_variances, squares, total = [], [], 0
    inner = norms = 0
    for index, g in enumerate(gradients):
        square = float(np.dot(g, g))
        norms += np.sqrt(square)
        if index % draws == 0:
            of_batch, inner = np.zeros_like(g), 0
        of_batch += g
        inner += square
        if index % draws == draws - 1:
            of_batch /= draws
            square = float(np.dot(of_batch, of_batch))
            mask_variances.append((inner - draws * square) / (draws - 1))
            squares.append(square)
            total = total + of_batch
    count = len(squares)
    mean = total / count
    square = float(np.dot(mean, mean))
    between = (sum(squares) - count * square) / (count - 1)
    mask_variance = float(np.mean(mask_variances))
    return {
        "mask_variance": mask_variance,
        "mask_variance_error": float(
            np.std(mask_variances, ddof=1) / np.sqrt(count)
        ),
        "batch_variance": between - mask_variance / draws,
        "squared_mean": square - between / count,
        "norm": norms / (count * draws),
    }


def measured(experiment, weights, count, draws, seed):
    """The estimates for one net; shows progress."""
    data = batches(experiment, count)
    inputs = bundle_nets.input_layer(
        {name: values.shape for name, values in data[0].items()}
    )
    net = bundle_nets.for_timing(networks.net(experiment), [inputs])
    net = loaded(net, seed, weights=str(weights))
    with tqdm(desc=experiment.key, total=count * draws, leave=False) as bar:

        def passes():
            for batch in data:
                for _ in range(draws):
                    yield gradient(net, batch)
                    bar.update()

        return noise(passes(), draws)


def variants(keys, groups, alone):
    """The experiments of the keys, RESIDUE's with each number of groups and,
    if alone, dropped at one place at a time."""
    for key in keys:
        experiment = experiments.find(key)
        if experiment.family != "RESIDUE":
            yield experiment
            continue
        for number in groups or [experiment.groups]:
            grouped = dataclasses.replace(experiment, groups=number)
            yield grouped
            for place, rate in enumerate(grouped.rates if alone else ()):
                rates = [0] * len(grouped.rates)
                rates[place] = rate
                yield dataclasses.replace(grouped, rates=tuple(rates))


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
        for experiment in variants(
            options.keys, options.groups, options.alone
        ):
            source = train.data_source(experiment)
            estimates = measured(
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
    except (train.TrainingError, ValueError) as error:
        print(f"gradient_noise.py: {error}", file=sys.stderr)
        return 1
    if options.output:
        result = {
            "command": shlex.join(sys.argv),
            "machine": provenance.machine(),
            "commit": provenance.commit(),
            "date": datetime.datetime.now(datetime.timezone.utc).isoformat(
                timespec="seconds"
            ),
            "batches": options.batches,
            "draws": options.draws,
            "seed": options.seed,
            "rows": rows,
        }
        train.write_whole(
            options.output, json.dumps(result, indent=1) + "\n"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
