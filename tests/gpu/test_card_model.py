"""The model of a card, on work whose time is plain."""

import dataclasses

import pytest

from gpu import card_model, device_counts, device_report
from gpu.card_model import H200

MEGA = 2**20
CARD = dataclasses.replace(H200, launch_s=0)


def kernel(blocks, **fields):
    """A copy of a million floats by blocks of 256, but for what is given, and
    as though latency were none."""
    work = {
        "kind": "kernel",
        "name": "CopyKernel",
        "grid": [blocks, 1, 1],
        "block": [256, 1, 1],
        "launches": 1,
        "flops": 0,
        "read_bytes": 4 * MEGA,
        "written_bytes": 4 * MEGA,
        "requests": MEGA / 16,
        "first_requests": 0,
        "sectors": MEGA / 4,
        "lines": MEGA / 16,
        "needed_bytes": 8 * MEGA,
        "shared_requests": 0,
        "bank_conflicts": 0,
    }
    return {**work, **fields}


def gemm(m, n, k, batch=1):
    return {
        "kind": "gemm",
        "name": "Sgemm NN",
        "m": m,
        "n": n,
        "k": k,
        "batch": batch,
        "aligned": True,
        "launches": 1,
        "flops": 2 * m * n * k * batch,
        "read_bytes": 4 * batch * (m + n) * k,
        "written_bytes": 4 * batch * m * n,
        "sectors": 0,
        "needed_bytes": 0,
        "bank_conflicts": 0,
    }


@pytest.mark.parametrize(
    "work, seconds",
    [
        # As fast as memory.
        (kernel(4096), 8 * MEGA / 4.8e12),
        # What the cache gives again and again.
        (kernel(4096, sectors=2 * MEGA), 2 * MEGA * 32 / 5.5e12),
        # One multiprocessor: two sectors a cycle.
        (kernel(1), MEGA / 8 / 1.755e9),
        # Each thread of a warp in a line of its own, one line a cycle.
        (kernel(132, lines=MEGA), MEGA / 132 / 1.755e9),
        # All wait for the second block of one multiprocessor.
        (kernel(133, lines=MEGA), MEGA / 66.5 / 1.755e9),
        (
            kernel(132, shared_requests=MEGA, bank_conflicts=31 * MEGA),
            (MEGA / 8 + 32 * MEGA) / 132 / 1.755e9,
        ),
        # Eight blocks fit on each of 132; four reads of a warp, two at a time.
        (kernel(2 * 8 * 132, first_requests=4 * 8 * 16 * 132), 4 * 0.6e-6),
        # A kernel with eight on their way.
        (
            kernel(
                132,
                name="ForwardStepKernel<Dtype>",
                first_requests=32 * 8 * 132,
            ),
            4 * 0.6e-6,
        ),
        # One whose last block goes on when the others are done.
        (
            kernel(132, name="BackwardStepKernel<Dtype>", lines=MEGA),
            MEGA / 132 / 1.755e9 + 4 * 0.6e-6,
        ),
    ],
)
def test_kernel(work, seconds):
    assert card_model.kernel_s(work, CARD) == pytest.approx(seconds)
    later = card_model.kernel_s(work, H200) - seconds
    assert later == pytest.approx(H200.launch_s)


def test_work_of_several_launches():
    both = {field: 2 * value if field in device_counts.AMOUNTS else value
            for field, value in kernel(4096).items()}
    assert card_model.work_s(both) == pytest.approx(
        2 * card_model.work_s(kernel(4096)))


def test_gemm():
    # 32 x 33 blocks of 128 x 128 are 8 rounds of 132.
    work = gemm(4096, 33 * 128, 4096)
    assert card_model.gemm_s(work, CARD) == pytest.approx(work["flops"] / 50e12)
    # One row of a product reads B: memory sets the time, and k is split.
    row = gemm(20, 6000, 1500)
    least = 4 * 6000 * 1500 / 4.8e12
    assert least < card_model.gemm_s(row, CARD) < 4 * least
    # A batch of small products fills the card as one large one does.
    assert card_model.gemm_s(gemm(128, 128, 4096, 132), CARD) == pytest.approx(
        2 * 128 * 128 * 4096 * 132 / 50e12)


def test_iteration():
    call = {"kind": "wait", "name": "cudaMemcpy", "count": 2, "bytes": 0}
    small = kernel(1, lines=0, sectors=0, read_bytes=0)
    counts = {"work": [small], "calls": [call]}
    # The host takes longer to launch it than the device to do it.
    assert card_model.total_s(counts) == pytest.approx(4e-6 + 2 * 20e-6)
    counts["work"] += [gemm(4096, 4096, 4096)]
    device = sum(map(card_model.work_s, counts["work"]))
    assert card_model.total_s(counts) == pytest.approx(device + 2 * 20e-6)


def test_graph_is_one_launch():
    """Of its kernels, which are among all; the device takes as long."""
    small = kernel(1, lines=0, sectors=0, read_bytes=0)
    graph = {"kind": "graph", "name": "cudaGraphLaunch", "count": 2}
    counts = {"work": [{**small, "launches": 70}],
              "calls": [{**graph, "bytes": 70}]}
    assert card_model.host_launches(counts) == 2
    assert card_model.total_s(counts) == pytest.approx(70 * 2.5e-6, rel=0.5)
    counts["calls"][0]["bytes"] = 35
    assert card_model.host_launches(counts) == 37


def test_tables():
    counts = {"work": [kernel(4096, needed_bytes=2 * MEGA), gemm(8, 8, 8)],
              "calls": []}
    runs = [{"net": "mlp", "rate": 0.5, "method": method, "model_s": seconds,
             **counts} for method, seconds in (("conventional", 2), ("row", 1))]
    lines = device_report.summary("A net", runs).split("\n")
    cells = [[cell.strip() for cell in line.split("|")[1:-1]]
             for line in lines if line.startswith("|")]
    titles, _, stock, row = cells
    row = dict(zip(titles, row))
    assert stock[titles.index("model speed-up")] == "1.00"
    assert (row["model speed-up"], row["launches"], row["needed"]) == (
        "2.00", "2", "25 %")
    assert "no measurement" in lines[-2]
