"""The time that counted work would take on a card: a model, not a measurement.

What it leaves out is said in docs/gpu.md, with the formulas. Seconds
throughout. Work is what the emulated device counts
(tests/cuda_emulator/src/counts.hpp), as a dict, of `launches` launches.
"""

import dataclasses
import math

WARP = 32
FLOAT_BYTES = 4


@dataclasses.dataclass(frozen=True)
class Card:
    """What is published of a card, and what is assumed of all.

    flops: of float32 products, as cuBLAS reaches them.
    cache_bytes: a second, from the L2 cache to the multiprocessors.
    launch_s: from the end of one kernel to full speed of the next.
    latency_s: from a request of memory to its answer.
    host_launch_s: of the host, for each launch.
    wait_s: idle after the host has waited for the device.
    allocation_s: each allocation or release.
    """

    name: str
    memory_bytes: float
    flops: float
    processors: int
    clock: float
    cache_bytes: float
    threads: int = 2048  # of a multiprocessor
    blocks: int = 32
    host_bytes: float = 25e9
    launch_s: float = 2.5e-6
    latency_s: float = 0.6e-6
    host_launch_s: float = 4e-6
    wait_s: float = 20e-6
    allocation_s: float = 100e-6


H200 = Card(
    name="H200",
    memory_bytes=4.8e12,
    flops=50e12,
    processors=132,
    clock=1.755e9,
    cache_bytes=5.5e12,
)

# Rows and columns of C that a block of cuBLAS computes, and the share of its
# speed that it reaches with them.
TILES = (
    (128, 128, 1.0),
    (128, 64, 0.9),
    (64, 128, 0.9),
    (64, 64, 0.75),
    (64, 32, 0.55),
    (32, 64, 0.55),
)
SPLITS = (1, 2, 4, 8, 16)
LEAST_DEPTH = 128  # of k, for each split


# Of a warp's requests of memory so many are on their way at a time: more where
# a kernel's machine code has loads before the first instruction that waits for
# one of them, as is said here.
REQUESTS = 2
KERNELS_REQUESTS = {
    "ForwardStepKernel": 8,
    "BackwardStepKernel": 6,
    "BackwardCellKernel": 4,
}
# So many waits for memory, one after the other, are left to a kernel's last
# block when all others are done: to arrive, to read parts, to read gates.
KERNELS_LAST_WAITS = {"BackwardStepKernel": 4}


def evenly(units, processors):
    """How many multiprocessors are busy on average, as all wait for the last
    of the units."""
    return units / math.ceil(units / processors)


def gemm_s(work, card):
    """One product: the fastest of its tilings, but no faster than memory."""
    launches = work["launches"]
    m, n, k, batch = (work[field] for field in ("m", "n", "k", "batch"))
    moved = (work["read_bytes"] + work["written_bytes"]) / launches
    times = []
    for (rows, columns, share), split in (
        (tile, split)
        for tile in TILES
        for split in SPLITS
        if split == 1 or k >= split * LEAST_DEPTH
    ):
        tiles = math.ceil(m / rows) * math.ceil(n / columns) * batch
        flops = 2 * tiles * rows * columns * k
        busy = evenly(tiles * split, card.processors) / card.processors
        parts = 0 if split == 1 else 2 * split * m * n * batch * FLOAT_BYTES
        times.append(
            max(
                flops / (card.flops * share * busy),
                (moved + parts) / card.memory_bytes,
            )
            + card.launch_s * (1 if split == 1 else 2)
        )
    return min(times)


def kernel_s(work, card):
    """One launch: what takes longest of memory, cache, the multiprocessors'
    turns and latency."""
    launches = work["launches"]
    blocks, threads = math.prod(work["grid"]), math.prod(work["block"])
    warps = blocks * math.ceil(threads / WARP)
    busy = evenly(blocks, card.processors)
    resident = card.processors * min(card.blocks, card.threads // threads)
    turns = (
        max(work["lines"], work["sectors"] / 2)
        + work["shared_requests"]
        + work["bank_conflicts"]
    )
    name = work["name"].split("<")[0]
    requests = KERNELS_REQUESTS.get(name, REQUESTS)
    waits = math.ceil(work["first_requests"] / launches / warps / requests)
    moved = work["read_bytes"] + work["written_bytes"]
    last_s = KERNELS_LAST_WAITS.get(name, 0) * card.latency_s
    return (
        card.launch_s
        + last_s
        + max(
            moved / launches / card.memory_bytes,
            work["sectors"] * 32 / launches / card.cache_bytes,
            turns / launches / busy / card.clock,
            math.ceil(blocks / resident) * waits * card.latency_s,
        )
    )


def library_s(work, card):
    """One call that moves bytes and does little else."""
    moved = work["read_bytes"] + work["written_bytes"]
    return card.launch_s + moved / work["launches"] / card.memory_bytes


ONE_S = {"gemm": gemm_s, "kernel": kernel_s, "library": library_s}


def work_s(work, card=H200):
    """All launches of one kind, name and shape."""
    return work["launches"] * ONE_S[work["kind"]](work, card)


def calls_s(calls, card=H200):
    """Waits, copies between host and device and allocations."""
    cost = {
        "wait": lambda call: call["count"] * card.wait_s,
        "copy": lambda call: call["bytes"] / card.host_bytes,
        "allocation": lambda call: call["count"] * card.allocation_s,
        "graph": lambda call: 0,
    }
    return sum(cost[call["kind"]](call) for call in calls)


def host_launches(counts):
    """Launches by the host: a graph is one, of as many kernels as its bytes
    say."""
    graphs = [call for call in counts["calls"] if call["kind"] == "graph"]
    launches = sum(work["launches"] for work in counts["work"])
    return launches + sum(call["count"] - call["bytes"] for call in graphs)


def total_s(counts, card=H200):
    """An iteration: the device's work or the host's launches, whichever takes
    longer, and what both wait for."""
    launches = host_launches(counts)
    device = sum(work_s(work, card) for work in counts["work"])
    return max(device, launches * card.host_launch_s) + calls_s(
        counts["calls"], card
    )
