"""CIFAR-10's preparation: its binary version, JPEGs, refusals."""

import hashlib
import io
import json
import os
import tarfile
import zipfile

import lmdb
import numpy as np
import pytest
from hypothesis import strategies
from PIL import Image

import prepare_cifar10
from data import cifar10, image_lmdb, sources
from fuzz import damaged, fuzzed

TEST_BATCH = cifar10.BATCHES["test"][0]
NAMES = [name for names in cifar10.BATCHES.values() for name in names]


def make_batches(count=3):
    """{name: bytes} of the six files, `count` random records each."""
    random = np.random.default_rng(5)
    batches = {}
    for name in NAMES:
        records = random.integers(0, 256, (count, cifar10.RECORD), np.uint8)
        records[:, 0] %= 10
        batches[name] = records.tobytes()
    return batches


def expected(batches):
    """{split: (images, labels)} that those hold."""
    splits = {}
    for split, names in cifar10.BATCHES.items():
        content = b"".join(batches[name] for name in names)
        records = np.frombuffer(content, np.uint8).reshape(-1, 3073)
        images = records[:, 1:].reshape(-1, 3, 32, 32)
        splits[split] = images, records[:, 0]
    return splits


def write_archive(path, batches):
    with tarfile.open(path, "w:gz") as archive:
        for name, content in batches.items():
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def jpeg(pixels):
    """Bytes of a JPEG of uint8 (height, width, 3)."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=95)
    return file.getvalue()


def write_zip(path, count=2):
    """A zip of `count` plain images a class, each with its class's colour."""
    with zipfile.ZipFile(path, "w") as archive:
        for label, name in enumerate(cifar10.CLASSES):
            pixels = np.full((32, 32, 3), (20 * label, 30, 220), np.uint8)
            for i in range(count):
                archive.writestr(f"{name}/{i:04}.jpg", jpeg(pixels))


def read_lmdb(path):
    """Keys, images and labels of a folder of Datum records."""
    Datum = image_lmdb.datum_class()
    with lmdb.open(str(path), readonly=True) as database:
        with database.begin() as transaction:
            items = list(transaction.cursor())
    data = [Datum.FromString(value) for _, value in items]
    assert {(d.channels, d.height, d.width) for d in data} == {(3, 32, 32)}
    images = [np.frombuffer(d.data, np.uint8) for d in data]
    return (
        [key for key, _ in items],
        np.stack(images).reshape(-1, 3, 32, 32),
        np.array([d.label for d in data]),
    )


def check_output(output, batches):
    for split, (images, labels) in expected(batches).items():
        keys, found_images, found_labels = read_lmdb(output / f"{split}_lmdb")
        assert keys == [b"%08d" % i for i in range(len(labels))]
        np.testing.assert_array_equal(found_images, images)
        np.testing.assert_array_equal(found_labels, labels)


def record(output):
    return json.loads((output / "source.json").read_text())


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty DATA_DIR's folder cifar10."""
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "data"))
    (tmp_path / "data/cifar10").mkdir(parents=True)
    return tmp_path / "data/cifar10"


@pytest.mark.parametrize("packed", [True, False])
def test_binary_version(folder, tmp_path, capsys, packed):
    batches = make_batches()
    if packed:
        write_archive(folder / cifar10.ARCHIVE, batches)
    else:
        for name, content in batches.items():
            (folder / name).write_bytes(content)
    output = tmp_path / "out"
    cifar10.prepare(output)
    check_output(output, batches)
    assert record(output)["kind"] == "DATA_DIR"
    assert record(output)["counts"] == {"train": 15, "test": 3}
    printed = capsys.readouterr().out
    assert "15 training and 3 test images" in printed
    assert "not CIFAR-10's own" in printed
    cifar10.prepare(output)
    assert "up to date" in capsys.readouterr().out


def test_jpegs(folder, tmp_path):
    write_zip(folder / "train.zip", 3)
    write_zip(folder / "test.zip", 1)
    cifar10.prepare(tmp_path / "out")
    assert record(tmp_path / "out")["used"] == "the JPEG files in DATA_DIR"
    for split, count in (("train", 3), ("test", 1)):
        _, images, labels = read_lmdb(tmp_path / f"out/{split}_lmdb")
        assert sorted(labels) == sorted([*range(10)] * count)
        assert [*labels] != sorted(labels)  # shuffled
        for image, label in zip(images.astype(int), labels):
            colour = np.array([20 * label, 30, 220])
            assert abs(image - colour[:, None, None]).max() <= 4


BAD_BATCHES = {
    "cut": (lambda content: content[:-1], "9218 bytes; it must hold records"),
    "empty": (lambda content: b"", "0 bytes"),
    "label": (lambda content: b"\x0a" + content[1:], "label 10 at record 0"),
}


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize(
    "damage, message", BAD_BATCHES.values(), ids=BAD_BATCHES
)
def test_bad_batch_is_refused(folder, tmp_path, damage, message, packed):
    batches = make_batches()
    batches[TEST_BATCH] = damage(batches[TEST_BATCH])
    if packed:
        write_archive(folder / cifar10.ARCHIVE, batches)
    else:
        for name, content in batches.items():
            (folder / name).write_bytes(content)
    with pytest.raises(ValueError, match=f"{TEST_BATCH}: {message}"):
        cifar10.prepare(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_archive_without_a_file_is_refused(folder, tmp_path):
    batches = make_batches()
    del batches[TEST_BATCH]
    write_archive(folder / cifar10.ARCHIVE, batches)
    with pytest.raises(ValueError, match="damaged archive: .*test_batch.bin"):
        cifar10.prepare(tmp_path / "out")


def test_incomplete_folder_is_refused(folder, tmp_path):
    write_zip(folder / "train.zip")
    with pytest.raises(ValueError, match="DATA_DIR must hold in cifar10/"):
        cifar10.prepare(tmp_path / "out")
    (folder / "test.zip").mkdir()
    with pytest.raises(ValueError, match="test.zip: is no file"):
        cifar10.prepare(tmp_path / "out")


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("cow/0.jpg", jpeg(np.zeros((32, 32, 3), np.uint8)), "its folder must"),
        ("cat/0.jpg", jpeg(np.zeros((32, 31, 3), np.uint8)), "31 x 32 pixels"),
        ("cat/0.jpg", b"no JPEG", "cannot identify"),
        ("cat/", b"", "no image in it"),
    ],
)
def test_bad_zip_is_refused(folder, tmp_path, name, content, message):
    write_zip(folder / "train.zip")
    with zipfile.ZipFile(folder / "test.zip", "w") as archive:
        archive.writestr(name, content)
    with pytest.raises(ValueError, match=f"test.zip: .*{message}"):
        cifar10.prepare(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def zip_bytes():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        pixels = np.arange(3072, dtype=np.uint16).reshape(32, 32, 3) % 256
        archive.writestr("cat/1.jpg", jpeg(pixels.astype(np.uint8)))
    return file.getvalue()


@fuzzed(content=damaged([zip_bytes()]))
def test_damaged_zips(tmp_path, content):
    path = tmp_path / "file.zip"
    path.write_bytes(content)
    try:
        images, labels = cifar10.read_zip(path)
    except ValueError as error:
        assert str(error).startswith(f"{path}: ")
        return
    assert images.shape == (len(labels), 3, 32, 32) and len(labels) > 0


@fuzzed(content=damaged([*make_batches(1).values()]) | strategies.binary())
def test_damaged_batches(tmp_path, content):
    try:
        images, labels = cifar10.read_batch(content, "file")
    except ValueError as error:
        assert str(error).startswith("file: ")
        return
    rows = np.concatenate([labels[:, None], images.reshape(-1, 3072)], axis=1)
    assert rows.tobytes() == content and labels.max() < 10


def test_download(tmp_path, monkeypatch):
    """From a folder of files, as a mirror."""
    monkeypatch.delenv("DATA_DIR", raising=False)
    (tmp_path / "served").mkdir()
    batches = make_batches()
    archive = tmp_path / "served" / cifar10.ARCHIVE
    write_archive(archive, batches)
    sha256 = sources.sha256_of(archive)
    monkeypatch.setitem(cifar10.CHECKSUMS, cifar10.ARCHIVE, sha256)
    mirrors = [(tmp_path / "served").as_uri() + "/"]
    cifar10.prepare(tmp_path / "out", mirrors=mirrors, cache=tmp_path / "cache")
    check_output(tmp_path / "out", batches)
    assert record(tmp_path / "out")["used"] == "CIFAR-10, downloaded"


def test_embedded(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "unused"))
    options = ["--output", str(tmp_path / "out"), "--source", "embedded"]
    prepare_cifar10.main(options)
    assert "scikit-learn's digits" in capsys.readouterr().out
    assert record(tmp_path / "out")["counts"] == {"train": 1497, "test": 300}
    _, images, _ = read_lmdb(tmp_path / "out/test_lmdb")
    assert (images == images[:, :1]).all() and images.max() > 250


@pytest.mark.skipif(not os.environ.get("DATA_DIR"), reason="DATA_DIR not set")
def test_real_files(tmp_path):
    paths = cifar10.find_files(sources.data_folder("cifar10"))
    if paths.keys() & cifar10.CHECKSUMS.keys():
        images, labels = cifar10.read_batches(paths)["test"]
    else:
        images, labels = cifar10.read_zip(paths["test.zip"])
    np.testing.assert_array_equal(np.bincount(labels), [1000] * 10)
    assert (
        len({hashlib.sha256(image.tobytes()).digest() for image in images})
        > 9990
    )
