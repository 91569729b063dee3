"""Unified diffs: where their hunks fit a file, and what the file then is.

A hunk of Caffe's pinned sources fits at its line, with every line of its
context. In a fork the neighbours may be others: there it fits where the lines
that it takes out, and as much of its context as is there, stand exactly once.
A fork may also have copied the place: with its whole context it fits each copy.
"""
import re
from dataclasses import dataclass

HEADER = re.compile(r"@@ -(\d+)(?:,(\d+))? \+\d+(?:,(\d+))? @@")


class PatchError(Exception):
    """Something does not fit; the message says what to mend."""


@dataclass
class Hunk:
    """Lines that give way to others in one place of a file.

    before and after hold `lead` lines of context in front and `trail` behind;
    line counts from 0.
    """

    path: str
    line: int
    before: list
    after: list
    lead: int
    trail: int
    text: str

    def cut(self, lead, trail):
        """The lines before and after, with so much context on either side."""
        start = self.lead - lead
        return tuple(side[start:len(side) - (self.trail - trail)]
                     for side in (self.before, self.after))

    def contexts(self):
        """(lead, trail), from the whole context to one line of it; what is
        taken out is context itself."""
        needed = 0 if len(self.before) > self.lead + self.trail else 1
        pairs = [(lead, trail) for lead in range(self.lead + 1)
                 for trail in range(self.trail + 1)
                 if lead + trail >= needed]
        return sorted(pairs, key=lambda pair: (-sum(pair), -min(pair)))


@dataclass
class Placed:
    """A hunk's place: the lines start..end of the file become `lines`."""

    start: int
    end: int
    lines: list
    as_in_caffe: bool  # with all of its context, in no other place


def parse(text):
    """The hunks of a patch, in order."""
    hunks, path = [], None
    lines = iter(text.splitlines())
    for line in lines:
        header = HEADER.match(line)
        if line.startswith("+++ "):
            path = line[4:].split("\t")[0].split("/", 1)[1]
        elif header:
            start, old, new = (int(x or 1) for x in header.groups())
            body = []
            while old > 0 or new > 0:
                body.append(next(lines, "end of the patch") or " ")
                if body[-1][0] not in " +-":
                    raise PatchError(f"the hunk {line} of {path} is shorter "
                                     "than its counts say")
                old -= body[-1][0] != "+"
                new -= body[-1][0] != "-"
            hunks.append(_hunk(path, start - 1, body, line))
    return hunks


def header_words(text, word):
    """The words of a patch's header on lines that begin with `word` and a
    colon."""
    header = text.split("\n--- ", 1)[0]
    return " ".join(re.findall(rf"^{word}:(.*)", header, re.M)).split()


def _hunk(path, line, body, header):
    changed = [i for i, text in enumerate(body) if text[0] != " "]
    return Hunk(path, line,
                [text[1:] for text in body if text[0] != "+"],
                [text[1:] for text in body if text[0] != "-"],
                changed[0], len(body) - 1 - changed[-1],
                "\n".join([header, *body]))


def matches(lines, block):
    """The places in the lines where the block is."""
    return [at for at in range(len(lines) - len(block) + 1)
            if lines[at:at + len(block)] == block]


def says_something(lines):
    """Whether lines hold a word, so that they mark a place."""
    return any(re.search(r"\w{3}", line) for line in lines)


def apply_exactly(text, tree):
    """Applies a patch to the files of a folder; raises PatchError where a hunk
    does not stand at its line with its whole context."""
    files, moved = {}, {}
    for hunk in parse(text):
        path = tree / hunk.path
        if path not in files:
            if not path.is_file():
                raise PatchError(f"there is no {hunk.path}")
            files[path], moved[path] = path.read_text().split("\n"), 0
        at = hunk.line + moved[path]
        end = at + len(hunk.before)
        if files[path][at:end] != hunk.before:
            raise PatchError(f"{hunk.path} has other lines at {at + 1}:\n"
                             + hunk.text)
        files[path][at:end] = hunk.after
        moved[path] += len(hunk.after) - len(hunk.before)
    for path, lines in files.items():
        path.write_text("\n".join(lines))


def is_in(hunk, lines):
    """Whether the lines hold already what the hunk makes of them."""
    added = hunk.after[hunk.lead:len(hunk.after) - hunk.trail]
    if (len(hunk.after) == len(hunk.before) + len(added) and
            all(line.startswith("#include ") for line in added)):
        # Others may have come between these and their neighbours.
        return set(added) <= set(lines)
    for lead, trail in hunk.contexts():
        before, after = hunk.cut(lead, trail)
        whole = (lead, trail) == (hunk.lead, hunk.trail)
        marks = after[:lead] + after[len(after) - trail:]
        if whole or len(after) - lead - trail > 2:
            marks = after
        if says_something(marks) and matches(lines, after):
            # Where lines are only taken out, what is left says nothing.
            return len(after) > lead + trail or not matches(lines, before)
    return False


def place(hunk, lines):
    """Where the hunk fits, with as much of its context as there is, last place
    first; none where several would do, unless they are whole copies."""
    for lead, trail in hunk.contexts():
        before, after = hunk.cut(lead, trail)
        found = matches(lines, before)
        whole = (lead, trail) == (hunk.lead, hunk.trail)
        copied = whole and len(hunk.before) > lead + trail
        if says_something(before) and found and (len(found) == 1 or copied):
            return [Placed(at, at + len(before), after,
                           whole and len(found) == 1)
                    for at in reversed(found)]
    return []
