"""The tables on the accuracy of dropped feature maps."""

import json

from paper import figures, map_figures


def cell(point, series, **values):
    mean = sum(values.values()) / len(values)
    values = {seed[1:]: value for seed, value in values.items()}
    return {"point": point, "series": series, "mean": mean, "values": values}


def test_groups_are_compared_seed_by_seed(monkeypatch):
    cells = []
    for rate in map_figures.RATES:
        cells += [
            cell(f"{rate}, 1", "row", s1=60, s2=70),
            cell(f"{rate}, 4", "row", s1=80, s2=90.5),
            cell(f"{rate}, 4", "conventional", s1=99, s2=98),
            cell(f"{rate}, 64", "row", s2=90, s1=81),
        ]
    report = {"studies": {"lenet": cells, "cifar10": cells}}
    monkeypatch.setattr(figures, "results", lambda path: report)
    line = "| 0.1 | 98.50 | 65.00 | 85.25 | 85.50 | −0.25 [−9.78, +9.28] |"
    assert line in map_figures.map_accuracies()


def test_choices_are_compared_with_an_even_one(tmp_path, monkeypatch):
    rows = [
        {"choice": choice, "accuracies": [0.1, last],
         "experiment": {"seed": seed}}
        for choice, *all_last in [("evenly", 0.5, 0.6), ("weak", 0.4, 0.6)]
        for seed, last in enumerate(all_last, 1)
    ]  # fmt: skip
    (tmp_path / "feature_maps").mkdir()
    path = tmp_path / "feature_maps/by_norm.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    monkeypatch.setattr(figures, "RESULTS", tmp_path)
    assert map_figures.map_norm_accuracies().splitlines()[2:] == [
        "| evenly | 2 | 55.00 | |",
        "| strong | 0 | X | X |",
        "| weak | 2 | 50.00 | −5.00 [−68.53, +58.53] |",
    ]
