"""Holds a random net, converted, against the original; by hand one of them:

python3 tests/package/hold_random_nets.py SEED [ROW or TILE]
"""

import collections
import os
import random
import sys

from random_nets import random_net

from approx_dropout.check import compare
from approx_dropout.conversion import Options
from approx_dropout.convert import convert_net
from approx_dropout.revert import revert_net

TOLERANCE = 2e-3
# Words of the notes on what can become of a Dropout.
KINDS = (
    "drops ROW",
    "drops TILE",
    "ApproxDropout",
    "flattened",
    ", compact",
    "left Dropout",
)


def options(seed):
    """Random arguments of convert."""
    draw = random.Random(-1 - seed)
    family = draw.choice(("RESIDUE", "RESIDUE", "PERIOD"))
    return dict(
        family=family,
        max_period=4,
        groups=draw.choice((1, 2, 4)) if family == "RESIDUE" else 1,
        inline_probability=draw.random() < 0.5,
        share=draw.random() < 0.5,
    )


def hold(seed, pattern):
    """Converts a net and holds it against the original; returns the notes."""
    net = random_net(seed)
    result = convert_net(net, Options(pattern=pattern, **options(seed)))
    drops = [x.name for x in net.layer if x.type == "Dropout"]
    assert len(result.notes) == len(drops)
    assert len(result.dropped) == sum(
        not note.startswith("left") for note in result.notes
    )
    compared = compare(
        result.net, net, result.dropped, gradients=True, seed=seed
    )
    if seed % 4 == 0:
        back = revert_net(result.net)
        assert not any("Approx" in x.type for x in back.net.layer)
        # One may come back as several, one for each state's product.
        assert len(back.dropped) >= len(result.dropped)
        compared += compare(result.net, back.net, back.dropped)
    bad = [str(x) for x in compared if not x.difference <= TOLERANCE]
    assert not bad, (pattern, result.notes, bad)
    return result.notes


def work(seeds, folder, pipe):
    """Holds nets, in a process that Caffe may end; sends what became of the
    Dropouts, by the words of their notes."""
    os.environ["GLOG_minloglevel"] = "2"
    found = collections.Counter()
    for seed in seeds:
        for pattern in ("ROW", "TILE"):
            (folder / "seed").write_text(f"seed {seed}, {pattern}")
            for note in hold(seed, pattern):
                found.update(word for word in KINDS if word in note)
    pipe.send(found)


if __name__ == "__main__":
    for pattern in sys.argv[2:] or ("ROW", "TILE"):
        print(*hold(int(sys.argv[1]), pattern), sep="\n")
