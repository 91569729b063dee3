"""The registry and what is made from it: nets and solvers."""

import dataclasses

import pytest

import make_prototxt
import nets.solver
from nets import registry
from nets.parts import Enum
from nets.text import to_text

# Names and paths


def test_keys_are_unique_and_found():
    keys = [experiment.key for experiment in registry.EXPERIMENTS]
    assert len(set(keys)) == len(keys) == 16 + 5 * 16 + 10
    assert {registry.find(key).key for key in keys} == set(keys)
    with pytest.raises(ValueError, match="'mnist/row_0.4'.*mnist/row_0.5"):
        registry.find("mnist/row_0.4")


def test_files_are_those_that_users_type():
    experiment = registry.find("mnist/row_0.7")
    net, solver = experiment.net_file("a"), experiment.solver_file("a")
    assert net == "a/mnist/row_0.7.prototxt"
    assert solver == "a/mnist/solver_row_0.7.prototxt"
    assert experiment.run_folder == "runs/mnist/row_0.7"
    assert registry.find("mnist/none").rates == ()
    other = dataclasses.replace(experiment, seed=7)
    assert other.run_folder == "runs/mnist/row_0.7_seed7"


def test_rates_of_two_layers_name_the_experiment():
    experiment = registry.mnist("row", (0.3, 0.7))
    assert experiment.name == "row_0.3_0.7"
    assert registry.baseline(experiment) == "mnist/conventional_0.3_0.7"
    searches = [
        layer["top"]
        for layer in nets.solver.net(experiment)["layer"]
        if layer["type"] == "Python"
    ]
    assert searches == [["k1"], ["k2"]]


def test_an_epoch_is_the_whole_training_set():
    experiment = registry.find("mnist/row_0.5")
    assert experiment.epoch_iterations == 469  # 468.75
    assert experiment.max_iter == 469 * experiment.epochs


@pytest.mark.parametrize(
    "train, test, epoch, test_batch, display",
    [
        (60000, 10000, 469, 100, 50),  # MNIST
        (1497, 300, 12, 100, 3),  # scikit-learn's digits
        (23, 10, 1, 10, 1),
        (200, 250, 2, 50, 1),
        (5000, 101, 40, 1, 10),  # a prime number
    ],
)
def test_epochs_and_tests_are_the_data_that_is_there(
    train, test, epoch, test_batch, display
):
    source = {"counts": {"train": train, "test": test}}
    experiment = registry.find("mnist/row_0.5").fitted(source)
    assert experiment.epoch_iterations == epoch
    assert experiment.max_iter == epoch * experiment.epochs
    solver = nets.solver.solver(experiment, "", "")
    assert solver["snapshot"] == solver["test_interval"] == epoch
    assert solver["test_iter"] * test_batch == test
    assert solver["display"] == solver["average_loss"] == display
    data = [
        layer["data_param"]["batch_size"]
        for layer in nets.solver.net(experiment)["layer"]
        if layer["type"] == "Data"
    ]
    assert data == [experiment.batch_size, test_batch]


def test_limited_run_ends_with_its_only_test():
    experiment = registry.find("mnist/row_0.5")
    for limit, test_interval in (100, 100), (938, 469), (1000, 1000):
        short = dataclasses.replace(experiment, iteration_limit=limit)
        assert short.max_iter == limit
        assert short.test_interval == test_interval
    longer = dataclasses.replace(experiment, iteration_limit=10**6)
    assert longer.max_iter == experiment.max_iter


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"method": "rows"}, "'rows'"),
        ({"rates": (0.5,)}, "2 rates"),
        ({"test_samples": 250}, "250.*100"),
        ({"epochs": 0}, "epochs is 0"),
        ({"iteration_limit": -1}, "iteration_limit is -1"),
    ],
)
def test_impossible_experiments_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(registry.find("mnist/row_0.5"), **changes)


# Nets and solvers


def test_every_mlp_has_the_same_learnable_layers():
    shapes = set()
    for experiment in registry.EXPERIMENTS:
        if experiment.workload != "mnist":
            continue
        layers = nets.solver.net(experiment)["layer"]
        shapes.add(
            tuple(
                (layer["name"], layer["inner_product_param"]["num_output"])
                for layer in layers
                if "inner_product_param" in layer
            )
        )
    assert shapes == {(("fc1", 2048), ("fc2", 2048), ("fc3", 10))}


def test_every_bottom_is_an_earlier_top():
    for experiment in registry.EXPERIMENTS:
        tops = set()
        for layer in nets.solver.net(experiment)["layer"]:
            assert set(layer["bottom"]) <= tops, (experiment.key, layer)
            tops |= set(layer["top"])


def test_row_and_tile_bottoms():
    bottoms = {
        method: [
            layer["bottom"]
            for layer in nets.solver.net(registry.find(method))["layer"]
            if layer["name"] in ("fc1", "fc2", "fc3")
        ]
        for method in ("mnist/row_0.5", "mnist/tile_0.5")
    }
    assert bottoms == {
        "mnist/row_0.5": [
            ["data", "pattern1"],
            ["fc1", "pattern2", "pattern1"],
            ["fc2", "pattern2"],
        ],
        "mnist/tile_0.5": [
            ["data"],
            ["fc1", "pattern1"],
            ["fc2", "pattern2"],
        ],
    }


def test_recurrent_dropout():
    """Of all LSTM layers, and of nothing else."""
    for method in "row", "tile":
        experiment = registry.ptb("small", method, 0.5, recurrent=True)
        assert experiment.key == f"ptb/small_{method}_0.5_recurrent"
        usual = registry.find(f"ptb/small_{method}_0.5")
        assert registry.baseline(experiment) == registry.baseline(usual)
        found = nets.solver.net(experiment)["layer"]
        changed = [
            (layer.pop("name"), layer["approx_dropout_param"].pop("recurrent"))
            for layer in found
            if layer["type"] == "ApproxDropoutLSTM"
        ]
        assert changed == [("lstm1", True), ("lstm2", True)]
        expected = nets.solver.net(usual)["layer"]
        for layer in expected:
            if layer["type"] == "ApproxDropoutLSTM":
                del layer["name"]
        assert found == expected


def test_tiles_before_the_hidden_layers():
    experiment = dataclasses.replace(
        registry.find("mnist/tile_0.5"), tiles="before"
    )
    assert [
        layer["bottom"]
        for layer in nets.solver.net(experiment)["layer"]
        if layer["name"] in ("fc1", "fc2", "fc3")
    ] == [["data", "pattern1"], ["fc1", "pattern2"], ["fc2"]]
    with pytest.raises(ValueError, match="tiles is 'after', must be 'behind'"):
        dataclasses.replace(experiment, tiles="after")


def test_a_row_of_tiles_holds_a_whole_period():
    layers = nets.solver.net(registry.find("mnist/1024x64_tile_0.7"))["layer"]
    sizes = {
        layer["name"]: layer["approx_dropout_param"]["tile_size"]
        for layer in layers
        if "approx_dropout_param" in layer
    }
    assert sizes == {"fc2": 32, "fc3": 4}


def test_convolutional_nets_have_the_same_learnable_layers():
    """ROW hands on compact maps from the first convolution to the output."""
    shapes = set()
    for experiment in registry.EXPERIMENTS:
        if experiment.workload != "cifar10":
            continue
        layers = nets.solver.net(experiment)["layer"]
        weighted = [
            layer
            for layer in layers
            if {"convolution_param", "inner_product_param"} & {*layer}
        ]
        shapes.add(tuple(layer["name"] for layer in weighted))
        if experiment.method != "row":
            continue
        previous = None
        for place, layer in enumerate(weighted, 1):
            own = [f"pattern{place}"] if layer is not weighted[-1] else []
            assert layer["bottom"][1:] == own + (previous or [])
            flags = layer["approx_dropout_param"]
            assert flags.get("compact_input", False) == (place > 1)
            assert flags.get("compact_output", False) == bool(own)
            previous = own
    convolutions = tuple(f"conv{i}" for i in range(1, 7))
    assert shapes == {(*convolutions, "fc1", "fc2")}


def test_lenet():
    layers = {
        layer["name"]: layer
        for layer in nets.solver.net(registry.find("lenet/row_0.3"))["layer"]
    }
    for name, maps in ("conv1", 20), ("conv2", 50):
        param = layers[name]["convolution_param"]
        assert param["num_output"] == maps
        assert param["kernel_size"] == 5 and param["pad"] == 0
    assert layers["conv2"]["bottom"] == ["pool1", "pattern2", "pattern1"]
    assert layers["fc1"]["bottom"] == ["pool2", "pattern3", "pattern2"]
    data = layers["data"]
    assert data["data_param"]["source"] == "build/data/mnist/test_lmdb"
    assert data["transform_param"] == {"scale": 1 / 256}


def test_the_same_dropout_computed_densely():
    row = registry.find("cifar10/small_row_0.3_groups64")
    dense = dataclasses.replace(row, dense=True)
    layers = nets.solver.net(dense)["layer"]
    types = [layer["type"] for layer in layers]
    assert types.count("ApproxDropout") == types.count("DropoutPattern") == 4
    assert types.count("Convolution") == 3 and types.count("InnerProduct") == 2
    bottoms = {layer["name"]: layer["bottom"] for layer in layers}
    assert bottoms["drop1"] == ["conv1", "pattern1"]
    assert bottoms["pool1"] == ["drop1"] and bottoms["fc2"] == ["drop4"]
    with pytest.raises(ValueError, match="dense goes with patterns, not"):
        dataclasses.replace(registry.find("cifar10/none"), dense=True)


def test_convolutional_nets_have_no_tiles():
    with pytest.raises(ValueError, match="'tile', but convolutions have no"):
        registry.cifar10("tile", 0.5)
    assert registry.cifar10("row", 0.5, groups=2).name == "row_0.5_groups2"
    row = registry.find("cifar10/row_0.3_groups1")
    assert registry.baseline(row) == "cifar10/conventional_0.3"


def test_text_format():
    message = {
        "name": 'a "b"',
        "path": "c'd\\",
        "phase": Enum("TRAIN"),
        "rate": 0.5,
        "on": True,
        "none": [],
        "layer": [{"n": 1}, {"inner": {"s": "x"}}],
    }
    assert to_text(message) == (
        "name: 'a \"b\"'\n"
        'path: "c\'d\\\\"\n'
        "phase: TRAIN\n"
        "rate: 0.5\n"
        "on: true\n"
        "layer {\n  n: 1\n}\n"
        'layer {\n  inner {\n    s: "x"\n  }\n}\n'
    )


def test_committed_prototxt_is_what_the_registry_gives():
    assert make_prototxt.main(["--check"]) == 0


def test_committed_are_one_of_each_kind():
    keys = {experiment.key for experiment in registry.COMMITTED}
    assert len(keys) == 38
    assert {"mnist/none", "mnist/row_0.7", "ptb/large_tile_period_0.5"} < keys
    assert not {"ptb/medium_row_0.7", "ptb/large3_row_0.5"} & keys


def test_all_files_name_each_other(tmp_path):
    """A file of the run before is gone, prototxt/ is left alone."""
    folder = tmp_path / "build/prototxt"
    folder.mkdir(parents=True)
    (folder / "old.prototxt").touch()
    assert make_prototxt.main(["--all", "--root", str(tmp_path)]) == 0
    every = registry.EXPERIMENTS + registry.MORE
    files = {path.relative_to(tmp_path) for path in folder.rglob("*.prototxt")}
    assert len(files) == 2 * len(every) == 398
    for experiment in every:
        net = experiment.net_file("build/prototxt")
        solver = tmp_path / experiment.solver_file("build/prototxt")
        assert f'net: "{net}"\n' in solver.read_text()
        assert f'name: "{experiment.key}"\n' in (tmp_path / net).read_text()
    assert not (tmp_path / "prototxt").exists()


def test_check_names_changed_missing_and_stale_files(tmp_path, capsys):
    root = ["--root", str(tmp_path)]
    assert make_prototxt.main(root) == 0
    folder = tmp_path / "prototxt/mnist"
    changed = folder / "row_0.3.prototxt"
    changed.write_text(changed.read_text().replace("2048", "2047"))
    (folder / "none.prototxt").unlink()
    (folder / "row_0.4.prototxt").write_text("")
    assert make_prototxt.main([*root, "--check"]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[:3] == [
        "prototxt/mnist/none.prototxt: missing",
        "prototxt/mnist/row_0.3.prototxt: differs",
        "prototxt/mnist/row_0.4.prototxt: stale, of no committed experiment",
    ]
    assert not (folder / "none.prototxt").exists()
