"""The benchmark: bounds against a table worked out apart, the check before
timing, and a small sweep from start to end.

Needs build/caffe. Without build/caffe-stock (scripts/setup/build_caffe.sh
--stock), Caffe's own layers of the patched build stand in for it.
"""

import dataclasses
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import measure_steps
from approx_dropout import multiply_adds, net_shapes, proto
from measure import oracle, sweeps, turns, worker
from measure.bound import bound
from nets import registry
from project import ROOT

RATES = (0.3, 0.5, 0.7)
MLP_BOUNDS = [
    # hidden layers, method, bounds at RATES
    ((1024, 64), "row", (1.48, 2.12, 3.61)),
    ((1024, 64), "tile", (1.03, 1.06, 1.08)),
    ((1024, 1024), "row", (1.78, 2.98, 6.18)),
    ((1024, 1024), "tile", (1.25, 1.50, 1.87)),
    ((2048, 2048), "row_period", (1.87, 3.32, 7.50)),
    ((2048, 2048), "tile_period", (1.31, 1.66, 2.26)),
    ((4096, 4096), "row", (1.94, 3.59, 8.76)),
    ((4096, 4096), "tile", (1.36, 1.80, 2.64)),
]
BOUNDS_OF_TILES_BEFORE = [
    ((1024, 64), (1.43, 2.00, 3.33)),
    ((1024, 1024), (1.42, 1.99, 3.28)),
    ((2048, 2048), (1.43, 1.99, 3.30)),
    ((4096, 4096), (1.43, 2.00, 3.32)),
]
LSTM_BOUNDS = [
    # size, bounds with the embedding dropped, and with it kept
    ("small", (1.36, 1.78, 2.60), (1.33, 1.69, 2.34)),
    ("medium", (1.29, 1.59, 2.09), (1.23, 1.45, 1.76)),
    ("large", (1.24, 1.48, 1.83), (1.16, 1.31, 1.49)),
    ("large8800", (1.23, 1.46, 1.80), (1.16, 1.29, 1.46)),
    ("large3", (1.22, 1.44, 1.74), (1.17, 1.31, 1.50)),
]
KEYS = {
    "case", "build", "reference", "steps_per_call", "net", "method", "family",
    "rate", "rates", "batch", "groups", "solver", "weight_decay", "wall_ms",
    "wall_ms_all", "processor_ms", "speed_up", "speed_up_min", "speed_up_max",
    "bound", "share", "peak_bytes", "error", "profile",
}  # fmt: skip


@pytest.mark.parametrize("hidden, method, bounds", MLP_BOUNDS)
def test_bound_of_an_mlp(hidden, method, bounds):
    found = [bound(sweeps.mlp(method, rate, hidden=hidden)) for rate in RATES]
    assert found == pytest.approx(bounds, abs=0.006)


@pytest.mark.parametrize("hidden, bounds", BOUNDS_OF_TILES_BEFORE)
def test_bound_of_tiles_before_the_hidden_layers(hidden, bounds):
    nets = [
        sweeps.mlp("tile_before", rate, hidden=hidden) for rate in RATES
    ]
    assert [bound(net) for net in nets] == pytest.approx(bounds, abs=0.006)


@pytest.mark.parametrize("method", ["row", "tile"])
@pytest.mark.parametrize("size, dropped, embedding_kept", LSTM_BOUNDS)
def test_bound_of_an_lstm(size, method, dropped, embedding_kept):
    nets = [registry.ptb(size, method, rate) for rate in RATES]
    assert [bound(net) for net in nets] == pytest.approx(dropped, abs=0.006)
    nets = [dataclasses.replace(net, rates=(0, *net.rates[1:])) for net in nets]
    found = [bound(net) for net in nets]
    assert found == pytest.approx(embedding_kept, abs=0.006)


@pytest.mark.parametrize("net", [sweeps.mlp, sweeps.lstm])
def test_nothing_to_gain_where_nothing_is_skipped(net):
    assert bound(net("conventional", 0.5)) == 1
    assert bound(net("none", 0)) == 1
    assert bound(net("row", 0)) == bound(net("tile_period", 0)) == 1


DIGITS = {"data": (128, 1, 28, 28)}
WORDS = dict.fromkeys(("token", "target", "cont"), (35, 20))


@pytest.mark.parametrize(
    "name, net, shapes",
    [
        ("mnist/row_0.5", sweeps.mlp("row", 0.5), DIGITS),
        ("mnist/tile_period_0.7", sweeps.mlp("tile_period", 0.7), DIGITS),
        ("ptb/medium_row_0.5", sweeps.lstm("row", 0.5), WORDS),
    ],
)
def test_bound_is_the_one_that_inspect_finds(name, net, shapes):
    """Which counts the multiply-adds of any net, layer by layer."""
    message = proto.read_net(ROOT / f"prototxt/{name}.prototxt")
    found = multiply_adds.products(net_shapes.training_net(message, shapes))
    assert multiply_adds.bound(found) == pytest.approx(bound(net), rel=1e-3)


def test_sweeps_hold_what_is_to_be_compared():
    every = sweeps.sweeps()
    assert list(every) == [
        "rates", "sizes", "batches", "lstm", "groups", "tiles", "lstms",
        "products", "solvers", "pytorch", "ones",
    ]  # fmt: skip
    for sweep in every.values():
        for stock, *ours in sweep.groups:
            assert stock.build == sweeps.STOCK
            assert stock.experiment.pattern is None
            assert not ours[0].is_reference
            for case in ours:
                assert case.build == sweeps.OURS or case.is_reference
                assert case.experiment.pattern
                assert (case.net, case.rate) == (stock.net, stock.rate)
                for field in ("solver", "weight_decay", "base_lr", "momentum"):
                    values = {
                        getattr(each.experiment, field)
                        for each in (case, stock)
                    }
                    assert len(values) == 1
        names = [case.name for group in sweep.groups for case in group]
        assert len(set(names)) == len(names)


def test_processes_end_with_the_program():
    """Even when it is killed."""
    program = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import os, time\n"
            "from measure import turns\n"
            "pool = turns.process()\n"
            "print(pool.submit(os.getpid).result(), flush=True)\n"
            "time.sleep(600)",
        ],
        cwd=ROOT / "scripts",
        stdout=subprocess.PIPE,
        text=True,
    )
    with program.stdout:
        stat = Path("/proc", program.stdout.readline().strip(), "stat")
    # Nobody may be there to collect it: then it stays, as a zombie.
    assert stat.read_text().rpartition(")")[2][1] != "Z"
    program.kill()
    program.wait()
    deadline = time.monotonic() + 60
    while stat.exists() and stat.read_text().rpartition(")")[2][1] != "Z":
        assert time.monotonic() < deadline
        time.sleep(0.05)


def wrong_settings(experiment):
    """The experiment with something else in each."""
    return {
        "patterns": dataclasses.replace(experiment, seed=2),
        "rate": dataclasses.replace(
            experiment, rates=(0.5,) * (len(experiment.rates) - 1) + (0.45,)
        ),
        "update": dataclasses.replace(experiment, momentum=0.5),
    }


@pytest.mark.parametrize(
    "workload, method",
    [
        *(("mlp", method) for method in sweeps.MLP_METHODS),
        *(("lstm", method) for method in sweeps.METHODS),
    ],
)
def test_check_passes_and_fails_when_it_should(
    bench, pool, tmp_path, workload, method
):
    groups = sweeps.sweeps(quick=True)[
        "rates" if workload == "mlp" else "lstm"
    ].groups
    (case,) = [c for c in groups[1] if c.method == method]
    trained = turns.Worker(case, tmp_path / "net")
    with trained.pool:
        files = tmp_path / "before.npz", tmp_path / "after.npz"
        trained.call(worker.save, files[0])
        loss = trained.call(worker.step, 3)
        trained.call(worker.save, files[1])

        def errors(experiment, loss):
            arguments = sweeps.STOCK, experiment, *files, 3, loss
            return pool.submit(oracle.compare, *arguments).result()

        found = errors(case.experiment, loss)
        assert found.keys() == {"loss", *np.load(files[0])}
        assert max(found.values()) <= 1
        assert errors(case.experiment, 1.01 * loss)["loss"] > 1
        for what, experiment in wrong_settings(case.experiment).items():
            assert max(errors(experiment, loss).values()) > 1, what


def test_a_net_that_computes_something_else_is_refused(bench, pool, tmp_path):
    case = sweeps.Case(sweeps.OURS, sweeps.mlp("row", 0.5, hidden=(64, 64)))
    trained = turns.Worker(case, tmp_path / "net")
    with trained.pool:
        trained.case = dataclasses.replace(
            case, experiment=dataclasses.replace(case.experiment, seed=2)
        )
        with pytest.raises(turns.BenchError, match="row 0.5.*fc1/0"):
            trained.check(pool, sweeps.STOCK)


def test_a_net_that_caffe_refuses_is_named(bench, tmp_path):
    case = sweeps.Case(sweeps.OURS, sweeps.mlp("row", 0.5, groups=3))
    trained = turns.Worker(case, tmp_path / "net")
    with trained.pool, pytest.raises(turns.BenchError, match="groups 3"):
        trained.call(worker.step, 1)


@pytest.mark.parametrize(
    "name, value, message",
    [
        ("STOCK", "caffe-missing", "build/caffe-missing is not built"),
        ("mlp", None, "missing: prepare the data with scripts/prepare_mnist"),
    ],
)
def test_what_is_missing_is_named(
    bench, tmp_path, monkeypatch, capsys, name, value, message
):
    mlp = sweeps.mlp

    def without_data(*arguments, **changes):
        return dataclasses.replace(
            mlp(*arguments, **changes), data=str(tmp_path)
        )

    monkeypatch.setattr(sweeps, name, value or without_data)
    arguments = ["rates", "--quick", "-o", str(tmp_path / "out")]
    assert measure_steps.main(arguments) == 1
    assert message in capsys.readouterr().err
    assert not list((tmp_path / "out").iterdir())


def test_quick_sweep(bench, data, tmp_path, capsys):
    arguments = ["groups", "--quick", "-o", str(tmp_path)]
    assert measure_steps.main(arguments) == 0
    results = json.loads((tmp_path / "groups.json").read_text())
    assert {"command", "machine", "commit", "date", "sweep"} < results.keys()
    assert results["machine"]["OMP_WAIT_POLICY"] == "passive"
    assert results["data"].keys() == set(map(str, data.values()))
    assert len(results["rows"]) == 10
    for line in results["rows"]:
        assert line.keys() == KEYS
        low, high = line["speed_up_min"], line["speed_up_max"]
        assert 0 < low <= line["speed_up"] <= high
        assert min(line["wall_ms_all"]) > 0 and line["peak_bytes"] > 1e7
        share = line["speed_up"] / line["bound"]
        assert line["share"] == pytest.approx(share)
        if not line["family"]:
            assert low == high == line["bound"] == 1
        else:
            assert 0 <= line["error"] <= 1
        layers = line["profile"]["layers"]
        spent = sum(map(sum, layers.values())) + line["profile"]["rest"]
        assert spent == pytest.approx(line["wall_ms"])
        assert "other" in layers and len(layers) in (4, 5)
    table = capsys.readouterr().out
    assert table.count("| stock, conventional") == 4  # times and profiles
    assert "| TILE " in table and "groups.png" in table
    assert (tmp_path / "groups.png").stat().st_size > 10000
    written = (tmp_path / "groups.json").read_text()
    assert measure_steps.main(arguments) == 0
    assert "nothing to do" in capsys.readouterr().out
    assert (tmp_path / "groups.json").read_text() == written
