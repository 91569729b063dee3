"""approx-dropout search and convert, as users type them."""

import os
import subprocess
import sys
import types

import pytest
from caffe.proto import caffe_pb2
from google.protobuf import text_format

from approx_dropout import __version__
from approx_dropout.__main__ import main
from approx_dropout.search import PERIOD_LAMBDA3, search
from project import ROOT

NET = """
layer { name: "data" type: "Input" top: "x" }
layer { name: "fc" type: "InnerProduct" bottom: "x" top: "fc"
        inner_product_param { num_output: 32
                              weight_filler { type: "gaussian" std: 0.005 } } }
layer { name: "relu" type: "ReLU" bottom: "fc" top: "fc" }
layer { name: "drop" type: "Dropout" bottom: "fc" top: "fc"
        dropout_param { dropout_ratio: 0.7 } }
layer { name: "out" type: "InnerProduct" bottom: "fc" top: "out"
        inner_product_param { num_output: 10 } }
"""


def run_module(*arguments):
    """python3 -m approx_dropout, where there is no Caffe."""
    return subprocess.run(
        [sys.executable, "-m", "approx_dropout", *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT / "python_layers")},
        capture_output=True,
        text=True,
    )


@pytest.fixture
def run(capsys):
    """The same within this process: returncode, out, err."""

    def run(*arguments):
        code = main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return types.SimpleNamespace(returncode=code, out=out, err=err)

    return run


@pytest.fixture
def net_file(tmp_path):
    path = tmp_path / "net.prototxt"
    path.write_text(NET)
    return path


def parse(text):
    return text_format.Parse(text, caffe_pb2.NetParameter())


@pytest.mark.parametrize("family, max_period", [("PERIOD", 16), ("RESIDUE", 8)])
def test_search_prints_for_a_prototxt(run, family, max_period):
    done = run(
        "search", "--rate", 0.7, "--family", family, "--max-period", max_period
    )
    assert (done.returncode, done.err) == (0, "")
    layer = text_format.Parse(done.out, caffe_pb2.LayerParameter())
    result = search(0.7, family, max_period)
    param = layer.dropout_pattern_param
    assert list(param.probability) == list(result.probability)
    assert param.Family.Name(param.family) == family
    comments = [line for line in done.out.splitlines() if line[0] == "#"]
    for value in (
        f"{result.rate:.6f}",
        f"{result.entropy:.4f}",
        f"{result.spread:.6f}",
    ):
        assert value in comments[1]


def test_search_takes_lambdas_and_seed(run):
    done = run(
        "search",
        "--rate",
        0.5,
        "--max-period",
        4,
        "--lambda1",
        0.8,
        "--lambda2",
        0.01,
        "--lambda3",
        0.1,
        "--seed",
        5,
    )
    layer = text_format.Parse(done.out, caffe_pb2.LayerParameter())
    assert list(layer.dropout_pattern_param.probability) == list(
        search(0.5, "RESIDUE", 4, 0.8, 0.01, 0.1, 5).probability
    )


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--rate", 0.95], "max_period must be at least 20"),
        (["--rate", 1.5], "dropout_ratio is 1.5"),
        (["--rate", "nan"], "dropout_ratio is nan"),
        (["--rate", 0.5, "--lambda2", -1], "lambda2 is -1.0"),
    ],
)
def test_search_refuses(run, arguments, message):
    done = run("search", *arguments)
    assert done.returncode == 1 and done.out == ""
    assert done.err.startswith("approx-dropout: ")
    assert message in done.err and "Traceback" not in done.err


def test_convert(run, net_file):
    done = run("convert", net_file)
    assert done.returncode == 0
    assert done.err == (
        "Dropout 'drop': InnerProduct 'fc' drops ROW, compact\n"
    )
    assert [x.type for x in parse(done.out).layer] == [
        "Input",
        "Python",
        "DropoutPattern",
        "ApproxDropoutInnerProduct",
        "ReLU",
        "ApproxDropoutInnerProduct",
    ]
    assert "std: 0.005\n" in done.out
    assert '\\"dropout_ratio\\": 0.7,' in done.out


def test_convert_options(run, net_file, tmp_path):
    output = tmp_path / "converted.prototxt"
    done = run(
        "convert",
        net_file,
        "--pattern",
        "TILE",
        "--family",
        "PERIOD",
        "--max-period",
        5,
        "--inline-probability",
        "-o",
        output,
    )
    assert (done.returncode, done.out) == (0, "")
    net = parse(output.read_text())
    assert [x.type for x in net.layer] == [
        "Input",
        "InnerProduct",
        "ReLU",
        "DropoutPattern",
        "ApproxDropoutInnerProduct",
    ]
    assert list(net.layer[3].dropout_pattern_param.probability) == list(
        search(0.7, "PERIOD", 5, lambda3=PERIOD_LAMBDA3).probability
    )
    assert sorted(x.name for x in tmp_path.iterdir()) == [
        "converted.prototxt",
        "net.prototxt",
    ]


def test_convert_groups(run, net_file):
    done = run("convert", net_file, "--groups", 5)
    assert "dropout_pattern_param {\n    family: RESIDUE\n    groups: 5" in (
        done.out
    )
    done = run("convert", net_file, "--groups", 5, "--last-groups", 0)
    assert "last_groups is 0, must be an integer from 1 to" in done.err


def test_names_in_two_encodings(run, tmp_path):
    path = tmp_path / "net.prototxt"
    text = NET.replace('"out"', r'"out\344\270\255"') + "# gr\xfc\xdfe"
    path.write_bytes(text.encode("latin-1"))
    done = run("convert", path)
    assert done.returncode == 1
    assert "the net is in latin-1, which has no '中'" in done.err


def test_what_is_written_to_stays_what_it_is(run, net_file, tmp_path):
    """A link, a file's mode, a pipe, which /dev/null is like."""
    wanted = run("convert", net_file).out
    target, link = tmp_path / "new.prototxt", tmp_path / "link"
    target.write_text("old")
    target.chmod(0o640)
    link.symlink_to(target)
    assert run("convert", net_file, "-o", link).returncode == 0
    assert link.is_symlink() and target.read_text() == wanted
    assert target.stat().st_mode & 0o777 == 0o640
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with subprocess.Popen(["cat", pipe], stdout=subprocess.PIPE) as reader:
        assert run("convert", net_file, "-o", pipe).returncode == 0
        assert reader.communicate()[0].decode() == wanted
    assert pipe.is_fifo()


def test_convert_again_changes_nothing(run, net_file, tmp_path):
    first = tmp_path / "first.prototxt"
    run("convert", net_file, "-o", first)
    again = run("convert", first)
    assert again.err == "the net has no Dropout\n"
    assert again.out == first.read_text()


def test_convert_refuses(run, net_file, tmp_path):
    done = run("convert", net_file, "--groups", 0, "-o", tmp_path / "out")
    assert done.returncode == 1
    assert "groups is 0, must be an integer" in done.err
    assert not (tmp_path / "out").exists()

    net_file.write_text(NET + "layer { nme: 3 }")
    done = run("convert", net_file)
    assert done.returncode == 1 and done.out == ""
    assert "net.prototxt: 11:9" in done.err and "nme" in done.err

    picture = tmp_path / "picture.png"
    picture.write_bytes(b"\x89PNG\xff")
    done = run("convert", picture)
    assert done.returncode == 1
    assert "picture.png: 1:1 : " in done.err
    done = run("convert", tmp_path / "missing.prototxt")
    assert done.returncode == 1 and "missing.prototxt" in done.err
    assert "Traceback" not in done.err


def test_search_needs_no_caffe_and_convert_says_how_to_get_it(net_file):
    done = run_module("search", "--rate", 0.5)
    assert (done.returncode, done.stderr) == (0, "")
    assert "dropout_pattern_param {" in done.stdout
    done = run_module("convert", net_file)
    assert done.returncode == 1 and done.stdout == ""
    assert "run make" in done.stderr and "Traceback" not in done.stderr
    assert run_module().returncode == 2


def test_version_and_a_reader_that_has_enough():
    assert run_module("--version").stdout == f"approx-dropout {__version__}\n"
    command = f"{sys.executable} -m approx_dropout search --rate 0 "
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c",
         f"{command} --family PERIOD --max-period 65535 | head -1"],
        env={**os.environ, "PYTHONPATH": str(ROOT / "python_layers")},
        capture_output=True,
        text=True,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("# dropout_ratio 0.0")
