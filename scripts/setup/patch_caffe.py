#!/usr/bin/env python3
"""Apply the patch series and the overlay to Caffe's sources.

The patched tree is made from scratch in a folder beside the target, and only
files whose content differs are then replaced, so that a rebuild compiles what
changed. `--tree DIR` patches a Caffe of the user's own in place (forks.py).
`--check` only checks the patch set, `--check-series` only the first two points,
which need no Caffe:

- every line of `series` names a patch that is there, once;
- every patch is listed, and has a header with `Why:` and `Test:`;
- every patch applies, in order, with zero fuzz and zero offset;
- no overlay file replaces one of Caffe's.
"""
import argparse
import filecmp
import shutil
import sys
import tempfile
from pathlib import Path

import hunks
from forks import patch_tree
from hunks import PatchError

ROOT = Path(__file__).resolve().parents[2]
# What of the overlay uses nothing of ours.
STOCK_OVERLAY = ("tools/", "cmake/", "include/caffe/util/", "src/caffe/util/")


def read_series(patches):
    """Names of the patches in order; raises PatchError for a bad series."""
    lines = (patches / "series").read_text().split("\n")
    names = [x.strip() for x in lines if x.strip() and not x.startswith("#")]
    for name in names:
        if names.count(name) > 1:
            raise PatchError(f"series lists {name} {names.count(name)} times")
        if not (patches / name).is_file():
            raise PatchError(f"series lists {name}, which is missing")
    present = {p.name for p in patches.glob("*.patch")}
    unlisted = sorted(present - set(names))
    if unlisted:
        raise PatchError("not listed in series: " + ", ".join(unlisted))
    for name in names:
        _check_header(patches, name, names[:names.index(name)])
    return names


def _check_header(patches, name, before):
    """Raises PatchError unless the header says what it must, and names what is
    there; `before` are the patches before this one."""
    text = (patches / name).read_text()
    for word in ("Why", "Test"):
        if not hunks.header_words(text, word):
            raise PatchError(f"{name}: the header has no '{word}:' line")
    for other in hunks.header_words(text, "Needs"):
        if other not in before:
            raise PatchError(f"{name} needs {other}, which series does not "
                             "list before it")
    for path in hunks.header_words(text, "Overlay"):
        if not (patches / "overlay" / path).is_file():
            raise PatchError(f"{name}: overlay/{path} is missing")


def overlay_files(patches):
    """Paths of the overlay's files, relative to the tree."""
    overlay = patches / "overlay"
    return sorted(p.relative_to(overlay) for p in overlay.rglob("*")
                  if p.is_file())


def make_tree(patches, source, tree, stock=False):
    """Writes the patched tree into the new folder `tree`.

    stock: with the patches only that let Caffe itself build, build-*.patch,
    and those files of the overlay that they or the tools need.
    """
    names = read_series(patches)
    overlay = overlay_files(patches)
    if stock:
        names = [name for name in names if name.startswith("build-")]
        overlay = [path for path in overlay
                   if str(path).startswith(STOCK_OVERLAY)]
    shutil.copytree(source, tree, symlinks=True)
    for path in overlay:
        if (tree / path).exists():
            raise PatchError(f"overlay/{path} replaces a file of Caffe's; "
                             "change it by a patch")
    for name in names:
        try:
            hunks.apply_exactly((patches / name).read_text(), tree)
        except PatchError as error:
            raise PatchError(f"{name} does not apply: {error}") from error
    for path in overlay:
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(patches / "overlay" / path, tree / path)


def sync_tree(new, target):
    """Makes `target` hold the files of `new`; returns how many changed.

    Files that an earlier sync put there and that are gone from `new` are
    removed; other files (build outputs) stay.
    """
    manifest = target / ".patched_files"
    files = sorted(str(p.relative_to(new)) for p in new.rglob("*")
                   if p.is_file())
    before = manifest.read_text().split("\n") if manifest.exists() else []
    stale = [target / x for x in set(before) - set(files) if x]
    for path in stale:
        path.unlink(missing_ok=True)
    changed = len(stale)
    for path in files:
        if not ((target / path).is_file() and
                filecmp.cmp(new / path, target / path, shallow=False)):
            (target / path).parent.mkdir(parents=True, exist_ok=True)
            # The new file's time is now, so that make sees it.
            shutil.copyfile(new / path, target / path)
            changed += 1
    manifest.write_text("\n".join(files) + "\n")
    return changed


def parse_args():
    """The command line."""
    parser = argparse.ArgumentParser(
        description="Patch Caffe's sources, or check the patch set.")
    parser.add_argument("--patches", type=Path, default=ROOT / "caffe_patches")
    parser.add_argument("--source", type=Path,
                        default=ROOT / "build" / "caffe.orig",
                        help="unchanged tree (scripts/setup/get_caffe.sh)")
    parser.add_argument("--target", type=Path, default=ROOT / "build" / "caffe")
    parser.add_argument("--stock", action="store_true",
                        help="only what lets Caffe itself build")
    parser.add_argument("--tree", type=Path, metavar="DIR",
                        help="patch this Caffe, of another commit or a fork, "
                             "in place")
    parser.add_argument("--check", action="store_true",
                        help="check only, write nothing")
    parser.add_argument("--check-series", action="store_true",
                        help="check the list of patches and their headers only")
    return parser.parse_args()


def main():
    """Runs the command line; the exit status is 1 for a bad patch set."""
    args = parse_args()
    try:
        if args.check_series:
            read_series(args.patches)
            return
        if args.tree:
            said = patch_tree(args.tree, args.patches,
                              read_series(args.patches),
                              overlay_files(args.patches))
            print("\n".join(f"patch_caffe: {line}" for line in said))
            return
        with tempfile.TemporaryDirectory() as folder:
            tree = Path(folder) / "tree"
            make_tree(args.patches, args.source, tree, args.stock)
            if not args.check:
                args.target.mkdir(parents=True, exist_ok=True)
                changed = sync_tree(tree, args.target)
                print(f"patch_caffe: {changed} files changed in {args.target}")
    except (PatchError, OSError) as error:
        sys.exit(f"patch_caffe: {error}")


if __name__ == "__main__":
    main()
