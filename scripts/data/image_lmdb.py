"""Labelled images as Datum records in an LMDB, and the digits that come with
scikit-learn, in place of images that cannot be had."""

import numpy as np

from project import StorageError, import_caffe

RECORDS_PER_TRANSACTION = 5000


def datum_class():
    """Caffe's Datum message, from PYTHONPATH or the Caffe built here."""
    try:
        import_caffe()
        from caffe.proto import caffe_pb2
    except ImportError as error:
        raise ImportError(
            f"{error}; caffe.proto.caffe_pb2 is needed: build Caffe first "
            "(make help), or set PYTHONPATH to its python folder"
        ) from None
    return caffe_pb2.Datum


def write_lmdb(path, images, labels, datum_type):
    """Writes uint8 images (count, channels, height, width) and labels (count)
    as Datum records. StorageError if they cannot be written."""
    import lmdb

    try:
        _write_lmdb(lmdb, path, images, labels, datum_type)
    except lmdb.Error as error:
        raise StorageError(None, str(error), str(path)) from None


def _write_lmdb(lmdb, path, images, labels, datum_type):
    channels, height, width = images.shape[1:]
    with lmdb.open(
        str(path), map_size=4 * images.nbytes + (16 << 20), sync=False
    ) as database:
        for start in range(0, len(images), RECORDS_PER_TRANSACTION):
            stop = min(start + RECORDS_PER_TRANSACTION, len(images))
            with database.begin(write=True) as transaction:
                for i in range(start, stop):
                    datum = datum_type(
                        channels=channels,
                        height=height,
                        width=width,
                        data=images[i].tobytes(),
                        label=int(labels[i]),
                    )
                    transaction.put(
                        b"%08d" % i, datum.SerializeToString(), append=True
                    )
        database.sync(True)


def embedded_digits(side):
    """scikit-learn's 1,797 digits: {"train" and "test": (images uint8 (count,
    side, side), labels uint8 (count))}.

    8 x 8 pixels of 0-16 become side x side of 0-255; 300 digits, drawn with a
    fixed seed and the same share of each class, are the test split.
    """
    from skimage.transform import resize
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    small = load_digits()
    large = np.stack(
        [resize(image / 16, (side, side)) for image in small.images]
    )
    images = np.rint(large * 255).astype(np.uint8)
    labels = small.target.astype(np.uint8)
    train_x, test_x, train_y, test_y = train_test_split(
        images, labels, test_size=300, random_state=0, stratify=labels
    )
    return {"train": (train_x, train_y), "test": (test_x, test_y)}
