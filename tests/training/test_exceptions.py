"""An exception that nobody catches ends `caffe` with its text and status 1;
pycaffe raises it."""

import signal
import subprocess
import time

import pytest

from project import ROOT

CAFFE = ROOT / "build" / "bin" / "caffe"

LAYER = """
import time
import caffe


class Throwing(caffe.Layer):
    def setup(self, bottom, top):
        self.reshapes = 0
        self.throw("setup")

    def reshape(self, bottom, top):
        self.reshapes += 1
        top[0].reshape(*bottom[0].shape)
        self.throw("reshape")
        if self.reshapes > 2:
            self.throw("reshape later")

    def forward(self, bottom, top):
        top[0].data[...] = bottom[0].data
        self.throw("forward")
        if self.param_str == "exit":
            raise SystemExit(0)
        if self.param_str == "wait":
            print("waits", flush=True)
            time.sleep(0.5)

    def backward(self, top, propagate_down, bottom):
        bottom[0].diff[...] = top[0].diff
        self.throw("backward")

    def throw(self, where):
        if self.param_str == where:
            print("printed before it throws")
            raise RuntimeError(f"thrown in {where}")
"""

NET = """
force_backward: true
layer {{ name: "x" type: "DummyData" top: "x" top: "y" dummy_data_param {{
  shape {{ dim: 2 dim: 3 }} }} }}
layer {{ name: "fc" type: "InnerProduct" bottom: "x" top: "fc"
  inner_product_param {{ num_output: 3 }} }}
layer {{ name: "python" type: "Python" bottom: "fc" top: "z" python_param {{
  module: "{module}" layer: "{layer}" param_str: '{param_str}' }} }}
layer {{ name: "loss" type: "EuclideanLoss" bottom: "z" bottom: "y"
  top: "loss" }}
"""

SOLVER = """
net: "{folder}/net.prototxt" base_lr: 0.01 lr_policy: "fixed" max_iter: 1000
snapshot_prefix: "{folder}/snapshot" solver_mode: CPU
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder that Python layers are looked for in, with a solver."""
    (tmp_path / "throwing_layers.py").write_text(LAYER)
    (tmp_path / "solver.prototxt").write_text(SOLVER.format(folder=tmp_path))
    (tmp_path / "empty.caffemodel").write_bytes(b"")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def write_net(folder, param_str="", module="throwing_layers",
              layer="Throwing"):
    """Returns the net's file."""
    path = folder / "net.prototxt"
    path.write_text(NET.format(
        module=module, layer=layer, param_str=param_str))
    return path


def arguments(folder, command):
    """Those of a command of caffe on the folder's net."""
    return {
        "train": ["train", f"--solver={folder}/solver.prototxt"],
        "time": ["time", f"--model={folder}/net.prototxt", "--iterations=3"],
        "test": ["test", f"--model={folder}/net.prototxt", "--iterations=3",
                 f"--weights={folder}/empty.caffemodel"],
    }[command]


def ends_with(text, *args):
    """Runs caffe and checks how it ends; returns what it wrote to stdout."""
    done = subprocess.run([CAFFE, *args], capture_output=True, text=True,
                          check=False, timeout=120)
    assert done.returncode == 1, done.stderr
    assert text in done.stderr
    for frame in ("SIGABRT", "stack trace", "terminate called", "    @  "):
        assert frame not in done.stderr
    return done.stdout


@pytest.mark.parametrize("command, where", [
    (command, where)
    for command in ("train", "time", "test")
    for where in ("setup", "reshape", "reshape later", "forward", "backward")
    if (command, where) != ("test", "backward")
])
def test_python_layer_throws(folder, command, where):
    write_net(folder, where)
    args = arguments(folder, command)
    stdout = ends_with(f"RuntimeError: thrown in {where}\n", *args)
    assert "printed before it throws" in stdout
    ends_with("Traceback (most recent call last):\n", *args)


@pytest.mark.parametrize("module, layer, text", [
    ("no_such_module", "Layer", "No module named 'no_such_module'"),
    ("throwing_layers", "Absent", "has no attribute 'Absent'"),
    ("broken", "Layer", "SyntaxError: "),
    ("json", "JSONDecoder", "TypeError: "),
])
def test_python_layer_cannot_be_made(folder, module, layer, text):
    (folder / "broken.py").write_text("class\n")
    write_net(folder, module=module, layer=layer)
    ends_with(text, *arguments(folder, "time"))


def test_search_with_a_typo(folder):
    net = folder / "net.prototxt"
    net.write_text(
        'layer { name: "k" type: "Python" top: "k" python_param {'
        'module: "approx_dropout" layer: "PatternSearchLayer"'
        """param_str: '{"dropout_rate": 0.5}' } }""")
    ends_with("ValueError: PatternSearchLayer 'k': key 'dropout_rate' in "
              "param_str is unknown", "time", f"--model={net}")


def test_python_layer_exits(folder):
    write_net(folder, "exit")
    ends_with("SystemExit: 0", *arguments(folder, "train"))


def test_exception_of_cxx(folder):
    write_net(folder)
    ends_with("bad_lexical_cast", *arguments(folder, "time"), "--gpu=first")


def test_check_that_fails(folder):
    net = folder / "net.prototxt"
    net.write_text('layer { name: "a" type: "Absent" top: "a" }')
    ends_with("Unknown layer type: Absent", "time", f"--model={net}")


def interrupt(folder, command):
    """Ctrl-C while a Python layer waits; returns (status, log)."""
    write_net(folder, "wait")
    with subprocess.Popen([CAFFE, *arguments(folder, command)], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          ) as process:
        assert process.stdout.readline() == "waits\n"
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        log = process.communicate(timeout=60)[1]
    return process.returncode, log


def test_interrupted_training_stops_as_caffes_does(folder):
    status, log = interrupt(folder, "train")
    assert status == 0, log
    assert "Optimization stopped early." in log
    assert (folder / "snapshot_iter_1.solverstate").is_file()


def test_interrupted_timing_ends(folder):
    status, log = interrupt(folder, "time")
    assert status == 1
    assert "KeyboardInterrupt" in log and "SIGABRT" not in log


def test_pycaffe_raises(folder):
    import caffe

    net_file = str(write_net(folder, "setup"))
    with pytest.raises(RuntimeError, match="thrown in setup"):
        caffe.Net(net_file, caffe.TRAIN)
    write_net(folder, module="no_such_module")
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        caffe.Net(net_file, caffe.TRAIN)
    write_net(folder, "forward")
    net = caffe.Net(net_file, caffe.TRAIN)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="thrown in forward"):
            net.forward()
    write_net(folder, "backward")
    solver = caffe.get_solver(str(folder / "solver.prototxt"))
    for _ in range(2):
        with pytest.raises(RuntimeError, match="thrown in backward"):
            solver.step(1)
