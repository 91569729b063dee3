"""DropoutPattern's draws in C++ are those of approx_dropout.draw."""

import caffe
import numpy as np
import pytest

from approx_dropout.draw import draw_pattern

CASES = [
    # family, K, groups
    ("RESIDUE", [0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0], 1),
    ("RESIDUE", [0.125, 0.25, 0.375, 0.125, 0.125], 5),
    ("RESIDUE", [0.3, 0.1, 0.6], 2),
    ("PERIOD", [0.37, 0.2, 0.13, 0.1, 0.1, 0.05, 0.05], 1),
    ("PERIOD", [1 / 300] * 300, 1),
    ("RESIDUE", [1], 1),
]


def solver_with_patterns(folder, seed):
    """A solver whose net holds one DropoutPattern layer per case."""
    layers = []
    for i, (family, probability, groups) in enumerate(CASES):
        values = " ".join(f"probability: {p!r}" for p in probability)
        layers.append(
            f"layer {{ name: 'pattern/{i}' type: 'DropoutPattern' "
            f"top: 'p{i}' dropout_pattern_param {{ family: {family} "
            f"groups: {groups} {values} }} }}"
        )
    (folder / "net.prototxt").write_text("\n".join(layers))
    (folder / "solver.prototxt").write_text(
        f"net: '{folder}/net.prototxt' base_lr: 1 lr_policy: 'fixed' "
        f"random_seed: {seed} snapshot_prefix: '{folder}/state' "
        "solver_mode: CPU"
    )
    return caffe.SGDSolver(str(folder / "solver.prototxt"))


@pytest.mark.parametrize("seed", [0, 1701, 2**31 - 1])
def test_same_patterns(tmp_path, seed):
    solver = solver_with_patterns(tmp_path, seed)
    for draw in range(300):
        solver.net.forward()
        for i, (family, probability, groups) in enumerate(CASES):
            scale, period, residues = draw_pattern(
                probability, family, seed, f"pattern/{i}", draw, groups
            )
            blob = solver.net.blobs[f"p{i}"].data
            assert blob.shape == (groups, 2 + residues.shape[1])
            np.testing.assert_allclose(blob[:, 0], scale, rtol=1e-6)
            np.testing.assert_array_equal(blob[:, 1], period)
            np.testing.assert_array_equal(blob[:, 2:], residues)
