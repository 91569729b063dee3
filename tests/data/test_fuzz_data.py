"""Damaged idx files and texts: read as they are, or refused by name."""

import gzip
import os
import struct

import numpy as np
import pytest
from hypothesis import strategies

from data import mnist, ptb
from fuzz import damaged, fuzzed

PIXELS = bytes(range(256)) * 3 + bytes(16)  # 28 x 28
IMAGES = struct.pack(">4I", 0x803, 2, 28, 28) + PIXELS * 2
LABELS = struct.pack(">2I", 0x801, 3) + b"\3\1\4"
HEADERS = strategies.builds(
    lambda words, rest: struct.pack(f">{len(words)}I", *words) + rest,
    strategies.lists(
        strategies.sampled_from([0, 1, 2, 28, 0x801, 0x803, 2**31, 2**32 - 1]),
        min_size=1,
        max_size=5,
    ),
    strategies.binary(max_size=40),
)


@fuzzed(
    content=damaged([IMAGES, LABELS]) | HEADERS,
    of=strategies.sampled_from([(0x803, (28, 28)), (0x801, ())]),
)
def test_idx(tmp_path, content, of):
    magic, sizes = of
    path = tmp_path / "file"
    path.write_bytes(content)
    try:
        values = mnist.read_idx(path, magic, sizes)
    except ValueError as error:
        assert str(error).startswith(f"{path}: ") and "\n" not in str(error)
        return
    header = struct.pack(f">{2 + len(sizes)}I", magic, *values.shape)
    assert header + values.tobytes() == content


@fuzzed(content=damaged([gzip.compress(IMAGES, mtime=0)]))
def test_idx_in_gzip(tmp_path, content):
    path = tmp_path / "file.gz"
    path.write_bytes(content)
    try:
        values = mnist.read_idx(path, 0x803, (28, 28))
    except ValueError as error:
        assert str(error).startswith(f"{path}: ") and "\n" not in str(error)
        return
    np.testing.assert_array_equal(values.tobytes(), IMAGES[16:])


TEXTS = [b"a b\n\nc <unk> d\n", "\ufeffä\u2028b c\r\n".encode(), b"word"]


@fuzzed(
    content=damaged(TEXTS)
    | strategies.text(max_size=40).map(
        lambda text: text.encode(errors="surrogatepass")
    )
)
def test_text(tmp_path, content):
    path = tmp_path / "file"
    path.write_bytes(content)
    try:
        words = ptb.read_words(path)
    except ValueError as error:
        assert str(error).startswith(f"{path}: ") and "\n" not in str(error)
        return
    assert words[-1] == "<eos>" and set(words) != {"<eos>"}
    assert all(word and not any(map(str.isspace, word)) for word in words)
    text = content.decode("utf-8-sig").replace("<eos>", "")
    written = [word for word in words if word != "<eos>"]
    assert "".join(written) == "".join(text.split()) or "<eos>" in (
        content.decode()
    )


@pytest.mark.parametrize(
    "name", ["train-images-idx3-ubyte.gz", "train-images-idx3-ubyte"]
)
def test_folder_in_a_files_place(tmp_path, name):
    (tmp_path / name).mkdir()
    with pytest.raises(ValueError, match=f"{name}: is no file"):
        mnist.find_files(tmp_path)


def test_text_that_is_a_folder_or_binary(tmp_path):
    for split in "train", "valid", "test":
        (tmp_path / split).write_text("a b\n" * 20)
    texts = {split: tmp_path / split for split in ("train", "valid", "test")}
    (tmp_path / "folder").mkdir()
    (tmp_path / "binary").write_bytes(b"a\0b")
    (tmp_path / "empty").write_bytes(b"\xef\xbb\xbf \n")
    for name, message in (
        ("folder", "folder: is no file"),
        ("binary", "binary: no text: it holds NUL"),
        ("empty", "empty: 2 characters, but no word"),
    ):
        with pytest.raises(ValueError, match=message):
            ptb.prepare(tmp_path / "out", **{**texts, "valid": tmp_path / name})
    with pytest.raises(FileNotFoundError, match="absent"):
        ptb.prepare(tmp_path / "out", **{**texts, "test": tmp_path / "absent"})
    assert not (tmp_path / "out").exists()


def test_file_that_may_not_be_read(tmp_path):
    for name in mnist.CHECKSUMS:
        (tmp_path / name).write_bytes(gzip.compress(LABELS))
        (tmp_path / name).chmod(0)
    root = os.geteuid() == 0
    if root:  # who may read everything
        os.seteuid(65534)
    try:
        with pytest.raises(PermissionError, match="Permission denied: .*ubyte"):
            mnist.read_splits(mnist.find_files(tmp_path))
    finally:
        if root:
            os.seteuid(0)
