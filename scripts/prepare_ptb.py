#!/usr/bin/python3
"""Writes text as batch streams of words for Caffe's HDF5Data layer.

OUTPUT/{train,valid,test}.txt is the `source` of a layer with the tops token,
target and cont and batch_size T, the sequence length; each top is then T x N.
The .h5 file it names holds three float32 datasets of rows x N, one row a time
step, one column for each of N batch streams, rows a multiple of T:

  target  The words to predict. The split's words are cut, in order, into N
          contiguous streams whose lengths differ by at most one, so that every
          word is a target exactly once. Below a stream's end: -1, to be given
          as ignore_label.
  token   The word before the target, also across the border of two streams;
          <eos> before the split's first word and below a stream's end.
  cont    0 in the first row, where the LSTM's state is cleared, 1 elsewhere.

An epoch is rows / T iterations. OUTPUT/vocab.txt lists the words in the order
of their numbers, from 0: <eos>, <unk>, then the training text's other words,
the most frequent first. Each line of text is followed by <eos>; words not in
vocab.txt become <unk>. OUTPUT/source.json gives the counts.

The text is Penn Treebank in DATA_DIR/ptb if DATA_DIR is set; else a checked
download; else the English manual that comes with Python; or the three files
named by --train, --valid and --test.
"""
from data import ptb, sources


def add_options(parser):
    for split in ptb.SPLITS:
        parser.add_argument(f"--{split}", metavar="FILE",
                            help=f"UTF-8 text to use as {split} split")
    parser.add_argument("--batch-size", type=int, default=20, metavar="N",
                        help="batch streams (default: 20)")
    parser.add_argument("--sequence-length", type=int, default=35,
                        metavar="T", help="rows per iteration (default: 35)")
    parser.add_argument("--vocab-size", type=int, metavar="V",
                        help="words kept, <eos> and <unk> among them "
                        "(default: all of the training text)")
    parser.add_argument("--words", type=int, metavar="WORDS",
                        help="of each split, from its start (default: all)")


def main(arguments=None):
    sources.main(ptb.prepare, __doc__, "ptb", arguments, add_options)


if __name__ == "__main__":
    main()
