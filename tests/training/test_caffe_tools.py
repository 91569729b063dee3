"""Caffe's tools beside `caffe` in build/bin; those of images are tested by
test_images.py."""

import subprocess

import numpy as np
import pytest

from project import ROOT

V1_NET = """
name: "old"
input: "data" input_dim: 2 input_dim: 3 input_dim: 1 input_dim: 1
layers { name: "fc" type: INNER_PRODUCT bottom: "data" top: "fc"
  blobs_lr: 1 blobs_lr: 2 inner_product_param { num_output: 4
    weight_filler { type: "xavier" } } }
"""
DATA_NET = """
layer { name: "data" type: "DummyData" top: "data"
  dummy_data_param { shape { dim: 2 dim: 3 }
    data_filler { type: "constant" value: 1 } } }
layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc"
  inner_product_param { num_output: 4 weight_filler { type: "xavier" } } }
"""


def run(tool, *arguments):
    subprocess.run([ROOT / "build/bin" / tool, *arguments], check=True,
                   capture_output=True)


def message(name):
    from caffe.proto import caffe_pb2

    return getattr(caffe_pb2, name)()


def test_upgrade_of_a_net_as_text(tmp_path):
    from google.protobuf import text_format

    (tmp_path / "old").write_text(V1_NET)
    run("upgrade_net_proto_text", tmp_path / "old", tmp_path / "new")
    net = text_format.Parse((tmp_path / "new").read_text(),
                            message("NetParameter"))
    assert [layer.type for layer in net.layer] == ["Input", "InnerProduct"]
    assert [param.lr_mult for param in net.layer[1].param] == [1, 2]


def test_upgrade_of_a_binary_net(tmp_path):
    from google.protobuf import text_format

    old = text_format.Parse(V1_NET, message("NetParameter"))
    (tmp_path / "old").write_bytes(old.SerializeToString())
    run("upgrade_net_proto_binary", tmp_path / "old", tmp_path / "new")
    net = message("NetParameter")
    net.ParseFromString((tmp_path / "new").read_bytes())
    assert [layer.type for layer in net.layer] == ["Input", "InnerProduct"]


def test_upgrade_of_a_solver(tmp_path):
    (tmp_path / "old").write_text('net: "a" solver_type: ADAM')
    run("upgrade_solver_proto_text", tmp_path / "old", tmp_path / "new")
    assert 'type: "Adam"' in (tmp_path / "new").read_text()


@pytest.mark.parametrize("backend", ["lmdb", "leveldb"])
def test_extract_features(tmp_path, backend):
    import caffe

    (tmp_path / "net").write_text(DATA_NET)
    net = caffe.Net(str(tmp_path / "net"), caffe.TEST)
    net.save(str(tmp_path / "weights"))
    expected = net.forward()["fc"]
    run("extract_features", tmp_path / "weights", tmp_path / "net", "fc",
        tmp_path / "features", "3", backend)
    (tmp_path / "reader").write_text(f"""
        layer {{ name: "data" type: "Data" top: "data" data_param {{
          source: "{tmp_path}/features" batch_size: 6
          backend: {backend.upper()} }} }}""")
    reader = caffe.Net(str(tmp_path / "reader"), caffe.TEST)
    found = reader.forward()["data"].reshape(6, 4)
    assert np.array_equal(found, np.tile(expected, (3, 1)))
