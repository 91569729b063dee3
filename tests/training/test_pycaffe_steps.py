"""Loops of solver.step(1) in pycaffe, in which updates wait until their weights
are needed: whatever Python looks at, and whenever, is what it finds where each
step updates everything, bit for bit, and up to rounding what Caffe's own update
leaves there (snapshot_diff asks for it).

Needs pycaffe; takes seconds."""

import ctypes
import functools
import itertools
import os
import subprocess
import sys
import types

import numpy as np
import pytest

from conftest import PYTHONPATH

STEPS = 12
NET = """
layer { name: "data" type: "DummyData" top: "x" top: "t" dummy_data_param {
  shape { dim: 6 dim: 20 } shape { dim: 6 dim: 3 }
  data_filler { type: "gaussian" } data_filler { type: "gaussian" } } }
layer { name: "p" type: "DropoutPattern" top: "p" dropout_pattern_param {
  probability: 0 probability: 0.7 probability: 0.3 } }
layer { name: "a" type: "ApproxDropoutInnerProduct" bottom: "x" bottom: "p"
  top: "a" inner_product_param { num_output: 24
  weight_filler { type: "gaussian" std: 0.2 } } }
layer { name: "look" type: "Python" bottom: "a" top: "look"
  python_param { module: "onlookers" layer: "Look" } }
layer { name: "b" type: "ApproxDropoutInnerProduct" bottom: "look" bottom: "p"
  top: "b" inner_product_param { num_output: 30
  weight_filler { type: "gaussian" std: 0.2 } }
  approx_dropout_param { pattern: TILE tile_size: 4 } }
layer { name: "c" type: "InnerProduct" bottom: "b" top: "c"
  inner_product_param { num_output: 3
  weight_filler { type: "gaussian" std: 0.2 } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "c" bottom: "t" top: "loss" }
"""
SOLVER = """
net: "NET" random_seed: 7 base_lr: 0.01 lr_policy: "inv" gamma: 0.01 power: 0.75
momentum: 0.9 weight_decay: 0.01 max_iter: 100 display: 0 snapshot_after_train:
false snapshot_prefix: "PREFIX" snapshot_diff: DENSE
"""
caffe = pytest.importorskip("caffe")


class Look(caffe.Layer):
    """Passes its blob on; who wants to look on the way sets `within`."""

    within = None

    def setup(self, bottom, top):
        pass

    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].shape)

    def forward(self, bottom, top):
        top[0].data[...] = bottom[0].data
        if Look.within:
            Look.within("forward")

    def backward(self, top, propagate_down, bottom):
        bottom[0].diff[...] = top[0].diff
        if Look.within:
            Look.within("backward")


@pytest.fixture(autouse=True)
def onlookers(monkeypatch):
    module = types.ModuleType("onlookers")
    module.Look = Look
    monkeypatch.setitem(sys.modules, "onlookers", module)
    yield
    Look.within = None


def copies(net):
    """Everything that Python can see of the parameters."""
    return [
        array.copy()
        for blobs in net.params.values()
        for blob in blobs
        for array in (blob.data, blob.diff)
    ]


class Run:
    """One training, and what is seen of it."""

    def __init__(self, folder, dense=False, eager=False, tiles="b"):
        (folder / "net.prototxt").write_text(NET)
        text = SOLVER.replace("NET", str(folder / "net.prototxt"))
        text = text.replace("PREFIX", str(folder / "model"))
        path = folder / "solver.prototxt"
        path.write_text(text.replace("DENSE", str(dense).lower()))
        caffe.set_mode_cpu()
        Look.within = None
        self.folder, self.dense, self.eager = folder, dense, eager
        self.seen = []
        self.solver = caffe.get_solver(str(path))
        self.net = self.solver.net
        self.weights = self.net.params["a"][0]
        self.tiles = self.net.params[tiles][0]

    def step(self, steps=1):
        for _ in range(steps):
            self.solver.step(1)
            if self.eager:
                copies(self.net)

    def see(self, *arrays):
        self.seen += [np.array(array) for array in arrays]


def nothing_else(run):
    run.step(STEPS)


def reads(run):
    for i in range(STEPS):
        run.step()
        if i % 3 == 2:
            run.see(run.weights.data, run.tiles.diff)


def kept_arrays(run):
    kept = [run.weights.data, run.weights.diff, run.tiles.data[3:5].T]
    for i in range(STEPS):
        if i % 2:
            run.step()
        else:
            run.solver.step(3)
        run.see(*kept)
    kept[2][...] = 0.25
    run.step(3)
    run.see(*kept)


def arrays_kept_for_a_while(run):
    for i in range(STEPS):
        if i % 4 == 0:
            kept = run.tiles.data
        run.step()
        if i % 4 < 2:
            run.see(kept)
        elif i % 4 == 2:
            del kept


def writes(run):
    for i in range(STEPS):
        run.step()
        if i % 3 == 1:
            run.weights.data[...] *= 0.9
            run.tiles.data[i, ::2] = 0.1


def other_rates(run):
    for i in range(STEPS):
        run.solver.param.base_lr = 0.01 / (1 + i % 4)
        run.step()


def passes_between(run):
    for i in range(STEPS):
        run.step()
        if i % 4 == 1:
            run.see(run.net.forward()["loss"])
        elif i % 4 == 2:
            run.net.forward()
            run.net.backward()
            run.see(run.weights.diff)


def updates_between(run):
    for _ in range(4):
        run.step(2)
        run.net.clear_param_diffs()
        run.net.forward()
        run.net.backward()
        run.solver.apply_update()
        run.see(run.weights.data, run.tiles.diff)


def reads_within(run):
    def look(way):
        if way == "forward":
            run.see(run.tiles.data, run.weights.data)
        else:
            run.see(run.tiles.diff, run.tiles.data)

    Look.within = look
    for steps in (1, 1, 5, 1):
        run.solver.step(steps)


def arrays_kept_within(run):
    kept = []

    def look(way):
        if not kept:
            kept.extend([run.tiles.data, run.tiles.diff, run.weights.data])
        run.see(*kept)

    Look.within = look
    for steps in (1, 1, 5, 1):
        run.solver.step(steps)
        run.see(*kept)


def writes_within(run):
    def look(way):
        if way == "forward":
            run.tiles.data[::2] *= 0.9
        else:
            run.tiles.diff[...] += 0.01

    Look.within = look
    run.solver.step(1)
    run.solver.step(4)


def callbacks(run):
    run.solver.add_callback(
        lambda: run.see(run.weights.data, run.weights.diff),
        lambda: run.see(run.weights.diff, run.tiles.diff),
    )
    run.step(STEPS)
    run.solver.step(3)


def shared_nets(run):
    other = caffe.Net(str(run.folder / "net.prototxt"), caffe.TEST)
    other.share_with(run.net)
    for i in range(STEPS):
        run.step()
        if i % 4 == 3:
            run.see(other.params["a"][0].data)
            other.forward()
    kept = other.params["b"][0].data
    run.step()
    run.see(kept)


def other_solvers_within(run):
    """Callbacks in which solvers of nets that share the weights take steps."""
    others = []
    for name in ("first", "second"):
        (run.folder / name).mkdir(exist_ok=True)
        others.append(Run(run.folder / name, run.dense))
        others[-1].net.share_with(run.net)
    first, second = others
    run.solver.add_callback(
        lambda: first.solver.step(1), lambda: second.solver.step(2)
    )
    run.solver.step(STEPS)
    run.step(2)
    run.see(first.weights.data, second.tiles.diff)


def files(run):
    model = str(run.folder / "saved")
    run.step(3)
    run.net.save(model)
    run.step(3)
    run.net.save_hdf5(model + ".h5")
    run.net.copy_from(model)
    run.step(2)
    run.net.load_hdf5(model + ".h5")
    run.step(2)
    run.solver.snapshot()
    run.step(2)
    run.solver.restore(str(run.folder / "model_iter_10.solverstate"))
    run.step(2)


def a_net_that_outlives_its_solver(run):
    run.step(STEPS)
    run.solver = None


SCENES = [
    nothing_else, reads, kept_arrays, arrays_kept_for_a_while, writes,
    other_rates, passes_between, updates_between, reads_within,
    arrays_kept_within, writes_within, callbacks, shared_nets,
    other_solvers_within, files, a_net_that_outlives_its_solver,
]  # fmt: skip


@pytest.mark.parametrize("scene", SCENES)
def test_nobody_sees_what_waits(scene, tmp_path):
    seen = {}
    for kind in ({}, {"eager": True}, {"dense": True}):
        run = Run(tmp_path, **kind)
        scene(run)
        run.see(*copies(run.net))
        seen[next(iter(kind), "lazy")] = run.seen
    assert len(seen["lazy"]) == len(seen["dense"])
    for lazy, eager, dense in zip(*seen.values(), strict=True):
        assert np.array_equal(lazy, eager)
        np.testing.assert_allclose(lazy, dense, rtol=1e-4, atol=1e-6)


def test_arrays_outlive_their_blobs(tmp_path):
    run = Run(tmp_path)
    kept = run.weights.data
    run.step(2)
    expected = run.weights.data.copy()
    run.net = run.solver = run.weights = run.tiles = None
    assert np.array_equal(kept, expected)


def test_memory_that_changes_within_a_step_is_named(tmp_path):
    (tmp_path / "net.prototxt").write_text(NET.replace("Look", "Pass"))
    text = SOLVER.replace("NET", "net.prototxt").replace("DENSE", "false")
    (tmp_path / "solver.prototxt").write_text(text)
    script = """if True:
        import caffe, sys, types
        class Pass(caffe.Layer):
            def setup(self, bottom, top): pass
            def reshape(self, bottom, top):
                top[0].reshape(*bottom[0].shape)
            def forward(self, bottom, top): top[0].data[...] = bottom[0].data
            def backward(self, top, down, bottom): pass
        sys.modules["onlookers"] = types.ModuleType("onlookers")
        sys.modules["onlookers"].Pass = Pass
        solver, other = map(caffe.get_solver, ["solver.prototxt"] * 2)
        solver.net.share_with(other.net)
        solver.step(2)
        solver.add_callback(lambda: solver.net.share_with(other_net),
                            lambda: None)
        other_net = caffe.get_solver("solver.prototxt").net
        solver.step(1)
        """
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": PYTHONPATH},
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0
    assert "learnable parameter 0 of net '' has other memory" in done.stderr


WIDE = """
layer { name: "data" type: "DummyData" top: "x" top: "t" dummy_data_param {
  shape { dim: 64 dim: 256 } shape { dim: 64 dim: 4 }
  data_filler { type: "gaussian" } data_filler { type: "gaussian" } } }
layer { name: "p" type: "DropoutPattern" top: "p" dropout_pattern_param {
  family: RESIDUE groups: GROUPS
  probability: 0 probability: 1 probability: 0 probability: 0 } }
layer { name: "a" type: "ApproxDropoutInnerProduct" bottom: "x" bottom: "p"
  top: "a" inner_product_param { num_output: 512
  weight_filler { type: "gaussian" std: 0.1 } }
  approx_dropout_param { compact_output: true } }
layer { name: "b" type: "ApproxDropoutInnerProduct" bottom: "a" bottom: "p"
  bottom: "p" top: "b" inner_product_param { num_output: 512
  weight_filler { type: "gaussian" std: 0.1 } }
  approx_dropout_param { compact_input: true } }
layer { name: "look" type: "Python" bottom: "b" top: "look"
  python_param { module: "onlookers" layer: "Look" } }
layer { name: "c" type: "ApproxDropoutInnerProduct" bottom: "look" bottom: "p"
  top: "c" inner_product_param { num_output: 256
  weight_filler { type: "gaussian" std: 0.1 } }
  approx_dropout_param { pattern: TILE tile_size: 32 } }
layer { name: "d" type: "InnerProduct" bottom: "c" top: "d"
  inner_product_param { num_output: 4
  weight_filler { type: "gaussian" std: 0.1 } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "d" bottom: "t" top: "loss" }
"""


@pytest.mark.parametrize("groups", [1, 2])
def test_threads_may_become_more_at_any_time(groups, tmp_path, monkeypatch):
    """Their number is OpenMP's, which others set, threadpoolctl say."""
    monkeypatch.setattr(
        sys.modules[__name__], "NET", WIDE.replace("GROUPS", str(groups))
    )
    openmp = ctypes.CDLL("libgomp.so.1")
    before = openmp.omp_get_max_threads()
    seen = []
    for counts in ([1], [1, 3, 2, 1, 4, 5]):
        following = map(openmp.omp_set_num_threads, itertools.cycle(counts))
        next(following)
        run = Run(tmp_path, tiles="c")
        Look.within = functools.partial(next, following)
        run.solver.step(STEPS)
        seen.append(copies(run.net))
    openmp.omp_set_num_threads(before)
    for one, several in zip(*seen, strict=True):
        np.testing.assert_allclose(one, several, rtol=1e-3, atol=1e-5)


def test_memory_does_not_grow_with_iter_size(tmp_path, monkeypatch):
    net = """
    layer { name: "data" type: "DummyData" top: "x" top: "t" dummy_data_param {
      shape { dim: 1 dim: 4096 } shape { dim: 1 dim: 2 }
      data_filler { type: "gaussian" } data_filler { type: "gaussian" } } }
    layer { name: "p" type: "DropoutPattern" top: "p" dropout_pattern_param {
      family: RESIDUE probability: 0 probability: 1 probability: 0 } }
    layer { name: "drop" type: "ApproxDropout" bottom: "x" bottom: "p" top: "y"
      approx_dropout_param { compact_output: true } }
    layer { name: "a" type: "ApproxDropoutInnerProduct" bottom: "y" bottom: "p"
      top: "a" inner_product_param { num_output: 2
      weight_filler { type: "gaussian" std: 0.01 } }
      approx_dropout_param { pattern: NONE compact_input: true } }
    layer { name: "loss" type: "EuclideanLoss" bottom: "a" bottom: "t"
      top: "loss" }"""
    monkeypatch.setattr(sys.modules[__name__], "NET", net)
    monkeypatch.setattr(
        sys.modules[__name__], "SOLVER", SOLVER + "iter_size: 64\n"
    )
    run = Run(tmp_path, tiles="a")
    sizes = []
    for _ in range(2):
        run.solver.step(50)
        with open("/proc/self/statm") as file:
            sizes.append(int(file.read().split()[1]))
    grown = (sizes[1] - sizes[0]) * os.sysconf("SC_PAGESIZE")
    # A list of the kept columns for each pass would be 64 * 50 * 5 kB.
    assert grown < 8e6
