"""Random nets, converted and reverted: each the same as the original in TEST,
and in TRAIN the same as a dense net with the patterns drawn, gradients too."""

import collections
import multiprocessing

import pytest
from hold_random_nets import KINDS, work

NETS = 240
CHUNKS = 8


@pytest.fixture(scope="module")
def kinds():
    """What became of all Dropouts, counted when all nets are done."""
    return collections.Counter()


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_random_nets(chunk, kinds, tmp_path):
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe(duplex=False)
    seeds = range(chunk, NETS, CHUNKS)
    process = context.Process(target=work, args=(seeds, tmp_path, there))
    process.start()
    there.close()
    try:
        kinds.update(here.recv())
    except EOFError:
        pytest.fail(f"see above, {(tmp_path / 'seed').read_text()}")
    finally:
        process.join()


def test_every_kind_was_met(kinds):
    assert all(kinds[word] >= 20 for word in KINDS), kinds
