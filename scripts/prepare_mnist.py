#!/usr/bin/python3
"""Writes handwritten digits as LMDBs for Caffe's Data layer.

OUTPUT/train_lmdb and OUTPUT/test_lmdb hold one Datum a digit: 1 channel,
28 x 28 bytes row by row, 0 = background to 255 = foreground, label 0-9; keys
are the record's number in 8 digits. OUTPUT/source.json says what was used.

The digits are MNIST's four idx files in DATA_DIR/mnist (gzip-compressed or
not) if DATA_DIR is set; else a checked download; else those of scikit-learn.
Files in DATA_DIR that cannot be used are refused, never replaced.
"""
from data import mnist, sources


def main(arguments=None):
    sources.main(mnist.prepare, __doc__, "mnist", arguments)


if __name__ == "__main__":
    main()
