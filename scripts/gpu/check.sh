#!/bin/sh
# Checks a bundle (scripts/gpu/make_bundle.sh) on a machine with a GPU; run it
# in the bundle's folder:
#
#   ./gpu_check.sh [--output FOLDER] [--limit SECONDS] [--cpu] [PART...]
#
# Parts, all by default: tests (Caffe's and ours), sanitizer (compute-sanitizer
# over ours), bench (step times, stock Caffe against ours), train (MNIST and
# Penn Treebank). Writes FOLDER/gpu_check.json and FOLDER/gpu_check.log; parts
# run by an earlier call into the same FOLDER are kept. Goes on after a part
# that fails, and then ends with status 1. Needs python3, without packages.
PYTHON=${PYTHON:-python3}
if ! command -v "$PYTHON" >/dev/null; then
  echo "gpu_check: no $PYTHON on PATH; set PYTHON to a Python 3.9 or newer" >&2
  exit 1
fi
PYTHONPATH=$(dirname "$(readlink -f "$0")")/scripts${PYTHONPATH:+:$PYTHONPATH}
export PYTHON PYTHONPATH
exec "$PYTHON" -m gpu.check "$@"
