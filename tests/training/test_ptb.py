"""The language models of the registry: recipes, nets, metrics, report."""

import dataclasses
import json
import math

import numpy as np
import pytest

import nets.solver
import report_ptb
import training.run
from approx_dropout.caffe_log import CaffeLog
from data import ptb
from nets import registry
from paper.profiles import PROFILES

MODELS = [e for e in registry.EXPERIMENTS if e.workload == "ptb"]


def layers_of(key):
    return {
        layer["name"]: layer
        for layer in nets.solver.net(registry.find(key))["layer"]
    }


# Recipes


def test_an_epoch_is_every_word_once():
    """929,589 words in 20 streams: 46,480 rows; 1,328 and 2,324 whole
    iterations of 35 and 20 rows."""
    medium = registry.find("ptb/medium_conventional_0.5")
    assert medium.epoch_iterations == 1328
    assert medium.test_iter == [106, 118]  # 105.4 and 117.8
    small = registry.find("ptb/small_none")
    assert small.epoch_iterations == 2324
    assert small.max_iter == 13 * 2324


@pytest.mark.parametrize(
    "key, epochs, length, clip, rates",
    [
        ("small_none", 13, 20, 5, {1: 1, 4: 1, 5: 1 / 2, 13: 1 / 2**9}),
        ("small_row_0.5", 13, 35, 5, {4: 1, 5: 1 / 2}),
        ("medium_row_0.5", 39, 35, 5, {6: 1, 7: 0.8, 39: 0.8**33}),
        ("large_tile_0.7", 55, 35, 10, {14: 1, 15: 1 / 1.15, 55: 1.15**-41}),
        ("large3_none", 55, 35, 10, {14: 1, 55: 1.15**-41}),
    ],
)
def test_recipes(key, epochs, length, clip, rates):
    """Learning rates as Caffe's multistep policy gives them, at the first
    and at the last iteration of an epoch."""
    experiment = registry.find(f"ptb/{key}")
    solver = nets.solver.solver(experiment, "net", "snapshot")
    assert solver["max_iter"] == epochs * experiment.epoch_iterations
    assert solver["lr_policy"] == "multistep" and solver["momentum"] == 0
    assert solver["clip_gradients"] == clip
    assert solver["snapshot"] == solver["test_interval"]
    for epoch, rate in rates.items():
        end = epoch * experiment.epoch_iterations
        for iteration in end - experiment.epoch_iterations, end - 1:
            steps = sum(iteration >= step for step in solver["stepvalue"])
            found = solver["base_lr"] * solver["gamma"] ** steps
            assert found == pytest.approx(rate)
    loss = layers_of(f"ptb/{key}")["loss"]
    assert loss["loss_weight"] == length  # summed over time


def test_shorter_run_keeps_the_steps_that_it_reaches():
    experiment = registry.find("ptb/small_none")
    short = dataclasses.replace(experiment, epochs=5)
    assert short.decay_iterations == [4 * 2324]
    assert nets.solver.learning_rate(dataclasses.replace(short, epochs=4)) == {
        "base_lr": 1.0,
        "lr_policy": "fixed",
    }


def test_patterns_fit_the_layers():
    """Whole periods in the units, equally many kept in each row of tiles,
    equally many samples in each group."""
    for experiment in MODELS:
        if experiment.family == "RESIDUE":
            usual = (*[2] * len(experiment.hidden), 4)
            expected = usual if 0.5 in experiment.rates else 5
            assert experiment.groups == expected
            whole = experiment.max_period
            if experiment.pattern == "TILE":
                whole *= experiment.tile_size
            for units in experiment.hidden:
                assert units % whole == 0
            for groups in experiment.place_groups:
                assert experiment.batch_size % groups == 0
        else:
            assert experiment.groups == 1


def test_groups_divide_every_batch():
    for batch_size in PROFILES["paper"].batches:
        usual = registry.ptb("small", "row", 0.5, batch_size)
        assert not usual.variant
        for groups in usual.place_groups:
            assert batch_size % groups == 0
        # Whole pairs, which complement each other, where they can be.
        assert batch_size % 2 or not any(n % 2 for n in usual.place_groups)


def test_groups_are_one_number_or_one_for_each_place():
    five = registry.ptb("small", "row", 0.5, groups=5)
    assert (five.groups, five.key) == (5, "ptb/small_row_0.5_groups5")
    assert five.place_groups == (5, 5, 5)
    pair = registry.ptb("large3", "tile", 0.5, groups=(4, 5))
    assert pair.groups == pair.place_groups == (4, 4, 4, 5)
    assert pair.key == "ptb/large3_tile_0.5_groups4-5"
    usual = registry.ptb("small", "row", 0.5, groups=(2, 4))
    assert usual.key == "ptb/small_row_0.5"
    patterns = [
        each["dropout_pattern_param"].get("groups", 1)
        for each in nets.solver.net(pair)["layer"]
        if each["type"] == "DropoutPattern"
    ]
    assert patterns == [4, 4, 4, 5]
    with pytest.raises(ValueError, match=r"groups is \(2, 10\), must be one"):
        dataclasses.replace(pair, groups=(2, 10))


# Nets


def test_every_size_has_the_same_learnable_layers():
    learnable = "embed_param", "recurrent_param", "inner_product_param"
    for size in registry.PUBLISHED_SIZES:
        settings = registry.SIZES[size]
        found = {
            tuple(
                (layer["name"], str(layer[field]))
                for layer in nets.solver.net(experiment)["layer"]
                for field in learnable
                if field in layer
            )
            for experiment in MODELS
            if experiment.size == size
        }
        assert len(found) == 1
        assert len(*found) == 2 + len(settings["hidden"])


def test_bottoms_of_the_dropped_places():
    bottoms = {
        key: {
            name: layer["bottom"]
            for name, layer in layers_of(f"ptb/small_{key}").items()
            if name in ("drop1", "drop2", "lstm1", "lstm2", "softmax")
        }
        for key in ("conventional_0.5", "row_0.5", "tile_0.5")
    }
    assert bottoms == {
        "conventional_0.5": {
            "drop1": ["embed"],
            "lstm1": ["drop1", "cont"],
            "drop2": ["lstm1"],
            "lstm2": ["lstm1", "cont"],
            "softmax": ["lstm2"],
        },
        "row_0.5": {
            "drop1": ["embed", "pattern1"],
            "lstm1": ["drop1", "cont", "pattern2", "pattern1"],
            "lstm2": ["lstm1", "cont", "pattern3", "pattern2"],
            "softmax": ["lstm2", "pattern3"],
        },
        "tile_0.5": {
            "lstm1": ["embed", "cont", "pattern1"],
            "lstm2": ["lstm1", "cont", "pattern2"],
            "softmax": ["lstm2", "pattern3"],
        },
    }


def test_conventional_dropout_lies_at_the_same_places():
    layers = nets.solver.net(registry.find("ptb/large3_conventional_0.3"))
    dropped = [e for e in layers["layer"] if e["type"] == "Dropout"]
    assert [e["bottom"] for e in dropped] == [
        ["embed"], ["lstm1"], ["lstm2"], ["lstm3"],
    ]  # fmt: skip


# Metrics


def test_perplexity_and_accuracy_leave_padding_out():
    """7 words in 2 streams of 4 and 3, 3 rows per iteration: 12 positions, 5
    of them padded. Caffe's outputs are means over the 2 iterations."""
    experiment = dataclasses.replace(
        registry.find("ptb/small_none"),
        tokens=(100, 7, 100),
        batch_size=2,
        sequence_length=3,
    )
    log_loss = np.array([1.0, 2.0, 0.5, 4.0, 3.0, 0.25, 1.5])
    correct = np.array([1, 0, 1, 0, 0, 1, 0])
    target = ptb.batch_streams(np.arange(7), 2, 3)["target"]
    losses, shares = [], []
    for batch in target.reshape(2, 6).astype(int):
        words = batch[batch >= 0]
        losses.append(log_loss[words].sum() / 6)
        shares.append(correct[words].mean() * (len(words) / 6))
    measured = experiment.scores(
        "valid", {"loss": np.mean(losses), "correct": np.mean(shares)}
    )
    assert measured["loss"] == pytest.approx(12.25 / 7)
    assert measured["perplexity"] == pytest.approx(math.exp(12.25 / 7))
    assert measured["accuracy"] == pytest.approx(3 / 7)


@pytest.mark.parametrize("loss", [1e4, math.inf, math.nan])
def test_perplexity_beyond_numbers_is_infinite(loss):
    experiment = registry.find("ptb/small_none")
    outputs = {"loss": loss, "correct": 0}
    assert experiment.scores("test", outputs)["perplexity"] == math.inf


def test_text_of_another_shape_is_refused():
    source = {"batch_size": 20, "sequence_length": 35}
    with pytest.raises(ValueError, match="sequence_length 35.*needs 20"):
        registry.find("ptb/small_none").fitted(source)


def log_until(experiment, end):
    """Caffe's log of the iterations before `end`, as text."""
    lines = []
    for i in range(end):
        if i and i % experiment.test_interval == 0:
            for net in range(2):
                lines += [
                    f"Iteration {i}, Testing net (#{net})",
                    "    Test net output #0: correct = 0.1",
                    "    Test net output #1: loss = 5",
                ]
        if i % experiment.display == 0:
            lines.append(f"Iteration {i}, loss = 5")
    return "".join(f"{line}\n" for line in lines)


def test_language_model_goes_on_from_the_last_snapshot_logged(tmp_path):
    experiment = registry.find("ptb/small_none")
    source = {"used": "made up", "counts": {}}
    run = training.run.Run(experiment, tmp_path / "run", source, ["caffe"])
    run.folder.mkdir()
    assert run.prepare()[0] is None
    session = dict.fromkeys(training.run.SESSION_FIELDS, "before")
    metrics = {"wall_s": 7, "train": [], "tests": [], **session}
    run.metrics_file.write_text(json.dumps(metrics))
    for iteration in 2324, 3001, 4648, 5000:
        for end in "solverstate", "caffemodel":
            file = run.folder / f"snapshot_iter_{iteration}.{end}"
            file.write_bytes(b"\x08\x32")  # a state's iter
    run.log_file.write_text(log_until(experiment, 4651))  # of 4649 ... 4950
    state, log = run.prepare()
    assert state == run.folder / "snapshot_iter_4648.solverstate"
    assert run.earlier_wall_s == 7
    assert run.facts["earlier"] == [session]
    assert list(run.snapshots(log)) == [2324, 3001, 4648]
    run.remove_snapshots(CaffeLog(log_until(experiment, 3010)))
    assert list(run.snapshots(log)) == [2324, 3001, 4648]
    run.remove_snapshots(log)
    assert len(list(run.folder.glob("snapshot_iter_*"))) == 4
    assert list(run.snapshots(log)) == [4648]


# Report


def metrics_of(experiment, median_ms, perplexity):
    tests = [
        {
            "iteration": epoch * 1328,
            "epoch": epoch,
            "net": net,
            "split": split,
            "loss": math.log(perplexity / epoch),
            "perplexity": perplexity / epoch + net,
            "accuracy": 0.25,
        }
        for epoch in (1, 2)
        for net, split in enumerate(experiment.splits)
    ]
    return {
        "key": experiment.key,
        "experiment": dataclasses.asdict(experiment),
        "status": "finished",
        "diverged": False,
        "machine": {"cpu": "A", "cores": 2},
        "commit": "abc",
        "data": {"used": "Penn Treebank"},
        "drop_rate": {"expected": 0.5, "realised": 0.5},
        "timing": {"median_ms": median_ms, "quartiles_ms": None},
        "tests": tests,
        "train": [{"iteration": i, "loss": 9 - i / 100} for i in (0, 50)],
    }


def test_report(tmp_path):
    runs = {
        "ptb/small_conventional_0.5": (200, 250),
        "ptb/small_row_0.5": (125, 260),
        "ptb/medium_row_0.5": (500, 220),
    }
    for key, numbers in runs.items():
        experiment = registry.find(key)
        folder = tmp_path / experiment.name
        folder.mkdir()
        metrics = metrics_of(experiment, *numbers)
        (folder / "metrics.json").write_text(json.dumps(metrics))
    keys = [*runs, "ptb/small_tile_0.5"]
    text = report_ptb.report(tmp_path, list(map(registry.find, keys)))
    lines = [
        [cell.strip() for cell in line.strip("|\n").split("|")]
        for line in text.splitlines()
        if line.startswith("|")
    ]
    assert lines[3] == [
        "small", "ROW", "RESIDUE", "0.5", "2", "130.00", "131.00", "25.00",
        "25.00", "125.0", "1.60", "0.5000",
    ]  # fmt: skip
    assert lines[4][-3:] == ["500.0", "X", "0.5000"]  # no conventional run
    assert lines[5][4:] == ["X"] * 8
    rows = json.loads((tmp_path / "table.json").read_text())
    assert rows[1]["test_perplexity"] == 131
    assert (tmp_path / "table.md").read_text() == text
    assert (tmp_path / "curves.png").stat().st_size > 10_000


def test_report_without_any_run(tmp_path):
    text = report_ptb.report(tmp_path, [registry.find("ptb/small_none")])
    assert "| small | no dropout" in text
