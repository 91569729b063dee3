"""Feature maps kept by their norms: what is drawn, and a training by it."""

import dataclasses
import json

import numpy as np
import pytest

from data import cifar10
from nets import registry
from paper import map_norms
from paper.profiles import PROFILES
from project import import_caffe

EPOCHS = 8


def test_half_of_the_residues_by_weight():
    random = np.random.default_rng(0)
    weights = np.array([1e-9, 1, 1, 1e-9, 1e-9, 1])
    assert map_norms.kept_half(weights, random).tolist() == [1, 2, 5]
    even = [map_norms.kept_half(np.ones(6), random) for _ in range(2000)]
    assert np.bincount(np.concatenate(even)) / 2000 == pytest.approx(
        np.full(6, 0.5), abs=0.05
    )


def test_norms_are_those_of_the_kept_residues():
    """Maps of two kept residues in turn, so that each has every second."""
    maps = np.arange(2 * 6 * 4 * 3, dtype=float).reshape(2, 6, 4, 3)
    found = map_norms.residue_norms(maps, 2)
    wanted = [np.sqrt((maps[:, first::2] ** 2).mean()) for first in (0, 1)]
    assert found == pytest.approx(wanted)
    units = maps.reshape(24, 6)
    wanted = [np.sqrt((units[:, first::2] ** 2).mean()) for first in (0, 1)]
    assert map_norms.residue_norms(units, 2) == pytest.approx(wanted)


class FakeBlob:
    def __init__(self, data):
        self.data = data


def test_a_running_norm_decides_what_is_kept():
    """Residues whose maps put out more are kept the more often, or less."""
    strength = np.arange(1, 9)
    for power in (0, 1, -1):
        random = np.random.default_rng(1)
        net = type("Net", (), {})()
        net.blobs = {
            "pattern1": FakeBlob(np.zeros((1, 6))),
            "conv1": FakeBlob(np.zeros((1, 8, 2, 2))),
        }
        place = map_norms.Place(net, "pattern1", "conv1", 8, power)
        kept = np.zeros(8)
        for _ in range(2000):
            place.draw(random)
            scale, period, *residues = place.pattern[0]
            assert (scale, period, len(residues)) == (2, 8, 4)
            chosen = np.array(residues, int)
            kept[chosen] += 1
            maps = np.tile(strength[chosen], 2).reshape(1, 8, 1, 1)
            place.top.data = maps * np.ones((1, 8, 2, 2))
            place.learn()
        assert place.norms == pytest.approx(strength)
        assert np.sign(kept[-1] - kept[0] if power else 0) == power
        assert abs(kept / 2000 - 0.5).max() > (0.1 if power else 0)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "images"
    cifar10.prepare(folder, source="embedded")
    return folder


def test_trains_and_keeps_what_is_done(images, tmp_path, monkeypatch):
    small = dataclasses.replace(
        registry.cifar10("row", 0.5, size="small", groups=1),
        data=str(images),
        train_samples=1497,
        test_samples=300,
        base_lr=0.003,
    )
    monkeypatch.setattr(registry, "cifar10", lambda *args, **kwargs: small)
    profile = dataclasses.replace(
        PROFILES["cpu"], training={"cifar10": {"epochs": EPOCHS}}
    )
    monkeypatch.setitem(map_norms.PROFILES, "cpu", profile)
    output = tmp_path / "runs.jsonl"
    import_caffe()
    # As `python -m` has it; results name no folder of the machine.
    monkeypatch.setattr("sys.argv", [map_norms.__file__, "--seeds", "1"])
    map_norms.main(["--seeds", "1", "--output", str(output)])
    text = output.read_text()
    rows = [json.loads(line) for line in text.splitlines()]
    assert [row["choice"] for row in rows] == list(map_norms.CHOICES)
    for row in rows:
        assert len(row["accuracies"]) == EPOCHS
        assert row["accuracies"][-1] > 0.3  # chance: 0.1
        assert row["command"] == "scripts/paper/map_norms.py --seeds 1"
    # Another choice is another training.
    assert len({tuple(row["accuracies"]) for row in rows}) == 3
    map_norms.main(["--seeds", "1", "--output", str(output)])
    assert output.read_text() == text
