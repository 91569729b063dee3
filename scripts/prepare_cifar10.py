#!/usr/bin/python3
"""Writes CIFAR-10's images as LMDBs for Caffe's Data layer.

OUTPUT/train_lmdb and OUTPUT/test_lmdb hold one Datum an image: 3 channels,
red, green and blue, 32 x 32 bytes row by row, label 0-9; keys are the record's
number in 8 digits. OUTPUT/source.json says what was used.

The images are those in DATA_DIR/cifar10 if DATA_DIR is set: CIFAR-10's binary
version, as the .tar.gz or its .bin files, or train.zip and test.zip with JPEGs
named CLASS/NAME.jpg. Else a checked download of the binary version; else
scikit-learn's handwritten digits, grey. Files in DATA_DIR that cannot be used
are refused, never replaced.
"""

from data import cifar10, sources


def main(arguments=None):
    sources.main(cifar10.prepare, __doc__, "cifar10", arguments)


if __name__ == "__main__":
    main()
