"""The documents' tables are those of the results."""

import re

import pytest

import report_figures
from paper import figures, lstm_figures, provenance, step_figures
from project import ROOT


@pytest.fixture
def pages(tmp_path, monkeypatch):
    """A copy of the documents, which report_figures.py then writes."""
    (tmp_path / "docs").mkdir()
    for page in figures.PAGES:
        (tmp_path / page).write_text((ROOT / page).read_text())
    monkeypatch.setattr(report_figures, "ROOT", tmp_path)
    return tmp_path


def test_every_table_is_shown_once(pages):
    text = "".join((pages / page).read_text() for page in figures.PAGES)
    names = re.findall(r"<!-- figures: (\w+) -->", text)
    assert sorted(names) == sorted(figures.TABLES)


@pytest.mark.parametrize("page", figures.PAGES)
def test_a_number_that_was_changed_is_found_and_mended(pages, capsys, page):
    path = pages / page
    right = path.read_text()
    start = right.index("<!-- figures: ")
    wrong = right[:start] + re.sub(r"\d\.\d\d", "9.99", right[start:], count=1)
    assert wrong != right
    path.write_text(wrong)
    assert report_figures.main(["--check"]) == 1
    assert page in capsys.readouterr().err
    assert path.read_text() == wrong
    assert report_figures.main([]) == 0
    assert path.read_text() == right
    assert report_figures.main(["--check"]) == 0


def test_a_table_that_there_is_not_is_named(pages, capsys):
    path = pages / "README.md"
    path.write_text(path.read_text().replace("key_figures", "no_figures"))
    assert report_figures.main(["--check"]) == 1
    assert "no figures no_figures" in capsys.readouterr().err


def test_numbers_as_text(monkeypatch):
    cell = {
        "point": "0.5",
        "series": "row",
        "measured": 3,
        "mean": 100.04,
        "percent": -1.25,
        "percent_interval": [-2.04, -0.46],
        "speed_up": None,
    }
    report = {"studies": {"fig6a": [cell]}}
    monkeypatch.setattr(figures, "results", lambda path: report)
    text = "100.0 (−1.2 % [−2.0, −0.5]) (3)"
    assert lstm_figures.perplexity("fig6a", "0.5", "row") == text
    nothing = {"percent": None, "percent_interval": None}
    assert lstm_figures.percent(nothing) == "X"
    assert figures.race("fig6a", "0.5", "row") == "X"
    with pytest.raises(ValueError, match="fig6a has no tile at 0.5"):
        figures.race("fig6a", "0.5", "tile")


def test_accuracy_changes_as_text(monkeypatch):
    measured = {"difference": -0.125, "interval": [-0.5, 0.25], "pairs": 3}
    once = {"difference": 1.94, "interval": None, "pairs": 1}
    never = {"difference": None, "interval": None, "pairs": 0}
    cells = [
        {"point": "0.5", "series": series, **numbers}
        for series, numbers in zip("abc", (measured, once, never))
    ]
    report = {"studies": {"tiles": cells}}
    monkeypatch.setattr(figures, "results", lambda path: report)
    texts = [figures.accuracy_change("tiles", "0.5", x) for x in "abc"]
    assert texts == ["−0.12 [−0.50, +0.25] (3)", "+1.94 (1)", "X"]


def test_how_much_longer_five_groups_take():
    """By the ratios of each round."""
    one, five = {"wall_ms_all": [10, 20, 40]}, {"wall_ms_all": [11, 19, 44.4]}
    assert step_figures.dearer(five, one) == "+10 % (−5–+11)"


def test_a_sweep_that_was_not_run(tmp_path, monkeypatch):
    monkeypatch.setattr(figures, "RESULTS", tmp_path)
    assert step_figures.rows("tiles") == []
    assert "| | over stock | X | X | X |" in step_figures.tiles_speed()
    assert "goal 3.0 | | | X |" in step_figures.lstms_speed()


def test_where_tables_were_measured():
    """Once, if it is the same for all rows; else with what was measured
    there."""
    machine = {"cpu": "AMD EPYC (family 25 model 17, AVX-512)", "cores": 2}
    first = {
        "machine": machine,
        "date": "2026-12-01T10:00:00+00:00",
        "commit": "abc",
    }
    pairs = [("rates", first), ("sizes", dict(first)), ("rates", first)]
    same = f"{machine['cpu']}, 2 cores, 2026-12-01, commit abc"
    assert provenance.measured(pairs) == same
    assert provenance.caption(pairs).startswith("\nMeasured on: AMD EPYC (")
    other = {**first, "machine": {"cpu": "A", "cores": 4}}
    several = f"{same} (rates / sizes); A, 4 cores, 2026-12-01, commit abc (x)"
    assert provenance.measured([*pairs, ("x", other)]) == several
    assert provenance.caption([]) == ""
