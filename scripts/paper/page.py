"""The report on the paper's tables and figures, as HTML and Markdown."""

import base64
import dataclasses
import json
from pathlib import Path

import jinja2

from paper import collect, pictures, reported, studies, tables
from project import ROOT, write_whole
from reports.table import table

TEMPLATE = Path(__file__).with_name("page.html.j2")


@dataclasses.dataclass
class Section:
    """A part of the report: paragraphs, then tables, then pictures.

    tables: lists of {title of the column: cell}; pictures: (file, what it
    shows).
    """

    title: str
    paragraphs: list
    tables: list = dataclasses.field(default_factory=list)
    pictures: list = dataclasses.field(default_factory=list)


def study_section(results, study, cells, folder):
    picture = f"{study.name}.png"
    if study.curves:
        pictures.draw_curves(study, results, folder / picture)
    else:
        pictures.draw_study(study, cells, folder / picture)
    shown = [(picture, study.title)]
    if study.gaps:
        picture = f"{study.name}_gaps.png"
        shown.append((picture, "The gap, epoch by epoch"))
        pictures.draw_gaps(study, results, folder / picture)
    return Section(
        study.title,
        [
            reported.CLAIMS.get(study.name, ""),
            *tables.conditions(results, study),
        ],
        [tables.study_table(study, cells)],
        shown,
    )


def search_section(searches, folder):
    pictures.draw_searches(searches, folder / "searches.png")
    return Section(
        "Every search for K, and the rate that trainings achieved",
        [
            "Index i of K is the period (PERIOD) or how many of N residues "
            "are kept (RESIDUE); indices below 0.0005 are left out. A line is "
            "for trainings of as many draws; layers × seeds: how many of their "
            "layers draw differently, since the same seed and name of a layer "
            "give the same draws in every net. Achieved: the mean over these. "
            "Sub-models: different patterns among a layer's draws, on average."
        ],
        [tables.search_table(searches)],
        [("searches.png", "K of every search")],
    )


def unit_section(results, chosen, folder):
    shown = tables.shown_units(results, chosen)
    pictures.draw_units(shown, folder / "units.png")
    return Section(
        "How often every unit was dropped",
        [
            "The first dropped layer of one training for each method; the "
            "line is p. With TILE the units are the diagonals of tiles that "
            "are kept and dropped together. Expected deviation: the standard "
            "deviation of one unit's rate, √(p (1 − p) / draws) with one group "
            "of samples; several groups are dealt units in turn and leave "
            "less to chance, nothing where equally many of them keep each.",
        ],
        [tables.unit_table(shown)],
        [("units.png", "Drop rate of every unit")],
    )


def introduction(profile):
    paragraphs = [
        "The tables and figures of “Approximate Random Dropout for DNN "
        "training acceleration in GPGPU”, run with this project. Speed-ups "
        "come from training steps taken in turn with the conventional net's, "
        "the median of the rounds with the lowest and the highest; accuracy "
        "and perplexity come from whole trainings, mean ± standard error "
        "(number of seeds). A difference is to conventional dropout with the "
        "same seeds, with its 95 % interval (Student's t on the paired "
        "differences). ROW and TILE with PERIOD are the paper's, RESIDUE is "
        "ours. X: not run yet. “not legible”: in the paper, but not in our "
        "copy of it. –: not in the paper, or not asked for here.",
    ]
    if profile.name == "quick":
        paragraphs.append(
            "Profile quick: tiny nets, trained for seconds. It shows that "
            "everything runs; its numbers mean nothing."
        )
    if profile.name == "cpu":
        paragraphs.append(
            "Profile cpu: what two cores can do. The MLPs train for fewer "
            "epochs; the LSTMs that train are small and train for three "
            "epochs at learning rates 1, 0.5 and 0.25. But the studies of the "
            "published recipe and of groups have all its 13 epochs, and the "
            "latter times some numbers of groups that it does not train; "
            "the LSTM 2×650 has the first epochs of its own, and one study "
            "trains the MLP until it learns no more."
        )
    return Section(f"The paper's results, profile {profile.name}", paragraphs)


def sections(results, numbers, searches, folder):
    chosen = studies.studies(results.profile)
    reading = [f"{i}. {text}" for i, text in enumerate(reported.READING, 1)]
    return [
        introduction(results.profile),
        *(study_section(results, s, numbers[s.name], folder) for s in chosen),
        search_section(searches, folder),
        unit_section(results, chosen, folder),
        Section("How the paper was read", reading),
    ]


def to_markdown(parts):
    text = ""
    for level, part in enumerate(parts):
        text += f"{'##' if level else '#'} {part.title}\n\n"
        text += "".join(f"{line}\n\n" for line in part.paragraphs if line)
        for lines in part.tables:
            text += table(lines, []) + "\n" if lines else "X\n\n"
        for file, caption in part.pictures:
            text += f"![{caption}]({file})\n\n"
    return text


def to_html(parts, folder):
    """One page that needs no other file."""

    def embedded(file):
        content = base64.b64encode((folder / file).read_bytes()).decode()
        return f"data:image/png;base64,{content}"

    template = jinja2.Template(
        TEMPLATE.read_text(encoding="utf-8"), autoescape=True, trim_blocks=True
    )
    return template.render(sections=parts, embedded=embedded)


def write(profile):
    """Writes the profile's report; returns its folder."""
    folder = ROOT / "runs" / profile.name / "report"
    folder.mkdir(parents=True, exist_ok=True)
    results = collect.Results(profile)
    chosen = studies.studies(profile)
    numbers = {s.name: collect.cells(results, s) for s in chosen}
    searches = collect.searches(results, chosen)
    parts = sections(results, numbers, searches, folder)
    write_whole(folder / "report.html", to_html(parts, folder))
    write_whole(folder / "report.md", to_markdown(parts))
    content = {"profile": profile.name, "studies": numbers}
    content["searches"] = searches
    write_whole(folder / "report.json", json.dumps(content, indent=1) + "\n")
    return folder
