"""Paths: the package as it is in the repository, pycaffe as make built it."""

import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent

sys.path.insert(0, str(ROOT / "build" / "caffe" / "python"))
sys.path.insert(0, str(ROOT / "python_layers"))
