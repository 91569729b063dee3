"""The table and the picture of classifiers' runs, on made-up metrics."""

import dataclasses
import json

import pytest

from nets import registry
from reports import classifiers, curves


def metrics_of(experiment, median_ms, accuracy, **changes):
    return {
        "key": experiment.key,
        "experiment": dataclasses.asdict(experiment),
        "status": "finished",
        "diverged": False,
        "machine": {"cpu": "A", "cores": 2},
        "commit": "abc",
        "data": {"used": "MNIST"},
        "drop_rate": {"expected": 0.5, "realised": 0.50012},
        "timing": {"median_ms": median_ms, "quartiles_ms": [39.96, 41.04]},
        "tests": [
            {"iteration": 469, "epoch": 1, "accuracy": 0.9, "loss": 0.3},
            {"iteration": 938, "epoch": 2, "accuracy": accuracy, "loss": 0.2},
        ],
        "train": [
            {"iteration": 0, "loss": 2.3},
            {"iteration": 900, "loss": 0.25},
        ],
        **changes,
    }


@pytest.fixture
def report(tmp_path):
    """report(runs, keys): the table and its JSON, {key: row}, from runs
    {key: (median_ms, accuracy, changes of the metrics)}."""

    def make(runs, keys):
        for key, (median_ms, accuracy, changes) in runs.items():
            experiment = registry.find(key)
            folder = tmp_path / experiment.name
            folder.mkdir()
            metrics = metrics_of(experiment, median_ms, accuracy, **changes)
            (folder / "metrics.json").write_text(json.dumps(metrics))
        text = classifiers.report(tmp_path, list(map(registry.find, keys)))
        rows = json.loads((tmp_path / "table.json").read_text())
        assert (tmp_path / "table.md").read_text() == text
        assert (tmp_path / "curves.png").stat().st_size > 10_000
        return text, {row["key"]: row for row in rows}

    return make


def line_of(text, *words):
    lines = [line for line in text.splitlines() if line.startswith("|")]
    for word in words:
        lines = [line for line in lines if f" {word} " in line]
    assert len(lines) == 1
    return [cell.strip() for cell in lines[0].strip("|").split("|")]


def test_report_compares_with_conventional_of_the_same_rate(report):
    text, rows = report(
        {
            "mnist/none": (90, 0.96, {}),
            "mnist/conventional_0.5": (81, 0.97, {}),
            "mnist/conventional_0.7": (200, 0.95, {}),
            "mnist/row_0.5": (40.5, 0.9725, {}),
        },
        ["mnist/none", "mnist/conventional_0.5", "mnist/row_0.5"],
    )
    assert rows["mnist/row_0.5"]["speed_up"] == 2
    assert rows["mnist/conventional_0.5"]["speed_up"] == 1
    assert rows["mnist/none"]["speed_up"] is None
    assert line_of(text, "ROW") == [
        "ROW", "RESIDUE", "0.5", "2", "97.25", "40.5 (40.0-41.0)", "2.00",
        "0.5001",
    ]  # fmt: skip
    assert "Marked *" not in text


def test_report_marks_what_is_missing(report):
    text, rows = report(
        {
            "mnist/row_0.5": (40, 0.97, {}),
            "mnist/tile_0.5": (40, 0.9, {"status": "interrupted"}),
        },
        ["mnist/row_0.5", "mnist/tile_0.5", "mnist/row_period_0.5"],
    )
    missing = line_of(text, "PERIOD")
    assert missing == ["ROW", "PERIOD", "0.5", "X", "X", "X", "X", "X"]
    assert line_of(text, "ROW", "RESIDUE")[6] == "X"  # no conventional run
    assert line_of(text, "TILE")[3:5] == ["X", "X"]
    assert "mnist/tile_0.5: interrupted." in text
    assert rows["mnist/row_period_0.5"]["status"] == "missing"


def test_report_without_any_run(report):
    text, _ = report({}, ["mnist/none", "mnist/row_0.5"])
    assert line_of(text, "ROW")[3:] == ["X"] * 5


def test_report_flags_runs_under_other_conditions(report):
    text, _ = report(
        {
            "mnist/conventional_0.5": (80, 0.97, {}),
            "mnist/row_0.5": (40, 0.97, {"commit": "def"}),
            "mnist/tile_0.5": (40, 0.97, {"machine": {"cpu": "B"}}),
        },
        ["mnist/conventional_0.5", "mnist/row_0.5", "mnist/tile_0.5"],
    )
    assert line_of(text, "ROW")[0] == "ROW *"
    assert line_of(text, "TILE")[0] == "TILE *"
    assert "mnist/row_0.5: commit def against abc." in text
    assert "mnist/tile_0.5: machine {'cpu': 'B'} against" in text


def test_report_shows_divergence(report):
    changes = {
        "diverged": True,
        "train": [{"iteration": 0, "loss": None}],
    }
    runs = {"mnist/row_0.5": (40, 0.1135, changes)}
    text, _ = report(runs, ["mnist/row_0.5"])
    assert line_of(text, "ROW")[4] == "11.35 diverged"


def test_labels_are_spread():
    gap = curves.LABEL_GAP
    moved = curves.spread([0.9, 0.2, 1.0, 0.99])
    order = sorted(moved)
    assert [moved.index(height) for height in order] == [1, 0, 3, 2]
    assert order[-1] <= 1 and order[0] == 0.2
    assert all(b - a > gap - 1e-9 for a, b in zip(order, order[1:]))
    assert curves.spread([]) == []
