"""Loops of solver.step(1) in pycaffe, in which updates wait until their weights
are needed: whatever Python looks at, and whenever, is what it finds where each
step updates everything, bit for bit, and up to rounding what Caffe's own update
leaves there (snapshot_diff asks for it).

Needs pycaffe; takes seconds."""

import sys
import types

import numpy as np
import pytest

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

    def __init__(self, folder, dense=False, eager=False):
        (folder / "net.prototxt").write_text(NET)
        text = SOLVER.replace("NET", str(folder / "net.prototxt"))
        text = text.replace("PREFIX", str(folder / "model"))
        path = folder / "solver.prototxt"
        path.write_text(text.replace("DENSE", str(dense).lower()))
        caffe.set_mode_cpu()
        Look.within = None
        self.folder, self.eager, self.seen = folder, eager, []
        self.solver = caffe.get_solver(str(path))
        self.net = self.solver.net
        self.weights = self.net.params["a"][0]
        self.tiles = self.net.params["b"][0]

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
    arrays_kept_within, writes_within, callbacks, shared_nets, files,
    a_net_that_outlives_its_solver,
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
