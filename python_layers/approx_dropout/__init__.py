"""Approximate random dropout: the Python side.

families.py, search.py and draw.py need numpy only, caffe_log.py nothing;
state.py, convert.py and what inspects nets need the patched Caffe's messages,
layers.py needs pycaffe. Caffe finds PatternSearchLayer as module
"approx_dropout", layer "PatternSearchLayer".
"""

__version__ = "1.0.0"


def __getattr__(name):
    if name == "PatternSearchLayer":
        from .layers import PatternSearchLayer

        return PatternSearchLayer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
