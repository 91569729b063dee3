"""CIFAR-10's images as LMDBs; ../prepare_cifar10.py says how they are
stored."""

import io
import tarfile
import zipfile
import zlib
from pathlib import Path

import numpy as np

from data import image_lmdb, sources

MIRRORS = ("https://www.cs.toronto.edu/~kriz/",)
ARCHIVE = "cifar-10-binary.tar.gz"
CHECKSUMS = {
    ARCHIVE: "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
    "data_batch_1.bin": "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45"
    "b261883ada5",
    "data_batch_2.bin": "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51a"
    "da8b3fa57ed",
    "data_batch_3.bin": "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d"
    "93ceea26f67",
    "data_batch_4.bin": "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d7"
    "10285ff4e48",
    "data_batch_5.bin": "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08"
    "a39453a9add",
    "test_batch.bin": "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf48"
    "0273f65b",
}
BATCHES = {  # of the binary version
    "train": [f"data_batch_{i}.bin" for i in range(1, 6)],
    "test": ["test_batch.bin"],
}
FOLDER = "cifar-10-batches-bin"  # of the archive
ZIPS = {"train": "train.zip", "test": "test.zip"}
CLASSES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse",
    "ship", "truck",
)  # fmt: skip
SIDE = 32  # pixels
RECORD = 1 + 3 * SIDE * SIDE  # bytes: label; red, green and blue planes
EMBEDDED = "scikit-learn's digits, resized to 32 x 32, grey"
SHUFFLE_SEED = 0


def read_batch(content, name):
    """The records of one .bin file: images uint8 (count, 3, 32, 32) and labels
    uint8 (count). ValueError with its name if they are no such records."""
    if not content or len(content) % RECORD:
        raise ValueError(
            f"{name}: {len(content)} bytes; it must hold records of {RECORD} "
            "each, one at least"
        )
    records = np.frombuffer(content, np.uint8).reshape(-1, RECORD)
    wrong = np.flatnonzero(records[:, 0] >= len(CLASSES))
    if len(wrong):
        raise ValueError(
            f"{name}: label {records[wrong[0], 0]} at record {wrong[0]}; "
            f"legal: 0 to {len(CLASSES) - 1}"
        )
    return records[:, 1:].reshape(-1, 3, SIDE, SIDE), records[:, 0]


def read_archive(path):
    """{name: bytes} of the .bin files in the .tar.gz."""
    names = [name for split in BATCHES.values() for name in split]
    try:
        with tarfile.open(path, "r:gz") as archive:
            return {
                name: archive.extractfile(f"{FOLDER}/{name}").read()
                for name in names
            }
    except (tarfile.TarError, KeyError, EOFError, OSError, zlib.error) as error:
        raise ValueError(f"{path}: damaged archive: {error}") from None


def read_batches(paths):
    """The splits, {"train" and "test": (images, labels)}, of the archive or of
    its .bin files; paths: {usual name: path}."""
    if ARCHIVE in paths:
        contents = read_archive(paths[ARCHIVE])
        where = f"{paths[ARCHIVE]}, "
    else:
        contents = {name: path.read_bytes() for name, path in paths.items()}
        where = f"{next(iter(paths.values())).parent}/"
    splits = {}
    for split, names in BATCHES.items():
        parts = [read_batch(contents[name], where + name) for name in names]
        splits[split] = tuple(map(np.concatenate, zip(*parts)))
    return splits


def read_zip(path):
    """The JPEGs of one zip, CLASS/NAME.jpg, in an order of their own drawn with
    a fixed seed: images uint8 (count, 3, 32, 32) and labels uint8 (count).
    ValueError with the names of the zip and of what is wrong."""
    from PIL import Image, UnidentifiedImageError

    images, labels, name = [], [], ""
    try:
        with zipfile.ZipFile(path) as archive:
            for name in sorted(archive.namelist()):
                if not name.endswith("/"):
                    labels.append(class_of(name))
                    images.append(read_image(Image, archive.read(name)))
    except (
        zipfile.BadZipFile, zlib.error, UnidentifiedImageError, OSError,
        NotImplementedError, RuntimeError, ValueError,
    ) as error:  # fmt: skip
        where = f"{path}: {name}" if name else path
        raise ValueError(f"{where}: {error}") from None
    if not images:
        raise ValueError(f"{path}: no image in it; they are CLASS/NAME.jpg")
    order = np.random.default_rng(SHUFFLE_SEED).permutation(len(images))
    return np.stack(images)[order], np.array(labels, np.uint8)[order]


def class_of(name):
    """The label of an image that a zip calls CLASS/NAME.jpg."""
    folder = Path(name).parent.name
    if folder not in CLASSES:
        raise ValueError(
            f"its folder must be its class, one of {', '.join(CLASSES)}"
        )
    return CLASSES.index(folder)


def read_image(image_type, content):
    """One image's bytes as uint8 (3, 32, 32): red, green, blue."""
    with image_type.open(io.BytesIO(content)) as image:
        if image.size != (SIDE, SIDE):
            raise ValueError("{} x {} pixels, not 32 x 32".format(*image.size))
        return np.asarray(image.convert("RGB")).transpose(2, 0, 1)


def find_files(folder):
    """What there is in `folder`, {usual name: path}: the archive, its .bin
    files, or the zips. ValueError if none is whole."""
    kinds = (
        [ARCHIVE],
        [name for split in BATCHES.values() for name in split],
        list(ZIPS.values()),
    )
    for names in kinds:
        paths = {name: folder / name for name in names}
        if all(path.exists() for path in paths.values()):
            for path in paths.values():
                sources.check_file(path)
            return paths
    raise ValueError(
        f"{folder}: DATA_DIR must hold in cifar10/ {ARCHIVE}, or its files "
        f"data_batch_1.bin to _5 and test_batch.bin, or train.zip and test.zip "
        "with CLASS/NAME.jpg; or be unset"
    )


def embedded_images():
    """scikit-learn's digits in the form of CIFAR-10's images."""
    return {
        split: (np.repeat(images[:, None], 3, axis=1), labels)
        for split, (images, labels) in image_lmdb.embedded_digits(SIDE).items()
    }


def images_of(choice, paths, mirrors, cache, timeout_s):
    """Finds the images; `paths` are those in DATA_DIR, if it is set.

    Returns what was used (see sources.record_of) and the splits.
    """
    if paths and not paths.keys() & CHECKSUMS.keys():
        used = "the JPEG files in DATA_DIR"
        splits = {split: read_zip(paths[ZIPS[split]]) for split in ZIPS}
        return sources.record_of("DATA_DIR", used, paths), splits
    kind, used = "DATA_DIR", "the files in DATA_DIR"
    if choice == "auto" and not paths:
        kind, used = "download", "CIFAR-10, downloaded"
        wanted = {ARCHIVE: CHECKSUMS[ARCHIVE]}
        paths = sources.download(wanted, mirrors, cache, timeout_s, limit_s=600)
        if not paths:
            print(f"no mirror could be used; instead: {EMBEDDED}")
    if not paths:
        return sources.record_of("embedded", EMBEDDED), embedded_images()
    splits = read_batches(paths)
    source = sources.record_of(kind, used, paths)
    foreign = [
        name for name, found in source["files"].items()
        if found != CHECKSUMS[name]
    ]  # fmt: skip
    if kind == "DATA_DIR" and not foreign:
        source["used"] = "CIFAR-10 in DATA_DIR"
    for name in foreign:
        print(f"note: {paths[name]} is well-formed, but not CIFAR-10's own")
    return source, splits


def prepare(
    output,
    source="auto",
    force=False,
    mirrors=MIRRORS,
    cache=sources.DOWNLOADS / "cifar10",
    timeout_s=5.0,
):
    """Prepares the folder `output`; see the top of prepare_cifar10.py.

    source: "auto" or "embedded". Raises ValueError naming what is wrong,
    before anything is written.
    """
    output = Path(output).resolve()
    folder = sources.data_folder("cifar10") if source == "auto" else None
    paths = find_files(folder) if folder else {}
    request = {"source": source, "files": sources.checksums_of(paths)}
    if sources.is_current(output, request, force):
        return
    datum_type = image_lmdb.datum_class()
    found, splits = images_of(source, paths, mirrors, cache, timeout_s)
    counts = {split: len(labels) for split, (_, labels) in splits.items()}
    with sources.replacing(output, request, found, counts=counts) as fresh:
        for split, (images, labels) in splits.items():
            image_lmdb.write_lmdb(
                fresh / f"{split}_lmdb", images, labels, datum_type
            )
    print(
        f"{output}: {counts['train']} training and {counts['test']} test "
        f"images: {found['used']}"
    )
