"""Approximate random dropout: the Python side.

families.py, search.py and draw.py need numpy only; state.py and convert.py
need the patched Caffe's messages, layers.py needs pycaffe. Caffe finds
PatternSearchLayer as module "approx_dropout", layer "PatternSearchLayer".
"""


def __getattr__(name):
    if name == "PatternSearchLayer":
        from .layers import PatternSearchLayer

        return PatternSearchLayer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
