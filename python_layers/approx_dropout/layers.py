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
import json
import sys

import caffe

from .search import search

_KEYS = (
    "dropout_ratio",
    "family",
    "max_period",
    "lambda1",
    "lambda2",
    "lambda3",
    "seed",
)


def _refuse(problem):
    raise ValueError(
        f"PatternSearchLayer: {problem}; param_str is a JSON object with "
        f"dropout_ratio and, if wanted, {', '.join(_KEYS[1:])}"
    )


def parse_param_str(param_str):
    """The search's arguments, from JSON. ValueError names what is wrong."""
    try:
        arguments = json.loads(param_str)
    except json.JSONDecodeError as error:
        _refuse(f"param_str {param_str!r} is not JSON ({error})")
    if not isinstance(arguments, dict):
        _refuse(f"param_str {param_str!r} is no JSON object")
    for key, value in arguments.items():
        if key not in _KEYS:
            _refuse(f"key {key!r} in param_str is unknown")
        if isinstance(value, (bool, list, dict)) or value is None:
            _refuse(f"key {key!r} in param_str is {value!r}")
    if "dropout_ratio" not in arguments:
        _refuse("key 'dropout_ratio' is missing in param_str")
    return arguments


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
    return result.probability


class PatternSearchLayer(caffe.Layer):
    """K by Algorithm 1. No bottoms; top: K, shape (N). No gradient.

    The search runs once a process for the same arguments: train and test nets
    share it. K is written in reshape, which Caffe calls before each forward
    as well as at set-up, where other layers read its size. A DropoutPattern
    that K goes to is of the search's family; Caffe's Net reads it in
    param_str.
    """

    def setup(self, bottom, top):
        """Searches; ValueError for bottoms, more tops, or a bad param_str."""
        if len(bottom) != 0 or len(top) != 1:
            raise ValueError(
                f"PatternSearchLayer has {len(bottom)} bottoms and {len(top)} "
                f"tops, must have no bottom and 1 top"
            )
        arguments = parse_param_str(self.param_str)
        try:
            self.probability = _search_once(**arguments)
        except ValueError as error:
            _refuse(str(error))

    def reshape(self, bottom, top):
        """Shapes the top (N) and writes K."""
        top[0].reshape(len(self.probability))
        top[0].data[...] = self.probability

    def forward(self, bottom, top):
        """Nothing: reshape has written K."""

    def backward(self, top, propagate_down, bottom):
        """Nothing: K gets no gradient."""
