"""The prototxt that fuzzers keep, with `caffe train`: trained, or refused.

And each fuzzer, for a minute.
"""

import re
import subprocess

import pytest

from project import ROOT

CAFFE = ROOT / "build" / "bin" / "caffe"
INPUTS = sorted((ROOT / "tests/fuzzers/inputs/fuzz_net").iterdir())
REFUSED = {
    "huge_num_output": "num_output is 2147483647; it must be from 1 to",
    "infinite_label": "is inf; it must be from 0 to 2",
    "input_without_shape": "more of input than of input_shape",
}


@pytest.mark.parametrize("path", INPUTS, ids=lambda path: path.stem)
def test_kept_input(tmp_path, path):
    from caffe.proto import caffe_pb2
    from google.protobuf import text_format

    solver = text_format.Parse(path.read_text(), caffe_pb2.SolverParameter())
    # Caffe upgrades nets of files only.
    net = tmp_path / "net.prototxt"
    net.write_text(text_format.MessageToString(solver.net_param))
    solver.ClearField("net_param")
    solver.net = str(net)
    solver.max_iter = 2
    solver.snapshot_after_train = False
    solver.solver_mode = solver.CPU
    file = tmp_path / "solver.prototxt"
    file.write_text(text_format.MessageToString(solver))
    done = subprocess.run(
        [CAFFE, "train", f"--solver={file}"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    if path.stem in REFUSED:
        fatal = re.search(r"^F.* Check failed: .*", done.stderr, re.M)
        assert fatal and REFUSED[path.stem] in fatal[0], done.stderr
    else:
        assert done.returncode == 0, done.stderr
        assert "Optimization Done." in done.stderr


def test_a_minute_of_each_fuzzer():
    done = subprocess.run(
        [ROOT / "scripts/setup/fuzz.sh", "--plain"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    tried = re.findall(r"^fuzz: (\w+) tried (\d+) inputs", done.stdout, re.M)
    assert {name for name, _ in tried} == {
        "fuzz_binary_model",
        "fuzz_binary_state",
        "fuzz_hdf5_model",
        "fuzz_hdf5_state",
        "fuzz_net",
    }
    assert all(int(inputs) > 10 for _, inputs in tried), tried
