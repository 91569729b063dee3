"""The registry of the paper's tables and figures, in every profile."""

import dataclasses

import pytest

import nets.solver
from approx_dropout.search import PERIOD_LAMBDA3
from nets import registry
from nets.text import net_text
from paper import reported, studies
from paper.profiles import PROFILES

every_profile = pytest.mark.parametrize("profile", PROFILES.values())


def all_nets(profile):
    """Every net of a profile that is trained or timed."""
    chosen = studies.studies(profile)
    nets = list(studies.trainings(chosen).values())
    for race in studies.races(chosen).values():
        nets += race.values()
    return nets


@every_profile
def test_every_cell_of_the_paper_is_there(profile):
    methods = {"conventional", "row", "tile", "row_period", "tile_period"}
    found = {study.name: study for study in studies.studies(profile)}
    rates = [point.label for point in found["fig4"].points]
    assert len(rates) == 9 and {"0.3, 0.3", "0.3, 0.7", "0.7, 0.7"} < {*rates}
    sizes = [point.label for point in found["table1"].points]
    assert sizes == ["1024×64", "1024×1024", "2048×2048", "4096×4096"]
    for name in "fig4", "table1", "table2":
        for point in found[name].points:
            assert set(point.trained) == set(point.timed) == methods
    for name in "table2", "fig6a":
        labels = [point.label for point in found[name].points]
        assert labels == ["0.3", "0.5", "0.7"]
    batches = [int(point.label) for point in found["fig6b"].points]
    assert batches[0] == 20 and batches[-1] == 40
    for name in "fig5", "fig6a", "fig6b":
        for point in found[name].points:
            assert set(point.trained) == {"conventional", "row", "row_period"}


@every_profile
def test_the_papers_numbers_stand_at_points_that_there_are(profile):
    places = {
        study.name: {
            (point.label, series)
            for point in study.points
            for series in point.trained
        }
        for study in studies.studies(profile)
    }
    for study, numbers in reported.NUMBERS.items():
        assert numbers.keys() <= places[study]


@every_profile
def test_the_conventional_net_is_the_first_of_its_race(profile):
    races = studies.races(studies.studies(profile))
    for key, race in races.items():
        assert next(iter(race)) == key
        assert race[key].method == "conventional"
        for experiment in race.values():
            assert registry.baseline(experiment) == key
            assert experiment.batch_size == race[key].batch_size
            assert experiment.hidden == race[key].hidden


def grids(net):
    """(inputs, outputs, tile size) of the matrices that TILE cuts up."""
    layers = {layer["name"]: layer for layer in nets.solver.net(net)["layer"]}
    shapes, products = [], []
    if net.workload == "ptb":
        shapes = [(net.hidden[0], 4 * net.hidden[0])]
        products = [layers["lstm1"]]
    elif net.workload == "mnist":
        units = [784, *net.hidden, 10]
        shapes = zip(units, units[1:])
        products = [layers[f"fc{i}"] for i in range(1, len(units))]
    for shape, product in zip(shapes, products, strict=True):
        approximate = product.get("approx_dropout_param", {})
        if approximate.get("pattern") == "TILE":
            yield *shape, approximate["tile_size"]


@every_profile
def test_layers_take_every_net_s_patterns(profile):
    """The rules of design: enough units or tiles for N, and groups that
    divide the batch while N divides the units."""
    for net in all_nets(profile):
        N = net.max_period
        for units in (*getattr(net, "maps", ()), *net.hidden):
            if net.pattern == "ROW":
                assert units >= N, net.key
                assert set(net.place_groups) == {1} or units % N == 0, net.key
        for inputs, outputs, size in grids(net):
            tiles = -(-inputs // size) + -(-outputs // size)
            assert tiles - 1 >= N, net.key
        for groups in net.place_groups:
            assert net.batch_size % groups == 0, net.key
            assert groups == 1 or net.family == "RESIDUE", net.key


@every_profile
def test_a_run_has_one_folder_and_one_place_in_the_registry(profile):
    runs = studies.trainings(studies.studies(profile))
    folders = {studies.run_folder(profile, run) for run in runs.values()}
    assert len(folders) == len(runs)
    for (key, seed), run in runs.items():
        assert studies.find_training(profile, key, seed) == run


def test_seeds():
    profile = PROFILES["cpu"]
    runs = studies.trainings(studies.studies(profile))
    seeds = {s for key, s in runs if key == "mnist/row_0.5"}
    assert seeds == set(range(1, 9))
    with pytest.raises(ValueError, match=r"seed 9; legal: seeds \[1, .*8\]"):
        studies.find_training(profile, "mnist/row_0.5", 9)
    with pytest.raises(ValueError, match="'mnist/row_0.4'.*mnist/row_0.5"):
        studies.find_training(profile, "mnist/row_0.4", 1)


def test_two_nets_of_one_name_are_refused():
    profile = PROFILES["quick"]
    study = studies.periods(profile)
    point = study.points[0]
    nets = {
        series: dataclasses.replace(net, max_period=9)
        for series, net in point.trained.items()
    }
    other = dataclasses.replace(point, trained=nets)
    wrong = dataclasses.replace(study, points=(point, other))
    with pytest.raises(ValueError, match="names different nets"):
        studies.trainings([wrong])


def test_the_paper_s_mlps_are_in_the_registry():
    """Only the solvers' epochs differ."""
    profile = PROFILES["paper"]
    chosen = [studies.fig4(profile), studies.table1(profile)]
    for (key, _), run in studies.trainings(chosen).items():
        known = registry.find(key)
        assert run == dataclasses.replace(
            known, epochs=run.epochs, seed=run.seed
        )


def test_periods_reach_the_search():
    points = studies.periods(PROFILES["cpu"]).points
    nets = [point.trained["row_period"] for point in points]
    assert [net.max_period for net in nets][:7] == [4, 6, 8, 10, 12, 14, 16]
    assert nets[0].key == "mnist/row_period_0.5_N4"
    assert nets[6].key == "mnist/row_period_0.5_N16"  # the paper's loss
    assert "lambda3" not in net_text(nets[6])
    assert nets[-2].key == "mnist/row_period_0.7_N8_lambda0.0001"
    assert nets[-1].key == "mnist/row_period_0.7"  # the usual one
    text = net_text(nets[-1])
    assert '"max_period": 16, "lambda3": 0.0001}' in text
    # PERIOD's nets have what the converter gives a user's.
    assert registry.PERIOD_LAMBDA3 == PERIOD_LAMBDA3


def test_tiles_lie_behind_or_before():
    points = studies.tiles(PROFILES["cpu"]).points
    nets = {point.label: point.trained["tile"] for point in points}
    assert nets["0.3, behind"].key == "mnist/tile_0.3"  # the usual one
    assert nets["0.7, before"].key == "mnist/tile_0.7_before"
    assert nets["0.7, before"].tiles == "before"


def test_groups_reach_the_net():
    points = studies.groups(PROFILES["cpu"]).points
    nets = {point.label: point.trained["row"] for point in points}
    assert nets["20, 1"].groups == 1 and nets["40, 4"].groups == 4
    assert nets["20, 1"].key == "ptb/small_row_0.5_groups1"
    assert nets["20, 2"].key == "ptb/small_row_0.5_groups2"
    assert nets["20, 2-4"].key == "ptb/small_row_0.5"  # the usual numbers
    assert nets["40, 2"].data == "build/data/ptb_batch40"
    trained = [point.label for point in points if point.seeds]
    assert trained == ["20, 1", "20, 2-4", "40, 1", "40, 2-4"]
    assert all(point.timed for point in points)


def test_the_published_recipe_is_that_of_the_groups():
    """So that its trainings serve both studies."""
    profile = PROFILES["cpu"]
    nets = studies.small(profile).points[1].trained
    points = {p.label: p.trained for p in studies.groups(profile).points}
    for method, net in points["20, 2-4"].items():
        assert nets[method] == net
    assert nets["row"].epochs == 13


def test_groups_of_images_reach_the_net():
    """One pattern a batch, the usual groups, and one for each image."""
    for study, name in (
        (studies.lenet, "lenet/"),
        (studies.cifar10, "cifar10/small_"),
    ):
        points = study(PROFILES["cpu"]).points
        nets = {point.label: point.trained["row"] for point in points}
        assert [*nets][3:6] == ["0.3, 1", "0.3, 4", "0.3, 64"]
        assert nets["0.3, 1"].key == f"{name}row_0.3_groups1"
        assert nets["0.3, 4"].key == f"{name}row_0.3"
        each = nets["0.3, 64"]
        assert each.groups == each.batch_size == 64
        assert each.key == f"{name}row_0.3_groups64"


@pytest.mark.parametrize(
    "net, arguments",
    [
        (registry.find("mnist/row_0.5"), ["scripts/prepare_mnist.py"]),
        (
            registry.find("ptb/large8800_row_0.5"),
            [
                "scripts/prepare_ptb.py",
                "--output=build/data/ptb8800",
                "--vocab-size=8800",
            ],
        ),
        (registry.find("lenet/row_0.5"), ["scripts/prepare_mnist.py"]),
        (registry.find("cifar10/row_0.5"), ["scripts/prepare_cifar10.py"]),
        (
            registry.ptb("small3", "row", 0.5, batch_size=40),
            [
                "scripts/prepare_ptb.py",
                "--output=build/data/ptb_batch40",
                "--batch-size=40",
            ],
        ),
    ],
)
def test_data_are_prepared_for_the_net(net, arguments):
    assert registry.preparation(net) == arguments


def test_what_the_paper_reports():
    number = reported.number
    assert number("table2", "0.5", "row_period", "value") == 46.0
    assert number("table2", "0.5", "row_period", "difference") == -1.3
    assert number("table2", "0.5", "row", "value") == "–"
    assert number("table2", "0.5", "conventional", "speed_up") == 1
    assert number("table1", "1024×64", "row_period", "value") == "not legible"
    assert number("periods", "0.5: 8", "row_period", "value") == "–"
