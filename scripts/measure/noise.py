"""How much noise dropout adds to a training's gradients; the estimates are
those of measure_noise.py."""

import contextlib
import dataclasses
import tempfile

import numpy as np
from tqdm import tqdm

import nets.solver
from nets import registry
from nets.rewrite import for_timing, input_layer
from nets.text import to_text
from project import ROOT, import_caffe


def loaded(net, seed, **weights):
    """The pycaffe net in the TRAIN phase. Data files are found from ROOT.
    seed: of all that it draws."""
    caffe = import_caffe()
    caffe.set_random_seed(seed)
    with tempfile.NamedTemporaryFile("w", suffix=".prototxt") as file:
        file.write(to_text(net))
        file.flush()
        with contextlib.chdir(ROOT):
            return caffe.Net(file.name, caffe.TRAIN, **weights)


def batches(experiment, count):
    """The first batches of the training data, {blob: values} each."""
    layers = [
        each
        for each in nets.solver.net(experiment)["layer"]
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
    """Mask and batch variance and squared mean, see measure_noise.py.

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


def estimates(experiment, weights, count, draws, seed):
    """The estimates for one net; shows progress."""
    data = batches(experiment, count)
    inputs = input_layer(
        {name: values.shape for name, values in data[0].items()}
    )
    net = for_timing(nets.solver.net(experiment), [inputs])
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
        experiment = registry.find(key)
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
