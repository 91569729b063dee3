"""Caffe's protobuf messages, loaded when they are first needed, and nets."""

ADVICE = (
    "run make, and put the patched Caffe's Python folder "
    "(build/caffe/python) into PYTHONPATH"
)


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


def read_net(path):
    """The NetParameter in a prototxt; ValueError says where it is wrong."""
    from google.protobuf import text_format

    net = load_caffe_pb2().NetParameter()
    with open(path, encoding="utf-8") as file:
        try:
            return text_format.Parse(file.read(), net)
        except (text_format.ParseError, UnicodeDecodeError) as error:
            raise ValueError(f"{path}: {error}") from error
