"""The report on the paper's tables, from made-up metrics."""

import dataclasses
import json
import re

import pytest

import training.run
from approx_dropout.search import search
from approx_dropout.state import PatternState
from paper import collect, page, studies, tables
from paper.profiles import PROFILES
from training import drop_rates

PROFILE = PROFILES["quick"]
MACHINE = {"cpu": "A", "cores": 2}
COUNTS = {"train": 300, "test": 40}


def layers_of(experiment):
    if not experiment.pattern:
        return {}
    state = PatternState(
        "pattern1",
        experiment.family,
        search(
            experiment.rates[0],
            experiment.family,
            experiment.max_period,
            lambda3=experiment.lambda3,
        ).probability,
        experiment.seed,
        20,
    )
    return {
        f"pattern{place}": drop_rates.layer_rates(state, groups)
        for place, groups in enumerate(experiment.place_groups, 1)
    }


def metrics_of(experiment, accuracy):
    split = {"split": "test"} if experiment.workload == "ptb" else {}
    test = {"iteration": 45, "epoch": 3, "net": 0, **split}
    test |= {"accuracy": accuracy, "perplexity": 100 * accuracy}
    first = {"epoch": 1, "accuracy": 0.1, "perplexity": 900}
    return {
        "experiment": dataclasses.asdict(experiment),
        "status": "finished",
        "diverged": False,
        "machine": MACHINE,
        "commit": "abc",
        "data": {"used": "made-up words", "counts": COUNTS},
        "drop_rate": {"realised": 0.4987, "layers": layers_of(experiment)},
        "tests": [{**test, **first}, test],
    }


def race_of(nets, speed_ups):
    return {
        "baseline_build": "caffe-stock",
        "machine": MACHINE,
        "date": "2026-11-22T10:00:00+00:00",
        "commit": "abc",
        "rounds": 2,
        "steps": 5,
        "others_busy_cores": 0.251,
        "experiments": {
            net.key: dataclasses.asdict(net) for net in nets.values()
        },
        "rows": [
            {
                "case": nets[series].key,
                "wall_ms": 80 / speed_up,
                "speed_up": speed_up,
                "speed_up_min": speed_up - 0.25,
                "speed_up_max": speed_up + 0.5,
                "peak_bytes": 3e8 / speed_up,
            }
            for series, speed_up in speed_ups.items()
        ],
    }


def write_json(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


@pytest.fixture
def report(tmp_path, monkeypatch):
    """report(accuracies, speed_ups): the report's folder, from runs of Table
    II's nets at rate 0.5, or those of point: accuracies {series: by seed},
    speed_ups {series}."""
    monkeypatch.setattr(studies, "ROOT", tmp_path)
    monkeypatch.setattr(page, "ROOT", tmp_path)
    monkeypatch.setattr(training.run, "ROOT", tmp_path)
    table2 = studies.table2(PROFILE).points[1]

    def make(accuracies, speed_ups, point=table2):
        for series, values in accuracies.items():
            for seed, value in enumerate(values, 1):
                run = dataclasses.replace(point.trained[series], seed=seed)
                folder = studies.run_folder(PROFILE, run)
                write_json(folder / "metrics.json", metrics_of(run, value))
        if speed_ups:
            path = studies.race_file(PROFILE, point.timed["conventional"].key)
            write_json(path, race_of(point.timed, speed_ups))
        return page.write(PROFILE)

    return make


def lines_of(text, title, *words):
    """Cells of the lines below a title that hold all words as cells."""
    part = text.split(f"## {title}")[1].split("\n## ")[0]
    lines = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in part.splitlines()
        if line.startswith("|")
    ]
    return [line for line in lines if set(words) <= set(line)]


def test_report_holds_paper_and_measurement_side_by_side(report):
    folder = report(
        {"conventional": [0.40, 0.42], "row_period": [0.39, 0.405]},
        {"conventional": 1, "row_period": 1.5},
    )
    text = (folder / "report.md").read_text()
    (line,) = lines_of(text, "Table II", "0.5", "ROW, PERIOD (the paper's)")
    assert line == [
        "0.5", "ROW, PERIOD (the paper's)",
        "1.47", "1.50 (1.25–2.00)", "53.3", "200",
        "46.0", "39.75 ± 0.75 (2)", "-1.3", "-1.25 [-4.43, +1.93]",
        "39.75 ± 0.75 (2)", "-3.04 [-9.84, +3.77]", "0.4987",
    ]  # fmt: skip
    (line,) = lines_of(text, "Table II", "0.5", "conventional")
    assert line[2:] == [
        "1", "1.00 (0.75–1.50)", "80.0", "300", "47.3", "41.00 ± 1.00 (2)",
        "–", "–", "41.00 ± 1.00 (2)", "–", "–",
    ]  # fmt: skip
    assert (
        "against conventional dropout in the build caffe-stock; 2 rounds of "
        "5 steps; other processes kept 0.25 cores busy; A, 2 cores"
    ) in text
    assert "data: made-up words; A, 2 cores; commit abc" in text
    assert "numbers mean nothing" in text  # of the profile quick
    numbers = json.loads((folder / "report.json").read_text())
    (cell,) = [
        cell
        for cell in numbers["studies"]["table2"]
        if (cell["point"], cell["series"]) == ("0.5", "row_period")
    ]
    assert cell["difference"] == pytest.approx(-1.25)
    assert cell["values"] == {"1": pytest.approx(39), "2": pytest.approx(40.5)}


def test_missing_and_illegible_cells_are_marked(report):
    folder = report({"row": [0.4]}, {})
    text = (folder / "report.md").read_text()
    (line,) = lines_of(text, "Table II", "0.5", "ROW, RESIDUE (ours)")
    assert line[2:] == [
        "–", "X", "X", "X", "–", "40.00 (1 of 2)", "–", "X",
        "40.00 (1 of 2)", "X", "0.4987",
    ]  # fmt: skip
    (line,) = lines_of(
        text, "Table I:", "1024×1024", "TILE, PERIOD (the paper's)"
    )
    assert line[2:] == [
        *("not legible", "X", "X", "X", "not legible", "X", "not legible"),
        *("X", "X"),
    ]  # fmt: skip


def test_what_only_a_race_is_asked_of_is_no_gap(report):
    point = studies.groups(PROFILE).points[0]
    untrained = dataclasses.replace(point, seeds=0)
    studied = dataclasses.replace(studies.groups(PROFILE), points=(untrained,))
    report({"row": [0.4]}, {"conventional": 1, "row": 1.5}, point)
    cells = collect.cells(collect.Results(PROFILE), studied)
    lines = tables.study_table(studied, cells)
    line = next(x for x in lines if x["method"] == "ROW, RESIDUE (ours)")
    assert [*line.values()][2:] == [
        "1.50 (1.25–2.00)", "53.3", "200", "–", "–", "–", "–",
    ]  # fmt: skip
    assert not studies.trainings([studied])


def test_searches_and_units_are_shown(report):
    folder = report({"row_period": [0.4], "tile": [0.4]}, {})
    text = (folder / "report.md").read_text()
    experiment = studies.table2(PROFILE).points[1].trained["tile"]
    (line,) = lines_of(text, "How often every unit", "TILE, RESIDUE (ours)")
    deviation = drop_rates.unit_deviation(
        layers_of(experiment)["pattern1"],
        "RESIDUE",
        experiment.place_groups[0],
    )
    assert line[7] == f"{deviation:.4f}"
    (line,) = lines_of(text, "Every search", "PERIOD")
    assert line[:5] == ["PERIOD", "16", "0.0001", "1", "0.5"]
    assert line[-1] == "2: 1.000"
    found = lines_of(text, "Every search", "RESIDUE")
    N, groups = str(experiment.max_period), set(experiment.place_groups)
    assert [line[:5] for line in found] == [
        ["RESIDUE", N, "0.001", str(number), "0.5"] for number in sorted(groups)
    ]
    shown = lines_of(text, "How often every unit", "TILE, RESIDUE (ours)")
    assert shown[0][0] == "ptb/tiny_tile_0.5, seed 1, pattern1"
    assert shown[0][3] == "49"  # 160/4 + 40/4 - 1 diagonals


def test_page_needs_no_other_file(report):
    folder = report({"row": [0.4, 0.41]}, {})
    page = (folder / "report.html").read_text()
    assert not re.search(r"https?:|<link|<script|@import|url\(", page)
    sources = re.findall(r'src="([^"]*)"', page)
    assert len(sources) == 19  # sixteen studies, gaps, searches and units
    assert all(
        source.startswith("data:image/png;base64,") for source in sources
    )
    assert "PERIOD (the paper&#39;s)" in page  # escaped
    pictures = re.findall(r"\]\((.*)\)", (folder / "report.md").read_text())
    assert len(pictures) == 19
    assert all((folder / name).stat().st_size > 5000 for name in pictures)


def test_gaps_are_of_the_same_seeds_and_epochs(report):
    point = studies.groups(PROFILE).points[1]
    report({"conventional": [1.0, 1.2], "row": [1.1]}, {}, point)
    results = collect.Results(PROFILE)
    percent = collect.gap(results, point, "row", "perplexity")
    assert percent == {1: pytest.approx(0), 3: pytest.approx(10)}
    assert collect.gap(results, point, "tile", "perplexity") == {}


def test_runs_of_other_settings_do_not_count(report):
    point = studies.table2(PROFILE).points[1]
    report({"row": [0.4, 0.2]}, {"conventional": 1, "row": 1.5})
    assert not collect.outdated(PROFILE, [studies.table2(PROFILE)])
    path = studies.race_file(PROFILE, point.timed["conventional"].key)
    race = json.loads(path.read_text())
    del race["experiments"][point.timed["tile"].key]
    write_json(path, race)
    assert collect.outdated(PROFILE, [studies.table2(PROFILE)]) == [path]
    run = dataclasses.replace(point.trained["row"], seed=1)
    folder = studies.run_folder(PROFILE, run)
    (folder / "done").touch()
    metrics = json.loads((folder / "metrics.json").read_text())
    metrics["experiment"] |= {"epochs": 99, "vocabulary": 12, "unknown": 1}
    write_json(folder / "metrics.json", metrics)
    text = (report({}, {}) / "report.md").read_text()
    (line,) = lines_of(text, "Table II", "0.5", "ROW, RESIDUE (ours)")
    assert line[3] == "X" and line[7] == "20.00 (1 of 2)"
    assert folder in collect.outdated(PROFILE, [studies.table2(PROFILE)])
    metrics["experiment"]["epochs"] = run.epochs
    write_json(folder / "metrics.json", metrics)
    text = (report({}, {}) / "report.md").read_text()
    (line,) = lines_of(text, "Table II", "0.5", "ROW, RESIDUE (ours)")
    assert line[7].endswith("(2)")
    source = training.run.ROOT / run.data / "source.json"
    write_json(source, {"used": "the same, downloaded", "counts": COUNTS})
    assert folder not in collect.outdated(PROFILE, [studies.table2(PROFILE)])
    write_json(source, {"used": "made-up words", "counts": {"train": 9}})
    assert folder in collect.outdated(PROFILE, [studies.table2(PROFILE)])


def test_settings_and_sessions_are_named(report):
    point = studies.table1(PROFILE).points[0]  # 1024 and 64 units, shrunk
    report({"tile": [0.9, 0.9], "row_period": [0.9]}, {}, point)
    run = dataclasses.replace(point.trained["tile"], seed=2)
    path = studies.run_folder(PROFILE, run) / "metrics.json"
    metrics = json.loads(path.read_text())
    metrics["earlier"] = [{"machine": MACHINE, "commit": "old"}]
    write_json(path, metrics)
    text = (report({}, {}) / "report.md").read_text()
    part = text.split("## Table I:")[1].split("\n## ")[0]
    assert (
        "hidden layers 256×16; batch 32; RESIDUE: N 16, λ3 0.0016, groups 1; "
        "PERIOD: N 16, λ3 0.0001, groups 1; tiles of 8, 1; epochs 3;"
    ) in part
    assert "commit abc, old." in part


def test_races_of_several_machines_are_told_apart(report):
    points = studies.table2(PROFILE).points
    for point in points[1:]:
        report({}, dict.fromkeys(point.timed, 2), point)

    def timed():
        text = (report({}, {}) / "report.md").read_text()
        part = text.split("## Table II:")[1].split("\n## ")[0]
        (line,) = re.findall("^Timed: .*$", part, re.MULTILINE)
        return line

    assert timed().endswith("; A, 2 cores, 2026-11-22, commit abc.")
    path = studies.race_file(PROFILE, points[2].timed["conventional"].key)
    machine = {"cpu": "B", "cores": 4}
    write_json(path, {**json.loads(path.read_text()), "machine": machine})
    assert timed().endswith(
        "; A, 2 cores, 2026-11-22, commit abc (0.5); "
        "B, 4 cores, 2026-11-22, commit abc (0.7)."
    )


def test_diverged_and_unfinished_runs(report):
    point = studies.table2(PROFILE).points[1]
    report({"tile": [0.4, 0.2]}, {})
    for seed, changes in (1, {"status": "running"}), (2, {"diverged": True}):
        run = dataclasses.replace(point.trained["tile"], seed=seed)
        path = studies.run_folder(PROFILE, run) / "metrics.json"
        write_json(path, {**json.loads(path.read_text()), **changes})
    text = (report({}, {}) / "report.md").read_text()
    (line,) = lines_of(text, "Table II", "0.5", "TILE, RESIDUE (ours)")
    assert line[7] == "20.00 (1 of 2), 1 diverged"
