"""Text preparation: vocabulary, batch streams, refusals."""
import json
import os
from pathlib import Path

import h5py
import numpy as np
import pytest

import prepare_ptb
from data import ptb, sources
from nets.experiment import iterations_per_epoch

TEXTS = {"train": " the cat sat \n the dog <unk> sat \n the end \n",
         "valid": "the dog sat\na cow sat\n",
         "test": "the cat\n\nended"}
WORDS = {"train": "the cat sat <eos> the dog <unk> sat <eos> the end <eos>",
         "valid": "the dog sat <eos> <unk> <unk> sat <eos>",
         "test": "the cat <eos> <eos> <unk> <eos>"}
VOCABULARY = ["<eos>", "<unk>", "the", "sat", "cat", "dog", "end"]


class Epoch:
    """What HDF5Data delivers in one epoch: T rows at a time, from the list."""

    def __init__(self, output, split, length):
        listed = Path((output / f"{split}.txt").read_text().strip())
        with h5py.File(listed) as file:
            assert {file[name].dtype for name in file} == {np.dtype("f4")}
            self.token, self.target, self.cont = (
                file[name][()] for name in ("token", "target", "cont"))
        rows = len(self.token)
        assert self.token.shape == self.target.shape == self.cont.shape
        assert rows % length == 0
        self.iterations = rows // length

    def targets(self):
        """The predicted words in order: stream after stream."""
        columns = self.target.T
        return np.concatenate([c[c != ptb.IGNORED] for c in columns])

    def tokens(self):
        """The words before those of targets()."""
        pairs = zip(self.token.T, self.target.T)
        return np.concatenate([x[y != ptb.IGNORED] for x, y in pairs])


def write_texts(folder, texts):
    """Writes {split: text or bytes}; returns {split: path}."""
    folder.mkdir()
    paths = {split: folder / f"{split}.txt" for split in texts}
    for split, text in texts.items():
        paths[split].write_bytes(text if isinstance(text, bytes)
                                 else text.encode())
    return paths


def record(output):
    return json.loads((output / "source.json").read_text())


def vocabulary(output):
    return (output / "vocab.txt").read_text(encoding="utf-8").splitlines()


def check_split(output, split, words, length):
    """Every word is a target once, in order, and follows its token."""
    epoch = Epoch(output, split, length)
    index = {word: i for i, word in enumerate(vocabulary(output))}
    ids = [index[word] for word in words]
    np.testing.assert_array_equal(epoch.targets(), ids)
    np.testing.assert_array_equal(epoch.tokens(), [0] + ids[:-1])
    assert (epoch.cont[0] == 0).all() and (epoch.cont[1:] == 1).all()
    counts = record(output)["counts"][split]
    assert counts == {"tokens": len(ids), "unknown": ids.count(1),
                      "rows": epoch.iterations * length,
                      "iterations": epoch.iterations}
    assert epoch.iterations == iterations_per_epoch(
        len(ids), epoch.token.shape[1], length)


@pytest.mark.parametrize("batch_size, length",
                         [(1, 1), (1, 35), (2, 3), (3, 2), (5, 1), (6, 4)])
def test_every_word_is_a_target_once(tmp_path, batch_size, length):
    output = tmp_path / "ptb"
    ptb.prepare(output, **write_texts(tmp_path / "text", TEXTS),
                        batch_size=batch_size, sequence_length=length)
    assert vocabulary(output) == VOCABULARY
    assert record(output)["vocabulary"] == len(VOCABULARY)
    assert record(output)["kind"] == "files"
    for split, words in WORDS.items():
        check_split(output, split, words.split(), length)


def test_streams_by_hand():
    streams = ptb.batch_streams(np.array([2, 3, 0, 4, 5, 6, 0]), 3, 2)
    np.testing.assert_array_equal(
        streams["target"], [[2, 4, 6], [3, 5, 0], [0, -1, -1], [-1, -1, -1]])
    np.testing.assert_array_equal(
        streams["token"], [[0, 0, 5], [2, 4, 6], [3, 0, 0], [0, 0, 0]])
    np.testing.assert_array_equal(
        streams["cont"], [[0, 0, 0], [1, 1, 1], [1, 1, 1], [1, 1, 1]])


def test_streams_are_equally_long():
    ids = np.arange(1, 1001)
    target = ptb.batch_streams(ids, 7, 35)["target"]
    lengths = (target != ptb.IGNORED).sum(axis=0)
    assert lengths.sum() == 1000 and lengths.max() - lengths.min() == 1
    assert target.shape == (175, 7)  # 143 rows and the padding


def test_iterations_per_epoch():
    assert [iterations_per_epoch(n, 20, 35) for n in
            (20, 700, 701, 929589)] == [1, 1, 2, 1328]


def test_vocabulary_size(tmp_path):
    output = tmp_path / "ptb"
    ptb.prepare(output, **write_texts(tmp_path / "text", TEXTS),
                        batch_size=2, sequence_length=3, vocab_size=4)
    assert vocabulary(output) == VOCABULARY[:4]
    for split, words in WORDS.items():
        kept = [w if w in VOCABULARY[:4] else "<unk>" for w in words.split()]
        check_split(output, split, kept, 3)
    ptb.prepare(output, **{split: tmp_path / f"text/{split}.txt"
                                   for split in TEXTS},
                        batch_size=2, vocab_size=100)
    assert vocabulary(output) == VOCABULARY


def test_words_are_those_at_the_start(tmp_path):
    paths = write_texts(tmp_path / "text", TEXTS)
    ptb.prepare(tmp_path / "ptb", **paths, batch_size=2, words=3)
    check_split(tmp_path / "ptb", "train", WORDS["train"].split()[:3], 35)
    counts = record(tmp_path / "ptb")["counts"]
    assert [count["tokens"] for count in counts.values()] == [3, 3, 3]


def test_large_numbers_survive_float():
    ids = np.array([2 ** 24 - 1, 2 ** 24 - 2])
    target = ptb.batch_streams(ids, 1, 1)["target"]
    assert target[:, 0].astype(int).tolist() == ids.tolist()


BAD_TEXTS = {
    "empty": (b"", "no word"), "blank": (b" \n\n", "no word"),
    "latin-1": ("caf\u00e9 au lait".encode("latin-1"),
                "not UTF-8: byte 0xe9 at offset 3"),
    "short": (b"ox", "2 words in 3 streams"),
}


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("text, message", BAD_TEXTS.values(), ids=BAD_TEXTS)
def test_bad_text_is_refused(tmp_path, split, text, message):
    paths = write_texts(tmp_path / "text", {**TEXTS, split: text})
    with pytest.raises(ValueError, match=f"{split}.*{message}"):
        ptb.prepare(tmp_path / "out/ptb", **paths, batch_size=3)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("arguments, message", [
    ({"batch_size": 0}, "batch size is 0"),
    ({"sequence_length": -1}, "sequence length is -1"),
    ({"vocab_size": 2}, "vocabulary size is 2; legal: 3"),
    ({"words": 0}, "words is 0; legal: 1"),
    ({"test": None}, "--train, --valid and --test go together"),
    ({"test": "/nowhere/test.txt"}, "/nowhere/test.txt")])
def test_bad_argument_is_refused(tmp_path, arguments, message):
    paths = write_texts(tmp_path / "text", TEXTS)
    with pytest.raises((ValueError, OSError), match=message):
        ptb.prepare(tmp_path / "out/ptb", **{**paths, **arguments})
    assert not (tmp_path / "out").exists()


def test_too_long_text_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(ptb, "MAX_FILE_BYTES", 4 * 4 * 3)
    paths = write_texts(tmp_path / "text", TEXTS)
    with pytest.raises(ValueError, match="train: 12 words in 4 streams, 48"):
        ptb.prepare(tmp_path / "ptb", **paths, batch_size=4,
                            sequence_length=3)


def test_blank_in_path_is_refused(tmp_path):
    paths = write_texts(tmp_path / "text", TEXTS)
    with pytest.raises(ValueError, match="my data/ptb: .*blanks"):
        ptb.prepare(tmp_path / "my data/ptb", **paths)


def test_lists_are_relative_inside_the_project(tmp_path, monkeypatch):
    monkeypatch.setattr(ptb, "ROOT", tmp_path)
    monkeypatch.chdir(tmp_path)
    output = tmp_path / "build/data/ptb"
    ptb.prepare(output, **write_texts(tmp_path / "text", TEXTS),
                        batch_size=2)
    assert (output / "valid.txt").read_text() == "build/data/ptb/valid.h5\n"
    check_split(output, "valid", WORDS["valid"].split(), 35)


def test_second_run_does_nothing(tmp_path, capsys):
    paths = write_texts(tmp_path / "text", TEXTS)
    output = tmp_path / "ptb"

    def inode(**arguments):
        ptb.prepare(output, **paths, batch_size=2, **arguments)
        return output.stat().st_ino

    first = inode()
    capsys.readouterr()
    assert inode() == first and "up to date" in capsys.readouterr().out
    for change in ({"force": True}, {"vocab_size": 5}):
        before = output.stat().st_ino
        assert inode(**change) != before
    before = inode()
    paths["valid"].write_text("sat the\n")
    assert inode() != before
    check_split(output, "valid", ["sat", "the", "<eos>"], 35)


@pytest.fixture
def treebank(tmp_path, monkeypatch):
    """Small texts in place of Penn Treebank's files; returns their folder."""
    folder = tmp_path / "data/ptb"
    folder.parent.mkdir()
    paths = write_texts(folder, TEXTS)
    for split, path in paths.items():
        path.rename(folder / f"ptb.{split}.txt")
    monkeypatch.setattr(ptb, "CHECKSUMS", {
        name: sources.sha256_of(folder / name)
        for name in ptb.CHECKSUMS})
    return folder


def test_data_dir(treebank, tmp_path, monkeypatch):
    monkeypatch.setenv("DATA_DIR", str(treebank.parent))
    ptb.prepare(tmp_path / "ptb", batch_size=2)
    assert record(tmp_path / "ptb")["kind"] == "DATA_DIR"
    for split, words in WORDS.items():
        check_split(tmp_path / "ptb", split, words.split(), 35)


def test_bad_data_dir_is_refused(treebank, tmp_path, monkeypatch):
    monkeypatch.setenv("DATA_DIR", str(treebank.parent))
    path = treebank / "ptb.valid.txt"
    for damaged in (path.read_bytes()[:-5], b""):
        path.write_bytes(damaged)
        with pytest.raises(SystemExit, match="ptb.valid.txt: damaged or not"):
            prepare_ptb.main(["--output", str(tmp_path / "out/ptb")])
    path.unlink()
    with pytest.raises(ValueError, match="ptb.valid.txt: missing"):
        ptb.prepare(tmp_path / "out/ptb")
    assert not (tmp_path / "out").exists()


def test_download(treebank, tmp_path, monkeypatch):
    monkeypatch.delenv("DATA_DIR", raising=False)
    ptb.prepare(tmp_path / "ptb", batch_size=2,
                        cache=tmp_path / "cache",
                        mirrors=[treebank.as_uri() + "/"])
    assert record(tmp_path / "ptb")["kind"] == "download"
    check_split(tmp_path / "ptb", "train", WORDS["train"].split(), 35)


def test_without_mirrors_embedded_is_used(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("DATA_DIR", raising=False)
    ptb.prepare(tmp_path / "ptb", cache=tmp_path / "cache",
                        mirrors=[(tmp_path / "nowhere").as_uri() + "/"])
    printed = capsys.readouterr().out
    assert "ptb.train.txt: " in printed and "no mirror could be used" in printed
    assert record(tmp_path / "ptb")["kind"] == "embedded"


def test_a_folder_that_was_moved_is_prepared_again(tmp_path):
    """The lists of files outside of the repository name it."""
    prepare_ptb.main(["--output", str(tmp_path / "old"),
                      "--source", "embedded"])
    (tmp_path / "old").rename(tmp_path / "new")
    prepare_ptb.main(["--output", str(tmp_path / "new"),
                      "--source", "embedded"])
    listed = (tmp_path / "new/train.txt").read_text().strip()
    assert listed == str(tmp_path / "new/train.h5")


def test_embedded_text(tmp_path, monkeypatch):
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "unused"))
    prepare_ptb.main(["--output", str(tmp_path / "ptb"),
                      "--source", "embedded"])
    words = ptb.embedded_words()
    total = sum(map(len, words.values()))
    for split, share in (("train", 0.8), ("valid", 0.1), ("test", 0.1)):
        assert abs(len(words[split]) / total - share) < 0.02
        assert len(words[split]) > 5000
        assert words[split] == [word.lower() for word in words[split]]
        check_split(tmp_path / "ptb", split, words[split], 35)
    counts = record(tmp_path / "ptb")["counts"]
    assert counts["train"]["unknown"] > 0
    assert counts["test"]["unknown"] < 0.1 * counts["test"]["tokens"]


@pytest.mark.skipif(not os.environ.get("DATA_DIR"), reason="DATA_DIR not set")
def test_real_files(tmp_path):
    output = tmp_path / "ptb"
    ptb.prepare(output)
    counts = record(output)["counts"]
    assert [counts[s]["tokens"] for s in ptb.SPLITS] == [
        929589, 73760, 82430]
    assert [counts[s]["iterations"] for s in ptb.SPLITS] == [
        1328, 106, 118]
    assert len(set(vocabulary(output))) == len(vocabulary(output)) == 10000
    path = Path(os.environ["DATA_DIR"]) / "ptb/ptb.test.txt"
    check_split(output, "test", ptb.read_words(path), 35)
