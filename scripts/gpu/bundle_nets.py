"""Writes a bundle's nets and solvers, which need no Python, and cases.json,
which tells gpu/check.py what to time and what to train.

Usage, with scripts/ in PYTHONPATH: python3 -m gpu.bundle_nets FOLDER
"""

import dataclasses
import json
import sys
from pathlib import Path

import nets.solver
from gpu.cxx_tests import suites_of
from nets import registry
from nets.parts import layer
from nets.rewrite import for_timing, input_layer, without_python
from nets.text import to_text
from project import ROOT, commit
from training.run import data_source

RATES = (0.5, 0.7)
METHODS = ("conventional", "row", "tile")
MNIST_ITERATIONS = 1876  # four epochs
PTB_ITERATIONS = 1328  # one epoch
OUR_TESTS = "caffe_patches/overlay/src/caffe/test"


def perceptron_inputs(experiment):
    """The layers that feed an MLP, and step_times' --inputs for them."""
    count = experiment.batch_size
    shapes = {"data": (count, 1, 28, 28), "label": (count,)}
    return [input_layer(shapes)], "data:2,label:10"


def language_inputs(experiment):
    """The same for a language model, always within its text."""
    shape = experiment.sequence_length, experiment.batch_size
    cont = layer(
        "cont",
        "DummyData",
        [],
        ["cont"],
        dummy_data_param={
            "shape": [{"dim": list(shape)}],
            "data_filler": [{"type": "constant", "value": 1}],
        },
    )
    words = experiment.vocabulary
    return (
        [input_layer({"token": shape, "target": shape}), cont],
        f"token:{words},target:{words}",
    )


def write(folder, name, net, solver):
    """Writes net and solver; the solver's path within the folder."""
    files = {
        f"nets/{name}.prototxt": without_python(net),
        f"nets/solver_{name}.prototxt": solver
        | {"net": f"nets/{name}.prototxt"},
    }
    for path, message in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(to_text(message))
    return f"nets/solver_{name}.prototxt"


def timed_case(folder, title, base, inputs_of, rates, **settings):
    """A table of step times: one net, all methods and rates.

    base: key of an experiment up to the method; settings: what is changed.
    """
    name = title.replace(" ", "_")
    runs = []
    for rate in rates:
        for method in METHODS:
            experiment = dataclasses.replace(
                registry.find(f"{base}{method}_{rate:g}"), **settings
            )
            layers, inputs = inputs_of(experiment)
            net = for_timing(nets.solver.net(experiment), layers)
            solver = nets.solver.timed_solver(experiment)
            stock = method == "conventional"
            runs.append(
                {
                    "label": f"{'stock' if stock else method} {rate:g}",
                    "stock": stock,
                    "solver": write(
                        folder, f"{name}_{method}_{rate:g}", net, solver
                    ),
                }
            )
    fields = ("hidden", "batch_size", "base_lr", "momentum", "clip_gradients")
    return {
        "name": title,
        "inputs": inputs,
        "runs": runs,
        "torch": {
            "workload": experiment.workload,
            "rate": rates[0],
            "sequence_length": getattr(experiment, "sequence_length", 0),
            "vocabulary": getattr(experiment, "vocabulary", 0),
            "init": getattr(experiment, "init", 0),
            **{field: getattr(experiment, field) for field in fields},
        },
    }


def short(key, iterations):
    """The experiment on the prepared data, ending after this many iterations,
    at a constant learning rate."""
    experiment = registry.find(key)
    return dataclasses.replace(
        experiment.fitted(data_source(experiment)),
        epochs=iterations,
        flat_epochs=iterations,
        iteration_limit=iterations,
    )


def training(folder, experiment, tolerance):
    """A training that ends with one test.

    tolerance: how much worse than stock's the last test may be, of accuracy
    (mnist) or, as a factor, of perplexity (ptb).
    """
    key = experiment.key
    solver = nets.solver.solver(experiment, "", "") | {
        "test_interval": experiment.max_iter,
        "snapshot": 0,
        "snapshot_after_train": False,
    }
    del solver["snapshot_prefix"]
    # Caffe's test loss is a mean over positions, some of which are padding.
    positions_a_word = [
        experiment.scores(split, {"loss": 1, "correct": 1})["loss"]
        for split in experiment.splits
        if experiment.workload == "ptb"
    ]
    return {
        "name": key,
        "stock": experiment.method == "conventional",
        "solver": write(
            folder, key.replace("/", "_"), nets.solver.net(experiment), solver
        ),
        "splits": experiment.splits,
        "positions_a_word": positions_a_word,
        "tolerance": tolerance,
    }


def cases(folder):
    """Writes all nets; what cases.json holds."""
    steps = [
        timed_case(
            folder,
            f"MLP {units} batch {batch}",
            "mnist/",
            perceptron_inputs,
            RATES,
            hidden=(units, units),
            batch_size=batch,
        )
        | {"rounds": 10, "steps": number}
        for units in (2048, 4096)
        for batch, number in ((128, 500), (1024, 100))
    ]
    steps += [
        timed_case(folder, f"LSTM 2x{units}", f"ptb/{size}_", language_inputs,
                   RATES)
        | {"rounds": 5, "steps": 20}
        for size, units in (("medium", 650), ("large", 1500))
    ]
    trainings = [
        training(folder, short(f"{workload}{method}_0.5", limit), tolerance)
        for workload, limit, tolerance in (
            ("mnist/", MNIST_ITERATIONS, 0.03),
            ("ptb/small_", PTB_ITERATIONS, 1.3),
        )
        for method in METHODS
    ]
    sources = {
        some.data: data_source(some)["used"]
        for some in map(registry.find, ("mnist/none", "ptb/medium_none"))
    }
    return {
        "commit": commit(),
        "data": sources,
        "our_suites": suites_of(ROOT / OUR_TESTS),
        "steps": steps,
        "trainings": trainings,
    }


def main():
    folder = Path(sys.argv[1])
    text = json.dumps(cases(folder), indent=1) + "\n"
    (folder / "cases.json").write_text(text)


if __name__ == "__main__":
    main()
