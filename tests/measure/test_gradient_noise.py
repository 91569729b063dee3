"""scripts/measure_noise.py: its estimates on made-up gradients, and what it
finds in a tiny language model. Needs build/caffe."""

import dataclasses
import json

import numpy as np
import pytest

import measure_noise
import nets.solver
from data import ptb
from measure import noise
from nets import registry

BATCH, LENGTH = 10, 6
SETTINGS = {
    "vocabulary": 42,  # of the text below
    "hidden": (32, 32),
    "batch_size": BATCH,
    "sequence_length": LENGTH,
    "max_period": 4,
    "tile_size": 8,
}


def test_estimates_are_unbiased():
    random = np.random.default_rng(0)
    count, draws, size = 4000, 3, 20
    mean = np.full(size, 0.5)

    def gradients():
        for _ in range(count):
            of_batch = mean + random.normal(0, 1, size)
            for _ in range(draws):
                yield of_batch + random.normal(0, 2, size)

    found = noise.noise(gradients(), draws)
    assert found["squared_mean"] == pytest.approx(5, abs=0.2)
    assert found["batch_variance"] == pytest.approx(20, abs=1)
    error = found["mask_variance_error"]
    assert found["mask_variance"] == pytest.approx(80, abs=5 * error)
    # A variance of chi-squared values: 2 (2 sigma^2)^2 / 2 for each of size.
    assert error == pytest.approx(
        np.sqrt(size * 2 * 4**2 / (draws - 1) / count), rel=0.1
    )


def test_estimates_of_few_gradients():
    """Two batches of two draws in the plane, by hand."""
    gradients = np.array([[1, 0], [3, 0], [1, 4], [3, 8]], float)
    found = noise.noise(gradients, 2)
    # The batches' means are (2, 0) and (2, 6), their variances 2 and 10.
    assert found["mask_variance"] == 6
    assert found["mask_variance_error"] == pytest.approx(4)
    assert found["batch_variance"] == 18 - 6 / 2
    assert found["squared_mean"] == 13 - 18 / 2
    assert found["norm"] == pytest.approx((4 + 17**0.5 + 73**0.5) / 4)


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """Weights of the tiny language model, which the keys now name."""
    monkeypatch.setenv("GLOG_minloglevel", "2")
    often = 0.7 ** np.arange(40)  # so that there is something to learn
    numbers = np.r_[
        np.random.default_rng(0).choice(40, 3000, p=often / often.sum()),
        np.arange(40),
    ]
    text = tmp_path / "text.raw"
    text.write_text(" ".join(f"w{number}" for number in numbers) + "\n")
    ptb.prepare(
        tmp_path / "data", train=text, valid=text, test=text,
        batch_size=BATCH, sequence_length=LENGTH,
    )
    find = registry.find

    def found(key):
        return dataclasses.replace(
            find(key), data=str(tmp_path / "data"), **SETTINGS
        )

    monkeypatch.setattr(registry, "find", found)
    weights = tmp_path / "tiny.caffemodel"
    net = nets.solver.net(found("ptb/small_none"))
    noise.loaded(net, seed=1).save(str(weights))
    return weights


def test_noise_of_a_tiny_language_model(tiny, tmp_path, capsys):
    keys = ["small_none", "small_conventional_0.5", "small_row_0.5"]
    status = measure_noise.main(
        ["--weights", str(tiny), "--output", str(tmp_path / "noise.json")]
        + ["--groups", "1", "2", "2-2-5", "--draws", "20"]
        + [f"ptb/{key}" for key in keys]
    )
    assert status == 0
    result = json.loads((tmp_path / "noise.json").read_text())
    shown = capsys.readouterr().out.splitlines()
    assert len(shown) == 1 + len(result["rows"]) == 6
    none, conventional, one, two, five = result["rows"]
    assert [row["groups"] for row in (one, two, five)] == ["1", "2", "2-2-5"]
    # Without dropout all passes of a batch are the same.
    assert abs(none["mask_variance"]) < 1e-4 * none["squared_mean"]
    assert none["batch_variance"] > 0
    # One pattern for all words adds most. Of two groups that complement each
    # other the errors cancel, nearly as with a mask for each word.
    assert conventional["mask_variance"] > 0
    assert two["mask_variance"] < 1.5 * conventional["mask_variance"]
    assert one["mask_variance"] > 3 * two["mask_variance"]
    # None of them changes what is learned on the average, or not by much.
    for row in result["rows"]:
        assert row["squared_mean"] == pytest.approx(
            none["squared_mean"], rel=0.3
        )


def test_places_are_dropped_alone(tiny, tmp_path):
    arguments = ["--weights", str(tiny), "--output", str(tmp_path / "n.json")]
    arguments += ["--alone", "--draws", "20", "ptb/small_row_0.5"]
    assert measure_noise.main(arguments + ["--groups", "1"]) == 0
    every, *alone = json.loads((tmp_path / "n.json").read_text())["rows"]
    assert [row["key"] for row in alone] == [
        f"ptb/small_row_{rates}" for rates in ("0.5_0_0", "0_0.5_0", "0_0_0.5")
    ]
    # The units in front of the softmax move every word's score.
    variances = [row["mask_variance"] for row in alone]
    assert max(variances[:2]) < variances[2] <= 1.5 * every["mask_variance"]


def test_bad_input_is_refused(tiny, capsys):
    keys = ["ptb/small_row_0.5"]
    assert measure_noise.main(["--weights", "/nowhere", *keys]) == 1
    assert "there is no file /nowhere" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        measure_noise.main(["--weights", str(tiny), "--draws", "1", *keys])
    assert "--draws: 1 is less than 2" in capsys.readouterr().err
    arguments = [*keys, "--weights", str(tiny), "--groups", "2-5"]
    assert measure_noise.main(arguments) == 1
    assert "one for each of the 3 rates" in capsys.readouterr().err
    arguments[-1] = "2-0-5"
    assert measure_noise.main(arguments) == 1
    assert "is 2-0-5, each number must be at" in capsys.readouterr().err
    arguments[-1] = "two"
    with pytest.raises(SystemExit):
        measure_noise.main(arguments)
    assert "--groups: 'two' is no number" in capsys.readouterr().err
