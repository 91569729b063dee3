"""Whole `caffe train` runs of tiny language models: each method learns, its
weights give the same perplexity in the net with Caffe's own layers, and what
is reported agrees with numpy's sums over the words.

Needs build/bin/caffe.
"""

import dataclasses
import json
import random
import re
import subprocess

import numpy as np
import pytest

import training.run
from data import ptb
from nets import registry
from project import ROOT

METHODS = ("conventional", "row", "tile", "row_period", "tile_period")
EPOCHS = 6
BATCH, LENGTH = 10, 6


def sentences(count, seed):
    """Lines of a toy language: a subject sets its verb's and its object's
    ending, so that there is something to remember."""
    choose = random.Random(seed)
    lines = []
    for _ in range(count):
        ending = choose.choice("abc")
        lines.append(
            f"the {choose.choice(['big', 'old', 'red'])} cat{ending} "
            f"sees{ending} a {choose.choice(['cup', 'toy'])}{ending}"
        )
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    """A folder with the prepared text; 283 and 318 words leave padding in
    the last iterations of valid and test."""
    folder = tmp_path_factory.mktemp("text")
    files = {}
    for seed, (split, count) in enumerate(
        [("train", 400), ("valid", 41), ("test", 46)]
    ):
        files[split] = folder / f"{split}.raw"
        files[split].write_text(sentences(count, seed))
    ptb.prepare(
        folder / "data", **files, batch_size=BATCH, sequence_length=LENGTH
    )
    return folder / "data"


def tiny(method, text, **changes):
    key = f"ptb/small_{method}" + ("" if method == "none" else "_0.5")
    settings = {
        "data": str(text),
        "hidden": (32, 32),
        "batch_size": BATCH,
        "sequence_length": LENGTH,
        "max_period": 4,
        "tile_size": 8,
        "lr_decay": 1,
        "epochs": EPOCHS,
        "display": 12,  # longer than the log's milliseconds
    }
    if method in registry.RESIDUES:
        settings["groups"] = (2, 2, 5)
    return dataclasses.replace(
        registry.find(key), **(settings | changes)
    )


@pytest.fixture(scope="module")
def trained(text, tmp_path_factory):
    """trained(method): metrics and folder of its run, made at first use."""
    runs = {}
    root = tmp_path_factory.mktemp("runs")

    def run(method):
        if method not in runs:
            folder = root / method
            metrics = training.run.train(tiny(method, text), folder)
            runs[method] = metrics, folder
        return runs[method]

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        yield run


def weights_of(folder):
    (weights,) = folder.glob("*.caffemodel")
    return weights


def measurements(metrics, split):
    return [test for test in metrics["tests"] if test["split"] == split]


def measured_in(net_folder, weights_folder, text, split):
    """What the one run's net measures with the other's weights, by `caffe
    test` on a whole split."""
    source = json.loads((text / "source.json").read_text())
    experiment = tiny("none", text).fitted(source)
    index = experiment.splits.index(split)
    result = subprocess.run(
        [
            training.run.CAFFE,
            "test",
            f"--model={net_folder / 'net.prototxt'}",
            f"--weights={weights_of(weights_folder)}",
            f"--iterations={experiment.test_iter[index]}",
            f"--stage={split}",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    means = re.findall(r"\] (loss|correct) = (\S+)", result.stderr)
    outputs = {name: float(value) for name, value in means}
    return experiment.scores(split, outputs)


@pytest.mark.parametrize("method", METHODS)
def test_training_learns(trained, text, method):
    metrics, folder = trained(method)
    losses = [point["loss"] for point in metrics["train"]]
    quarter = len(losses) // 4
    assert metrics["status"] == "finished" and not metrics["diverged"]
    assert np.mean(losses[-quarter:]) < 0.85 * np.mean(losses[:quarter])
    for split in "valid", "test":
        tests = measurements(metrics, split)
        assert [test["epoch"] for test in tests] == [*range(1, EPOCHS + 1)]
        assert tests[-1]["perplexity"] < tests[0]["perplexity"]
        assert tests[-1]["perplexity"] < 6  # of 20 words
        assert tests[-1]["accuracy"] > 0.5
    assert metrics["timing"]["median_ms"] > 0
    assert len(list(folder.glob("snapshot_*"))) == 2  # the last ones only
    assert "Gradient clipping" not in (folder / "log.txt").read_text()


@pytest.mark.parametrize("method", METHODS[1:])
def test_drop_rate_is_achieved(trained, method):
    rates = trained(method)[0]["drop_rate"]
    assert set(rates["layers"]) == {"pattern1", "pattern2", "pattern3"}
    assert rates["expected"] == pytest.approx(0.5, abs=1e-3)
    tolerance = 0.06 if method.endswith("period") else 1e-6
    assert rates["realised"] == pytest.approx(0.5, abs=tolerance)


@pytest.mark.parametrize("method", METHODS[1:])
def test_weights_go_both_ways(trained, text, method):
    """A trained net and the stock net measure alike with its weights, and
    with the stock net's."""
    folder, stock = trained(method)[1], trained("conventional")[1]
    for weights in folder, stock:
        metrics = trained(method if weights is folder else "conventional")[0]
        for split in "valid", "test":
            last = measurements(metrics, split)[-1]
            for net in folder, stock:
                found = measured_in(net, weights, text, split)
                assert found["perplexity"] == pytest.approx(
                    last["perplexity"], rel=1e-4
                )
                assert found["accuracy"] == pytest.approx(
                    last["accuracy"], abs=1e-4
                )


def test_reported_is_what_numpy_sums_over_the_words(trained, text):
    """Scores of every position from pycaffe; the words to predict from the
    text itself, not from the prepared targets."""
    import caffe

    metrics, folder = trained("row")
    caffe.set_mode_cpu()
    vocabulary = (text / "vocab.txt").read_text().split()
    for split in "valid", "test":
        net = caffe.Net(
            str(folder / "net.prototxt"),
            caffe.TEST,
            stages=[split],
            weights=str(weights_of(folder)),
        )
        raw = (text.parent / f"{split}.raw").read_text()
        words = raw.replace("\n", " <eos> ").split()
        ids = np.array([vocabulary.index(word) for word in words])
        streams = np.array_split(ids, BATCH)
        scores = []
        for _ in range(-(-len(streams[0]) // LENGTH)):
            net.forward()
            scores.append(net.blobs["softmax"].data.astype(float))
        scores = np.concatenate(scores)  # (rows, BATCH, words)
        assert len(streams[-1]) < len(scores)  # there is padding
        own = np.concatenate(
            [scores[: len(s), n] for n, s in enumerate(streams)]
        )
        log_loss = np.log(np.exp(own).sum(1)) - own[np.arange(len(ids)), ids]
        last = measurements(metrics, split)[-1]
        assert last["perplexity"] == pytest.approx(
            np.exp(log_loss.mean()), rel=1e-4
        )
        assert last["accuracy"] == pytest.approx(
            (own.argmax(1) == ids).mean(), abs=1e-5
        )


def test_resumed_run_is_the_same_run(trained, text, tmp_path):
    """One epoch, then the rest from its snapshot, with all patterns."""
    whole = trained("row")[0]
    folder = tmp_path / "run"
    training.run.train(tiny("row", text, epochs=1), folder)
    source = json.loads((text / "source.json").read_text())
    run = training.run.Run(tiny("row", text).fitted(source), folder, source, [])
    for path, content in run.settings.items():
        path.write_text(content)
    run.done_file.unlink()
    resumed = training.run.train(tiny("row", text), folder)
    assert f"--snapshot={folder}/snapshot_iter_" in resumed["command"]
    assert resumed["tests"] == whole["tests"]
