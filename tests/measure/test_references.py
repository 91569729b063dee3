"""What our nets are held against beside stock Caffe: the kept products alone,
other solvers, PyTorch, steps of one. Needs build/caffe for some of it."""

import dataclasses
import json
from types import SimpleNamespace

import numpy as np
import pytest

import measure_steps
from measure import kept_products, oracle, references, sweeps, turns, worker
from measure.bound import bound

TINY = {"hidden": (64, 64)}


def recorded(sizes):
    """Stands in for cblas_sgemm: lists each product's sizes, and checks that
    its operands are as large as their leading dimensions say."""

    def gemm(
        order, first, second, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc
    ):
        assert order == kept_products.ROW_MAJOR
        assert lda == (m if first == kept_products.TRANSPOSED else k)
        assert ldb == (k if second == kept_products.TRANSPOSED else n)
        assert ldc == n
        sizes.append((m, n, k))

    return gemm


@pytest.mark.parametrize("rate", [0.3, 0.5, 0.7])
def test_kept_products_are_those_of_the_bound(rate):
    net, sizes = sweeps.mlp("row", rate), []
    kept = references.kept_units(net)
    kept_products.Products(recorded(sizes), 128, kept).step(len(kept))
    done = sum(m * n * k for m, n, k in sizes) / len(kept)
    units = [784, *net.hidden, 10]
    all_of_them = 128 * sum(
        (2 if i == 0 else 3) * a * b
        for i, (a, b) in enumerate(zip(units, units[1:]))
    )
    assert len(sizes) == 8 * len(kept)
    assert all_of_them / done == pytest.approx(bound(net), rel=0.02)


def test_kept_products_are_products(monkeypatch):
    """By a gemm in numpy, one layer's output and both gradients."""

    def array(pointer, rows, columns):
        return np.ctypeslib.as_array(
            (kept_products.ctypes.c_float * (rows * columns)).from_address(
                pointer.value
            )
        ).reshape(rows, columns)

    def gemm(
        order, first, second, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc
    ):
        a = (
            array(a, k, m).T
            if first == kept_products.TRANSPOSED
            else array(a, m, k)
        )
        b = (
            array(b, n, k).T
            if second == kept_products.TRANSPOSED
            else array(b, k, n)
        )
        array(c, m, n)[...] = a @ b

    products = kept_products.Products(gemm, 4, [[6, 5]])
    dy = products.dx[2][: 4 * 5].reshape(4, 5)
    w = products.weight[1].reshape(5, 6)
    products.step(1)
    x = products.x[1].reshape(4, 6)
    assert products.x[2] == pytest.approx((x @ w.T).ravel(), rel=1e-5)
    assert products.gradient[1] == pytest.approx((dy.T @ x).ravel(), rel=1e-5)
    assert products.dx[1] == pytest.approx((dy @ w).ravel(), rel=1e-5)


@pytest.mark.parametrize("solver", sweeps.SOLVERS)
def test_oracle_knows_the_solvers(bench, pool, tmp_path, solver):
    _, case = sweeps.solved(solver, 0.5, 5e-4, **TINY)
    trained = turns.Worker(case, tmp_path / "net")
    with trained.pool:
        files = tmp_path / "before.npz", tmp_path / "after.npz"
        trained.call(worker.save, files[0])
        loss = trained.call(worker.step, 3)
        trained.call(worker.save, files[1])

        def worst(**changes):
            experiment = dataclasses.replace(case.experiment, **changes)
            arguments = sweeps.STOCK, experiment, *files, 3, loss
            found = pool.submit(oracle.compare, *arguments).result()
            return max(found.values())

        assert worst() <= 1
        assert worst(base_lr=1.1 * case.experiment.base_lr) > 1
        assert worst(weight_decay=0.05) > 1
        other = "Nesterov" if solver == "SGD" else "SGD"
        assert worst(solver=other) > 1


def test_quick_sweeps(bench, tmp_path):
    names = ["products", "ones"]
    assert measure_steps.main([*names, "--quick", "-o", str(tmp_path)]) == 0
    for name in names:
        rows = json.loads((tmp_path / f"{name}.json").read_text())["rows"]
        for stock, ours, other in zip(rows[::3], rows[1::3], rows[2::3]):
            assert [each["reference"] for each in (stock, ours, other)] == [
                False, False, True,
            ]  # fmt: skip
            ratios = [
                theirs / our
                for theirs, our in zip(
                    other["wall_ms_all"], ours["wall_ms_all"]
                )
            ]
            assert other["our_speed_up"] == pytest.approx(np.median(ratios))
            assert other["our_speed_up_max"] == pytest.approx(max(ratios))
            assert other["steps_per_call"] == (name == "ones")
    table = (tmp_path / "table.md").read_text()
    assert "| kept products " in table and "| ROW, 1 step a call " in table


def test_pytorch_is_left_out_where_it_is_missing(
    bench,
    tmp_path,
    monkeypatch,
    capsys,
):
    monkeypatch.setattr(references.importlib.util, "find_spec", lambda _: None)
    assert measure_steps.main(["pytorch", "-o", str(tmp_path)]) == 0
    assert "PyTorch is not installed" in capsys.readouterr().out
    assert not (tmp_path / "pytorch.json").exists()


def test_pytorch_with_rows_picked_equals_masked(monkeypatch):
    torch = pytest.importorskip("torch")
    from measure import torch_rows, torch_steps

    options = SimpleNamespace(
        workload="mnist", hidden=[12, 8], rate=0.5, batch_size=4, device="cpu"
    )
    nets = {"mnist": torch_rows.Perceptron, "ptb": torch_rows.LanguageModel}
    net, x, _ = torch_steps.make(options, nets)
    kept = {}
    pick = torch_rows.kept_units

    def remembered(units, rate):
        kept[units] = pick(units, rate)
        return kept[units]

    monkeypatch.setattr(torch_rows, "kept_units", remembered)
    found = net(x)
    masked = x
    *hidden, last = net.linear_layers()
    for layer in hidden:
        keep = torch.zeros(layer.out_features)
        keep[kept[layer.out_features]] = 2
        masked = keep * torch.relu(layer(masked))
    assert torch.allclose(found, last(masked), atol=1e-5)
