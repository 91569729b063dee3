"""The Caffe layer that searches K at set-up; needs pycaffe.

layer {
  name: "k"  type: "Python"  top: "k"
  python_param {
    module: "approx_dropout"  layer: "PatternSearchLayer"
    param_str: '{"dropout_ratio": 0.7, "family": "RESIDUE",
                 "max_period": 16}'
  }
}
"""

import functools
import sys

import caffe

from .param_str import search_for_layer
from .search import search


def _log(message):
    getattr(caffe, "log", functools.partial(print, file=sys.stderr))(message)


@functools.lru_cache(maxsize=None)
def _search_once(**arguments):
    result = search(**arguments)
    listed = ", ".join(f"{key} {value}" for key, value in arguments.items())
    _log(
        f"PatternSearchLayer ({listed}): achieved drop rate "
        f"{result.rate:.6f}, entropy {result.entropy:.4f} nats, spread "
        f"{result.spread:.6f}"
    )
    return result


class PatternSearchLayer(caffe.Layer):
    """K by Algorithm 1. No bottoms; top: K, shape (N). No gradient.

    The search runs once per process for the same arguments: train and test nets
    share it. K is written in reshape, which Caffe calls before each forward
    as well as at set-up, where other layers read its size. A DropoutPattern
    that K goes to is of the search's family; Caffe's Net reads it in
    param_str.
    """

    layer_name = ""  # the patched Caffe sets it before setup

    def setup(self, bottom, top):
        """Searches; ValueError for bottoms, more tops, or a bad param_str."""
        if len(bottom) != 0 or len(top) != 1:
            raise ValueError(
                f"PatternSearchLayer '{self.layer_name}' has {len(bottom)} "
                f"bottoms and {len(top)} tops, must have no bottom and 1 top"
            )
        self.probability = search_for_layer(
            self.layer_name, self.param_str, _search_once
        ).probability

    def reshape(self, bottom, top):
        """Shapes the top (N) and writes K."""
        top[0].reshape(len(self.probability))
        top[0].data[...] = self.probability

    def forward(self, bottom, top):
        """Nothing: reshape has written K."""

    def backward(self, top, propagate_down, bottom):
        """Nothing: K gets no gradient."""
