"""Patches a Caffe of the user's own: BVLC's at another commit, or a fork.

All is worked out in memory; files are written only where everything fits.
"""
import os
from pathlib import Path

import hunks
from hunks import PatchError
from proto_fields import collisions

PROTO = "src/caffe/proto/caffe.proto"
SIGNS = (PROTO, "include/caffe/layer.hpp", "src/caffe/solver.cpp")


class Tree:
    """The files of a source tree, as lines, and what they are to become."""

    def __init__(self, root):
        self.root = Path(root)
        self.files = {}  # path: lines; None where there is no such file
        self.crlf = set()

    def lines(self, path):
        """The lines of a file; None if it is missing."""
        if path not in self.files:
            self.files[path] = None
            if (self.root / path).is_file():
                text = (self.root / path).read_bytes().decode(
                    errors="surrogateescape")
                if "\r\n" in text:
                    self.crlf.add(path)
                self.files[path] = text.replace("\r\n", "\n").split("\n")
        return self.files[path]

    def write(self, changed, overlay):
        """Writes the changed files and the overlay's (path: its source), all
        under other names first, so that a full disk leaves the tree whole."""
        contents = {path: source.read_bytes()
                    for path, source in overlay.items()}
        for path in changed:
            newline = "\r\n" if path in self.crlf else "\n"
            contents[path] = newline.join(self.files[path]).encode(
                errors="surrogateescape")
        parts = {}  # the file's name for now: its name
        try:
            for path, content in contents.items():
                path = self.root / path
                path.parent.mkdir(parents=True, exist_ok=True)
                part = path.with_name(path.name + ".part")
                parts[part] = path
                part.write_bytes(content)
                if path.exists():
                    part.chmod(path.stat().st_mode)
        except OSError as error:
            for part in parts:
                part.unlink(missing_ok=True)
            raise PatchError(f"{self.root} is left as it was: {error}"
                             ) from error
        for part, path in parts.items():
            os.replace(part, path)


def _apply(tree, patch):
    """Applies a patch to the tree in memory, or leaves it as it is. Returns
    the paths that changed, where hunks have other neighbours than in Caffe,
    and the hunks that do not fit."""
    before, changed, places, failed = dict(tree.files), set(), [], []
    for hunk in hunks.parse(patch.read_text()):
        lines = tree.lines(hunk.path)
        if lines is not None and hunks.is_in(hunk, lines):
            continue
        placed = lines is not None and hunks.place(hunk, lines)
        if not placed:
            failed.append(hunk)
            continue
        tree.files[hunk.path] = (lines[:placed.start] + placed.lines +
                                 lines[placed.end:])
        changed.add(hunk.path)
        if not placed.whole:
            places.append(f"{hunk.path}:{placed.start + 1}")
    if failed:
        tree.files = before
        return set(), [], failed
    return changed, places, []


def _by_hand(tree, patch, hunk):
    """What to do about a hunk that does not fit."""
    if tree.lines(hunk.path) is None:
        return f"{hunk.path} is missing; {patch.name} changes it"
    return (f"{hunk.path}, about line {hunk.line + 1}: {patch.name} finds "
            f"other lines there. Change it by hand:\n{hunk.text}")


def patch_tree(root, patches, names, overlay):
    """Applies the patches `names` and the overlay's files to the Caffe in
    root. Returns what to tell the user; raises PatchError, and writes nothing,
    if something does not fit."""
    tree, notes, problems, changed = Tree(root), [], [], set()
    missing = [path for path in SIGNS if tree.lines(path) is None]
    if missing:
        raise PatchError(f"{root} is not Caffe's source tree: no "
                         + ", ".join(missing))
    new = {str(path): patches / "overlay" / path for path in overlay}
    for path, source in list(new.items()):
        if (tree.root / path).exists():
            if (tree.root / path).read_bytes() != source.read_bytes():
                problems.append(
                    f"{path} exists with other content. If another version of "
                    "this patch set wrote it, begin with the fork's own files "
                    "again; if it is the fork's own, it needs another name")
            del new[path]
    for name in names:
        done, places, failed = _apply(tree, patches / name)
        changed |= done
        if places:
            notes.append(f"{name} stands beside other lines than in Caffe at "
                         + ", ".join(places))
        if failed and name.startswith("build-"):
            title = (patches / name).read_text().split("\n", 1)[0]
            notes.append(f"left out {name} ({title}), since "
                         f"{failed[0].path} is another here")
        else:
            problems += [_by_hand(tree, patches / name, hunk)
                         for hunk in failed]
    problems += collisions("\n".join(tree.files[PROTO]))
    if problems:
        raise PatchError(
            f"{root} is left as it was, since this does not fit:\n\n"
            + "\n\n".join(problems)
            + "\n\nThen run the same command again: it takes what was changed "
            "by hand as done.")
    if not changed and not new:
        return [f"{root} is patched already"]
    tree.write(changed, new)
    return notes + [f"{len(changed)} files changed and {len(new)} added in "
                    f"{root}"]
