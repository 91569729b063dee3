"""MNIST preparation: idx files, downloads, LMDB records, refusals."""
import gzip
import hashlib
import http.server
import json
import os
import re
import struct
import threading
import time
from pathlib import Path

import lmdb
import numpy as np
import pytest

import prepare_mnist
from data import image_lmdb, mnist, sources

TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS = mnist.CHECKSUMS


def idx(values, magic=None, sizes=None):
    """Bytes of an idx file; magic and sizes may be wrong on purpose."""
    magic = 0x800 + values.ndim if magic is None else magic
    sizes = values.shape if sizes is None else sizes
    return struct.pack(f">{1 + len(sizes)}I", magic, *sizes) + values.tobytes()


def make_digits():
    """{split: (images, labels)} of 23 and 10 random digits."""
    random = np.random.default_rng(5)
    return {split: (random.integers(0, 256, (count, 28, 28), np.uint8),
                    np.arange(count, dtype=np.uint8) % 10)
            for split, count in (("train", 23), ("test", 10))}


def write_files(folder, digits):
    """Writes the four idx files; returns {name: SHA-256}."""
    folder.mkdir(parents=True)
    arrays = [array for split in digits.values() for array in split]
    for name, array in zip(mnist.CHECKSUMS, arrays):
        (folder / name).write_bytes(gzip.compress(idx(array)))
    return {name: sources.sha256_of(folder / name)
            for name in mnist.CHECKSUMS}


def read_lmdb(path):
    """Keys, images and labels of a folder of Datum records."""
    Datum = image_lmdb.datum_class()
    with lmdb.open(str(path), readonly=True) as database:
        with database.begin() as transaction:
            items = list(transaction.cursor())
    data = [Datum.FromString(value) for _, value in items]
    assert {(d.channels, d.height, d.width) for d in data} == {(1, 28, 28)}
    images = np.stack([np.frombuffer(d.data, np.uint8) for d in data])
    return ([key for key, _ in items], images.reshape(-1, 28, 28),
            np.array([d.label for d in data]))


def check_output(output, digits):
    for split, (images, labels) in digits.items():
        keys, found_images, found_labels = read_lmdb(output / f"{split}_lmdb")
        assert keys == [b"%08d" % i for i in range(len(labels))]
        np.testing.assert_array_equal(found_images, images)
        np.testing.assert_array_equal(found_labels, labels)


def record(output):
    return json.loads((output / "source.json").read_text())


@pytest.fixture
def given(tmp_path, monkeypatch):
    """A good DATA_DIR; returns its folder mnist and the digits in it."""
    digits = make_digits()
    write_files(tmp_path / "data/mnist", digits)
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "data"))
    return tmp_path / "data/mnist", digits


@pytest.mark.parametrize("compressed", [True, False])
def test_lmdb_equals_idx(given, tmp_path, capsys, compressed):
    folder, digits = given
    if not compressed:
        for path in list(folder.iterdir()):
            path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
            path.unlink()
    output = tmp_path / "out/mnist"
    mnist.prepare(output)
    check_output(output, digits)
    assert record(output)["kind"] == "DATA_DIR"
    assert record(output)["counts"] == {"train": 23, "test": 10}
    assert list(output.parent.iterdir()) == [output]
    printed = capsys.readouterr().out
    assert "23 training and 10 test digits" in printed
    assert ("not MNIST's own file" in printed) == compressed


BAD_FILES = {  # name: (damage to the file of images, of labels; message)
    "payload": (lambda i, y: (idx(i)[:-1], None), "the header counts 23"),
    "longer": (lambda i, y: (idx(i) + b"\0", None), "the header counts 23"),
    "count": (lambda i, y: (None, idx(y, sizes=(22,))), "22 items"),
    "empty": (lambda i, y: (b"", None), "0 bytes"),
    "no items": (lambda i, y: (idx(i[:0]), None), "at least one"),
    "magic": (lambda i, y: (idx(i, magic=0x801), None), "0x00000801, not"),
    "swapped": (lambda i, y: (None, idx(i)), "0x00000803, not 0x00000801"),
    "27 wide": (lambda i, y: (idx(i[:, :, 1:]), None), r"items of \(28, 27\)"),
    "label 10": (lambda i, y: (None, idx(y + (y == 9))), "label 10 at pos"),
    "mismatch": (lambda i, y: (None, idx(y[1:])), "22 labels"),
}


@pytest.mark.parametrize("damage, message", BAD_FILES.values(), ids=BAD_FILES)
def test_bad_idx_is_refused(given, tmp_path, damage, message):
    folder, digits = given
    for name, content in zip((TRAIN_IMAGES, TRAIN_LABELS),
                             damage(*digits["train"])):
        if content is not None:
            (folder / name).write_bytes(gzip.compress(content))
            bad = name
    with pytest.raises(ValueError, match=f"{bad}.*{message}"):
        mnist.prepare(tmp_path / "out/mnist")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", [TRAIN_IMAGES, TEST_LABELS])
@pytest.mark.parametrize("damage", [
    lambda content: content[:len(content) // 2],
    lambda content: content[:30] + b"\xff" * 8 + content[38:],
    lambda content: b"<html>" + content], ids=["cut", "damaged", "not gzip"])
def test_bad_gzip_is_refused(given, tmp_path, name, damage):
    path = given[0] / name
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=f"{name}: damaged gzip file"):
        mnist.prepare(tmp_path / "out/mnist")
    assert not (tmp_path / "out").exists()


def test_missing_file_is_refused(given, tmp_path):
    (given[0] / TEST_IMAGES).unlink()
    with pytest.raises(ValueError, match=f"{TEST_IMAGES}: missing"):
        mnist.prepare(tmp_path / "out/mnist")
    assert not (tmp_path / "out").exists()


def test_refusal_keeps_what_is_there(given, tmp_path):
    folder, digits = given
    output = tmp_path / "mnist"
    mnist.prepare(output)
    (folder / TEST_LABELS).write_bytes(b"")
    with pytest.raises(ValueError, match=TEST_LABELS):
        mnist.prepare(output)
    check_output(output, digits)


def test_second_run_does_nothing(given, tmp_path, capsys):
    folder, digits = given
    output = tmp_path / "mnist"
    mnist.prepare(output)
    first = output.stat().st_ino
    capsys.readouterr()
    mnist.prepare(output)
    assert "up to date" in capsys.readouterr().out
    assert output.stat().st_ino == first
    mnist.prepare(output, force=True)
    second = output.stat().st_ino
    assert second != first

    digits["test"][1][0] = 7
    (folder / TEST_LABELS).write_bytes(gzip.compress(idx(digits["test"][1])))
    mnist.prepare(output)
    check_output(output, digits)


def test_foreign_folder_is_not_replaced(given, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/letter").write_text("dear")
    with pytest.raises(ValueError, match="mine: holds files"):
        mnist.prepare(tmp_path / "mine", force=True)
    assert (tmp_path / "mine/letter").read_text() == "dear"


def test_program_reports_refusal(given, tmp_path):
    (given[0] / TRAIN_LABELS).unlink()
    with pytest.raises(SystemExit, match=f"error: .*{TRAIN_LABELS}"):
        prepare_mnist.main(["--output", str(tmp_path / "mnist")])


def test_embedded_digits(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "unused"))
    prepare_mnist.main(["--output", str(tmp_path / "mnist"),
                        "--source", "embedded"])
    assert "scikit-learn's digits" in capsys.readouterr().out
    assert record(tmp_path / "mnist")["kind"] == "embedded"
    sizes = {}
    for split in ("train", "test"):
        _, images, labels = read_lmdb(tmp_path / f"mnist/{split}_lmdb")
        sizes[split] = len(images)
        shares = np.bincount(labels, minlength=10) / len(labels)
        assert len(shares) == 10 and abs(shares - 0.1).max() < 0.01
        assert images.min() == 0 and images.max() > 250
        assert images[:, 0, 0].max() < images[:, 14, 14].mean()
    assert sizes == {"train": 1497, "test": 300}


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves a folder; first path component says how well."""

    def do_GET(self):
        self.server.asked.append(self.path)
        manner, name = self.path.strip("/").split("/")
        content = (self.server.folder / name).read_bytes()
        if manner == "silent":
            self.server.stop.wait()
            return
        if manner == "absent":
            self.send_error(404)
            return
        if manner == "corrupt":
            content = content[:-20] + b"\0" * 20
        if manner == "short":
            content = content[:-20]
        self.send_response(200)
        self.end_headers()
        for start in range(0, len(content), 100):
            self.wfile.write(content[start:start + 100])
            if manner == "slow" and self.server.stop.wait(0.05):
                return

    def log_message(self, *arguments):
        """Keeps the tests quiet."""


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A mirror on 127.0.0.1; DATA_DIR is not set."""
    monkeypatch.delenv("DATA_DIR", raising=False)
    digits = make_digits()
    monkeypatch.setattr(mnist, "CHECKSUMS",
                        write_files(tmp_path / "served", digits))
    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    httpd.daemon_threads = True
    httpd.folder, httpd.digits = tmp_path / "served", digits
    httpd.asked, httpd.stop = [], threading.Event()
    threading.Thread(target=httpd.serve_forever, args=(0.02,),
                     daemon=True).start()
    yield httpd
    httpd.stop.set()
    httpd.shutdown()
    httpd.server_close()


def download(server, output, *manners):
    """Prepares from one mirror a manner; returns seconds taken."""
    start = time.monotonic()
    base = f"http://127.0.0.1:{server.server_address[1]}"
    mnist.prepare(output, timeout_s=1.0, cache=output.parent / "cache",
                          mirrors=[f"{base}/{m}/" for m in manners])
    return time.monotonic() - start


def test_download(server, tmp_path):
    output = tmp_path / "mnist"
    download(server, output, "good")
    check_output(output, server.digits)
    assert record(output)["kind"] == "download"
    assert record(output)["files"] == mnist.CHECKSUMS
    assert len(server.asked) == 4
    download(server, tmp_path / "again", "good")  # from the cache
    assert len(server.asked) == 4
    damaged = tmp_path / "cache" / TRAIN_IMAGES
    damaged.write_bytes(damaged.read_bytes()[:-1])
    download(server, tmp_path / "third", "good")
    assert server.asked[4:] == [f"/good/{TRAIN_IMAGES}"]
    check_output(tmp_path / "third", server.digits)


def test_real_data_stays_where_nothing_better_can_be_had(
        server, tmp_path, monkeypatch, capsys):
    """In another shell, say, in which DATA_DIR is not set."""
    output, digits = tmp_path / "mnist", make_digits()
    write_files(tmp_path / "data/mnist", digits)
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "data"))
    mnist.prepare(output)
    monkeypatch.delenv("DATA_DIR")
    download(server, output, "absent")
    assert "up to date, holds MNIST in DATA_DIR" in capsys.readouterr().out
    check_output(output, digits)
    mnist.prepare(output, source="embedded")
    assert record(output)["kind"] == "embedded"


def test_two_at_once_download_once(server, tmp_path):
    outputs = [tmp_path / name for name in "ab"]
    threads = [threading.Thread(target=download, args=(server, each, "good"))
               for each in outputs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for each in outputs:
        check_output(each, server.digits)
    assert len(server.asked) == 4


def test_two_at_once_replace_one_folder(tmp_path):
    output = tmp_path / "data"
    source = sources.record_of("embedded", "nothing")
    with sources.replacing(output, {}, source) as first:
        with sources.replacing(output, {}, source) as second:
            (second / "two").write_text("")
        (first / "one").write_text("")
    assert sorted(x.name for x in output.iterdir()) == ["one", "source.json"]
    assert list(tmp_path.iterdir()) == [output]
    assert output.stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("manner, message", [
    ("corrupt", "corrupt: SHA-256"), ("short", "corrupt: SHA-256"),
    ("absent", "404"), ("silent", "no answer|timed out")])
def test_bad_mirror_is_left_for_the_next(server, tmp_path, capsys, manner,
                                         message):
    assert download(server, tmp_path / "mnist", manner, "good") < 5
    check_output(tmp_path / "mnist", server.digits)
    printed = capsys.readouterr().out
    assert re.search(f"/{manner}/{TRAIN_IMAGES}: .*({message})", printed)
    assert server.asked[1:] == [f"/good/{n}" for n in mnist.CHECKSUMS]


def test_slow_mirror_is_given_up(server, tmp_path, capsys):
    base = f"http://127.0.0.1:{server.server_address[1]}/slow/"
    start = time.monotonic()
    assert sources.download(mnist.CHECKSUMS, [base],
                                 tmp_path / "cache", limit_s=0.5) is None
    assert time.monotonic() - start < 2
    assert "not done after 0.5 s" in capsys.readouterr().out
    assert not list((tmp_path / "cache").iterdir())


def test_without_mirrors_embedded_is_used(server, tmp_path, capsys):
    output = tmp_path / "mnist"
    server.asked.clear()
    download(server, output, "absent", "corrupt")
    assert "no mirror could be used; instead: scikit-learn's" in (
        capsys.readouterr().out)
    assert record(output)["kind"] == "embedded"
    assert not list((tmp_path / "cache").iterdir())
    download(server, output, "good")
    assert "up to date" in capsys.readouterr().out and len(server.asked) == 2


@pytest.mark.skipif(not os.environ.get("DATA_DIR"), reason="DATA_DIR not set")
def test_real_files(tmp_path, capsys):
    mnist.prepare(tmp_path / "mnist")
    assert record(tmp_path / "mnist")["counts"] == {"train": 60000,
                                                    "test": 10000}
    printed = capsys.readouterr().out
    assert "MNIST in DATA_DIR" in printed and "note:" not in printed
    keys, images, labels = read_lmdb(tmp_path / "mnist/test_lmdb")
    assert len(keys) == len(set(keys)) == 10000
    assert hashlib.sha256(images.tobytes()).hexdigest() == hashlib.sha256(
        gzip.decompress((Path(os.environ["DATA_DIR"]) / "mnist" /
                         TEST_IMAGES).read_bytes())[16:]).hexdigest()
    np.testing.assert_array_equal(np.bincount(labels), [
        980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009])
