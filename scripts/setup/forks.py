"""Patches a Caffe of the user's own: BVLC's at another commit, or a fork.

All is worked out in memory; files are written only where everything fits.
A patch that does not fit is left out, with a note, if it is of the build, or if
its header lists the overlay's files that go with it as `Overlay:`. So are those
that name it as `Needs:`.
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
                if 2 * text.count("\r\n") > text.count("\n"):
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
                path = (self.root / path).resolve()  # what a link leads to
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
        found = hunks.place(hunk, lines) if lines is not None else []
        if not found:
            failed.append(hunk)
            continue
        for placed in found:
            lines = lines[:placed.start] + placed.lines + lines[placed.end:]
            if not placed.as_in_caffe:
                places.append(f"{hunk.path}:{placed.start + 1}")
        tree.files[hunk.path] = lines
        changed.add(hunk.path)
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


def _why_left_out(patch, failed, left_out):
    """What is told of a patch that is left out; None if it may not be."""
    text = patch.read_text()
    lacking = left_out & set(hunks.header_words(text, "Needs"))
    if lacking:
        reason = f"it needs {min(lacking)}"
    elif failed and (patch.name.startswith("build-") or
                     hunks.header_words(text, "Overlay")):
        reason = f"{failed[0].path} is another here"
    else:
        return None
    title = text.split("\n", 1)[0]
    return f"left out {patch.name} ({title}), since {reason}"


def _add_overlay(tree, new):
    """Takes what is there already from the overlay's files (path: its source);
    returns what cannot be added."""
    problems = []
    for path, source in list(new.items()):
        if (tree.root / path).is_dir():
            problems.append(f"{path} is a folder; a file is to go there")
        elif (tree.root / path).exists():
            if (tree.root / path).read_bytes() != source.read_bytes():
                problems.append(
                    f"{path} exists with other content. If another version of "
                    "this patch set wrote it, begin with the fork's own files "
                    "again; if it is the fork's own, it needs another name")
            del new[path]
    return problems


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
    left_out = set()
    for name in names:
        patch = patches / name
        before = dict(tree.files)
        done, places, failed = _apply(tree, patch)
        why = _why_left_out(patch, failed, left_out)
        if why:
            tree.files = before
            notes.append(why)
            left_out.add(name)
            for path in hunks.header_words(patch.read_text(), "Overlay"):
                del new[path]
            continue
        changed |= done
        if places:
            notes.append(f"{name} stands beside other lines than in Caffe at "
                         + ", ".join(places))
        problems += [_by_hand(tree, patch, hunk) for hunk in failed]
    problems += _add_overlay(tree, new)
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
