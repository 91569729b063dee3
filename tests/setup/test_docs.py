"""The documents: their links, the paths that they name, their lengths."""

import functools
import re
import subprocess
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).resolve().parents[2]
README_LINES = 150
# Documents call a file of the overlay by its floor, `pattern/kept_cells.hpp`.
FLOORS = ("solver", "layers", "product", "update", "pattern", "ranks", "math")
OVERLAY = "caffe_patches/overlay"

FENCE = re.compile(r"^```.*?^```\s*?$", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"(?:(?<=\n\n)|\A)(?:(?: {4}|\t).*(?:\n|\Z)|\n)+")
CODE = re.compile(r"(`+)(.+?)\1", re.DOTALL)
LINK = re.compile(r"\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)")
DEFINITION = re.compile(r"^ {0,3}\[[^\]]+\]:\s*<?([^\s>]+)", re.MULTILINE)
HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*\s*$", re.MULTILINE)
TEST = re.compile(r"(?<![\w/])test_[a-z\d_]+\.(?:cpp|py)\b")
TEST_NAME = re.compile(r"`(Test[A-Z]\w+|test_\w+)`")
TEST_HEAD = re.compile(r"\b(?:def |, )(Test[A-Z]\w+|test_\w+)")
PATH = re.compile(r"[\w.+-]+(?:/[\w.+*{},-]+)+/?")


def committed():
    """Paths of all files that are committed or about to be, from the root."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\n")
    return {path for path in listed if path and (ROOT / path).is_file()}


FILES = committed()
FOLDERS = {str(p) for path in FILES for p in PurePosixPath(path).parents}
PAGES = sorted(path for path in FILES if path.endswith(".md"))


def text_of(page):
    return (ROOT / page).read_text(encoding="utf-8")


def prose(text):
    """The text without code, in which nothing is a link or a heading."""
    for pattern in FENCE, INDENTED:
        text = pattern.sub("\n", text)
    return text


def anchors(text):
    """The anchors that GitHub gives to the headings."""
    found = set()
    for heading in HEADING.findall(prose(text)):
        words = LINK.sub("]", heading)
        slug = re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-")
        number, name = 0, slug
        while name in found:
            number += 1
            name = f"{slug}-{number}"
        found.add(name)
    return found


def resolve(page, path):
    """A relative link's target, from the root; None if it leaves it."""
    parts = []
    for part in (PurePosixPath(page).parent / path).parts:
        if part == "..":
            if not parts:
                return None
            parts.pop()
        elif part != ".":
            parts.append(part)
    return "/".join(parts) or "."


def broken_links(page, text):
    """What is wrong with the relative links of a page's text, one per line."""
    problems = []
    # An inline code span may hold brackets, but a link may hold code.
    plain = CODE.sub("code", prose(text))
    for link in LINK.findall(plain) + DEFINITION.findall(plain):
        if re.match(r"[a-z][a-z+.-]*:", link):
            continue
        path, _, anchor = unquote(link).partition("#")
        target = resolve(page, path) if path else page
        if target not in FILES | FOLDERS | {page}:
            problems.append(f"{page}: {link}: no such file")
        elif anchor and anchor not in anchors(
            text if target == page else text_of(target)
        ):
            problems.append(f"{page}: {link}: no such heading")
    return problems


def expanded(path):
    """`a/{b,c}` as a/b and a/c."""
    braces = re.search(r"\{([^{}]*)\}", path)
    if not braces:
        return [path]
    return [
        other
        for part in braces[1].split(",")
        for other in expanded(
            path[: braces.start()] + part + path[braces.end() :]
        )
    ]


def exists(path):
    """Whether a path from the root, perhaps with stars, is there."""
    path = path.rstrip("/")
    if "*" not in path:
        return path in FILES or path in FOLDERS
    return any(PurePosixPath(file).match(path) for file in FILES | FOLDERS)


def in_tower(path):
    """Whether a path that begins with a floor is in the overlay."""
    return any(
        exists(f"{OVERLAY}/{side}/caffe/{folder}{path}")
        for side in ("include", "src")
        for folder in ("approx_dropout/", "")
    )


def missing_paths(page, text):
    """Paths of this repository in a page's code spans that are not there."""
    top = {path.partition("/")[0] for path in FILES if "/" in path}
    problems = []
    for _, code in CODE.findall(prose(text)):
        for word in re.split(r"[\s=]+", code):
            if not PATH.fullmatch(word):
                continue
            first = word.partition("/")[0]
            check = exists if first in top else in_tower
            if first not in top and first not in FLOORS:
                continue
            problems += [
                f"{page}: {path}: no such file"
                for path in expanded(word)
                if not check(path)
            ]
    return problems


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    assert broken_links(page, text_of(page)) == []


@functools.cache
def names_of_tests():
    """Of pytest's and of googletest's."""
    sources = [path for path in FILES if TEST.search(PurePosixPath(path).name)]
    return {
        name for path in sources for name in TEST_HEAD.findall(text_of(path))
    }


# Pages of results name the commands of the commits that they are of.
@pytest.mark.parametrize(
    "page", [page for page in PAGES if not page.startswith("results/")]
)
def test_named_paths_are_there(page):
    assert missing_paths(page, text_of(page)) == []


@pytest.mark.parametrize(
    "page", [page for page in PAGES if not page.startswith("results/")]
)
def test_named_tests_are_there(page):
    names = {PurePosixPath(path).name for path in FILES}
    assert set(TEST.findall(text_of(page))) <= names
    assert set(TEST_NAME.findall(text_of(page))) <= names_of_tests()


def test_readme_is_short():
    assert len(text_of("README.md").splitlines()) <= README_LINES


def test_readme_leads_to_every_document():
    links = LINK.findall(text_of("README.md"))
    documents = [page for page in PAGES if page.startswith("docs/")]
    assert documents and set(documents) <= set(links)


def test_patch_table_is_the_series():
    """Every patch, in order, with the files that it touches."""
    folder = ROOT / "caffe_patches"
    rows = re.findall(
        r"^\| \[[\w.-]+\]\(([\w.-]+\.patch)\) .*$",
        text_of("caffe_patches/README.md"),
        re.MULTILINE,
    )
    assert rows == (folder / "series").read_text().split()
    for row in text_of("caffe_patches/README.md").splitlines():
        name = re.match(r"\| \[[\w.-]+\]\(([\w.-]+\.patch)\)", row)
        if name:
            patch = (folder / name[1]).read_text(encoding="utf-8")
            for path in re.findall(r"^\+\+\+ b/(\S+)", patch, re.MULTILINE):
                assert f"`{path}`" in row, f"{name[1]} touches {path}"


# The checks themselves

BROKEN = """\
# A page

[there](README.md#three-commands), [](docs/layers.md), [itself](#a-page),
[away](https://example.org/x), `[not](a-link.md)` and

    [code](nowhere.md)

[gone](docs/nowhere.md), [no heading](README.md#nowhere), ![](no.png),
[not here](#nowhere), [outside](../../README.md) and [by name][1].

[1]: docs/no.md
"""


def test_broken_links_are_found():
    found = broken_links("page.md", BROKEN)
    assert [line.split(": ")[1] for line in found] == [
        "docs/nowhere.md",
        "README.md#nowhere",
        "no.png",
        "#nowhere",
        "../../README.md",
        "docs/no.md",
    ]


def test_anchors_are_githubs():
    text = "# `a_b`, C++ & x\n\n## [Two](y.md) words\n\n### Two words\n\n"
    assert anchors(text + "```\n# no\n```\n") == {
        "a_b-c--x",
        "two-words",
        "two-words-1",
    }


def test_missing_paths_are_found():
    text = (
        "`docs/layers.md`, `scripts/`, `caffe_patches/*.patch`, "
        "`caffe_patches/{series,UPSTREAM}`, `layers/`, `build/bin/caffe`, "
        "`mnist/row_0.5`, `python3 docs/gone.py --x`, `pattern/gone.hpp`, "
        "`docs/{layers,gone}.md` `docs/gone_*.md` `--net=docs/gone.txt`"
    )
    assert [line.split(": ")[1] for line in missing_paths("x.md", text)] == [
        "docs/gone.py",
        "pattern/gone.hpp",
        "docs/gone.md",
        "docs/gone_*.md",
        "docs/gone.txt",
    ]
