"""MNIST's digits as LMDBs; ../prepare_mnist.py says how they are stored."""
import gzip
import struct
import zlib
from pathlib import Path

import numpy as np

from data import image_lmdb, sources

MIRRORS = ("https://ossci-datasets.s3.amazonaws.com/mnist/",
           "https://storage.googleapis.com/cvdf-datasets/mnist/")
CHECKSUMS = {
    "train-images-idx3-ubyte.gz":
        "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    "train-labels-idx1-ubyte.gz":
        "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    "t10k-images-idx3-ubyte.gz":
        "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "t10k-labels-idx1-ubyte.gz":
        "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
}
SPLITS = {"train": "train", "test": "t10k"}  # our name: the files' prefix
SIDE = 28  # pixels
CLASSES = 10
EMBEDDED = "scikit-learn's digits, resized to 28 x 28"


def read_idx(path, magic, sizes):
    """Reads one idx file of bytes, gzip-compressed if its name ends in .gz.

    magic: the number the file must begin with; sizes: the axes after the
    first, which counts the items. Returns uint8 (items, *sizes). Raises
    ValueError with the file's name if anything else is found.
    """
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as file:
            content = file.read()
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(f"{path}: damaged gzip file: {error}") from None
    header = struct.Struct(f">{2 + len(sizes)}I")
    if len(content) < header.size:
        raise ValueError(f"{path}: {len(content)} bytes, too few for the "
                         f"idx header of {header.size}")
    found, count, *found_sizes = header.unpack_from(content)
    if found != magic:
        raise ValueError(f"{path}: magic number 0x{found:08x}, "
                         f"not 0x{magic:08x}")
    if tuple(found_sizes) != sizes:
        raise ValueError(f"{path}: items of {tuple(found_sizes)}, "
                         f"not of {sizes}")
    expected = count * int(np.prod(sizes, dtype=int))
    if count == 0 or len(content) - header.size != expected:
        raise ValueError(f"{path}: the header counts {count} items, that is "
                         f"{expected} bytes; {len(content) - header.size} "
                         "bytes follow, and at least one item is needed")
    return np.frombuffer(content, np.uint8, offset=header.size).reshape(
        count, *sizes)


def read_splits(paths):
    """Reads the four idx files.

    paths: {usual name ending in .gz: path}. Returns {"train" and "test":
    (images uint8 (count, 28, 28), labels uint8 (count))}; raises ValueError
    with the file's name if they are not such digits.
    """
    splits = {}
    for split, prefix in SPLITS.items():
        image_path = paths[f"{prefix}-images-idx3-ubyte.gz"]
        label_path = paths[f"{prefix}-labels-idx1-ubyte.gz"]
        images = read_idx(image_path, 0x803, (SIDE, SIDE))
        labels = read_idx(label_path, 0x801, ())
        if len(images) != len(labels):
            raise ValueError(f"{label_path}: {len(labels)} labels, but "
                             f"{image_path} has {len(images)} images")
        wrong = np.flatnonzero(labels >= CLASSES)
        if len(wrong):
            raise ValueError(f"{label_path}: label {labels[wrong[0]]} at "
                             f"position {wrong[0]}; legal: 0 to {CLASSES - 1}")
        splits[split] = images, labels
    return splits


def find_files(folder):
    """The four files in `folder`, as {usual name ending in .gz: path}.

    A file may lie there uncompressed, without .gz. Raises ValueError naming
    the one that is missing.
    """
    paths = {}
    for name in CHECKSUMS:
        candidates = folder / name, folder / name.removesuffix(".gz")
        paths[name] = next((p for p in candidates if p.exists()), None)
        if paths[name] is None:
            raise ValueError(f"{folder / name}: missing, with or without .gz; "
                             "DATA_DIR must hold all four files in mnist/, or "
                             "be unset")
        sources.check_file(paths[name])
    return paths


def digits_of(choice, paths, mirrors, cache, timeout_s):
    """Finds the digits; `paths` are those in DATA_DIR, if it is set.

    Returns what was used (see sources.record_of) and the splits.
    """
    kind, what = "DATA_DIR", "the files in DATA_DIR"
    if choice == "auto" and not paths:
        kind, what = "download", "MNIST, downloaded"
        paths = sources.download(CHECKSUMS, mirrors, cache, timeout_s)
        if not paths:
            print(f"no mirror could be used; instead: {EMBEDDED}")
    if not paths:
        return (sources.record_of("embedded", EMBEDDED),
                image_lmdb.embedded_digits(SIDE))
    splits = read_splits(paths)
    source = sources.record_of(kind, what, paths)
    if kind == "DATA_DIR" and source["files"] == CHECKSUMS:
        source["used"] = "MNIST in DATA_DIR"
    for name, path in paths.items():
        if path.name == name and source["files"][name] != CHECKSUMS[name]:
            print(f"note: {path} is well-formed, but not MNIST's own file")
    return source, splits


def prepare(output, source="auto", force=False, mirrors=MIRRORS,
            cache=sources.DOWNLOADS / "mnist", timeout_s=5.0):
    """Prepares the folder `output`; see the top of prepare_mnist.py.

    source: "auto" or "embedded". Raises ValueError naming what is wrong,
    before anything is written.
    """
    output = Path(output).resolve()
    paths = {}
    folder = sources.data_folder("mnist") if source == "auto" else None
    if folder:
        paths = find_files(folder)
    request = {"source": source, "files": sources.checksums_of(paths)}
    if sources.is_current(output, request, force):
        return
    datum_type = image_lmdb.datum_class()
    found, splits = digits_of(source, paths, mirrors, cache, timeout_s)
    counts = {split: len(labels) for split, (_, labels) in splits.items()}
    with sources.replacing(output, request, found,
                                counts=counts) as fresh:
        for split, (images, labels) in splits.items():
            image_lmdb.write_lmdb(fresh / f"{split}_lmdb", images[:, None],
                                  labels, datum_type)
    print(f"{output}: {counts['train']} training and {counts['test']} test "
          f"digits: {found['used']}")
