"""Caffe's protobuf messages, loaded when they are first needed, and nets."""

import codecs
import os
import shutil

ADVICE = (
    "run make, and put the patched Caffe's Python folder "
    "(build/caffe/python) into PYTHONPATH"
)
_BYTE_ORDER_MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
# Each byte is one character of it: any text survives reading and writing.
_BYTES = "latin-1"


def load_caffe_pb2():
    """caffe.proto.caffe_pb2 of the patched Caffe.

    Raises ImportError, saying what to do, if there is none or only stock
    Caffe's.
    """
    try:
        from caffe.proto import caffe_pb2
    except ImportError as error:
        raise ImportError(
            f"caffe.proto.caffe_pb2 cannot be imported ({error}); {ADVICE}"
        ) from error
    if (
        "approx_dropout_param"
        not in caffe_pb2.LayerParameter.DESCRIPTOR.fields_by_name
    ):
        raise ImportError(f"{caffe_pb2.__file__} is stock Caffe's; {ADVICE}")
    return caffe_pb2


def read_text(path):
    """(text, encoding) of a prototxt in whatever encoding it is, without its
    byte order mark. Caffe takes any bytes in comments and strings, so what is
    not UTF-8 is read byte by byte, and is written so again."""
    with open(path, "rb") as file:
        data = file.read()
    for mark, encoding in _BYTE_ORDER_MARKS.items():
        if data.startswith(mark):
            data = data[len(mark) :]
            if encoding != "utf-8":
                return data.decode(encoding), "utf-8"
            break
    try:
        return data.decode("utf-8"), "utf-8"
    except UnicodeDecodeError:
        return data.decode(_BYTES), _BYTES


def parse_net(text, path="net"):
    """The NetParameter of a prototxt's text; ValueError says where it is wrong,
    beginning with `path`."""
    from google.protobuf import text_format

    net = load_caffe_pb2().NetParameter()
    try:
        return text_format.Parse(text, net)
    except text_format.ParseError as error:
        raise ValueError(f"{path}: {error}") from error


def read_net(path):
    """The NetParameter in a prototxt; ValueError says where it is wrong."""
    return parse_net(read_text(path)[0], path)


def net_bytes(net, encoding="utf-8"):
    """A net as the bytes of a prototxt; ValueError names what the encoding has
    no bytes for."""
    from google.protobuf import text_format

    text = text_format.MessageToString(net, as_utf8=True)
    try:
        return text.encode(encoding)
    except UnicodeEncodeError as error:
        raise ValueError(
            f"the net is in {encoding}, which has no "
            f"{text[error.start : error.end]!r}"
        ) from None


def write_whole(path, data):
    """Writes bytes into a file; a failure leaves no half of it behind.

    A file that is there keeps its mode, a link leads to the new file, and what
    is no file, a pipe or a device, is written to.
    """
    if os.path.exists(path) and not os.path.isfile(path):
        with open(path, "wb") as file:
            file.write(data)
        return
    path = os.path.realpath(path)
    temporary = f"{path}.{os.getpid()}.part"
    try:
        with open(temporary, "wb") as file:
            file.write(data)
        if os.path.exists(path):
            shutil.copymode(path, temporary)
        os.replace(temporary, path)
    except OSError:
        if os.path.exists(temporary):
            os.remove(temporary)
        raise
