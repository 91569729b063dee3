#!/bin/sh
# The image's entry point: runs a command, without one says how to use it.
root=/opt/approx-dropout
if [ $# -gt 0 ]; then
  # Caffe wants the folders that snapshots go to; a volume may be empty.
  mkdir -p $root/runs/cifar10 $root/runs/mnist $root/runs/ptb ||
    echo "No results can be written: the folder mounted as runs must be" \
      "writable for user $(id -u)." >&2
  # Who gives the container a GPU wants it used.
  if [ "$1" = caffe ] && [ -d $root/build/caffe-cuda ] &&
      nvidia-smi -L >/dev/null 2>&1; then
    case " $*" in
      *" -gpu"* | *" --gpu"*) ;;
      *) set -- "$@" --gpu=0 ;;
    esac
  fi
  exec "$@"
fi
cat <<'END'
Approximate Random Dropout for Caffe. Commands run in /opt/approx-dropout:

  docker run --gpus all IMAGE caffe train \
      --solver=prototxt/mnist/solver_row_0.5.prototxt
  docker run IMAGE caffe train --solver=prototxt/mnist/solver_row_0.5.prototxt
  docker run IMAGE python3 scripts/train.py ptb/small_row_0.5 --epochs 1
  docker run IMAGE python3 -m approx_dropout search --rate 0.7

--gpus all wants the CUDA image and the NVIDIA container toolkit; caffe then
uses GPU 0, or that of --gpu=1. Without it a CPU trains.
Prepared data lies in the volume build/data, results in runs:

  docker run -v my-data:/opt/approx-dropout/build/data \
      -v my-runs:/opt/approx-dropout/runs IMAGE ...

A folder in place of my-runs must be writable for user 10001.
MNIST and Penn Treebank files of your own, in folders mnist and ptb:

  docker run -v my-data:/opt/approx-dropout/build/data \
      -v /my/files:/data:ro -e DATA_DIR=/data IMAGE \
      python3 scripts/prepare_mnist.py
END
echo
cd $root || exit
for source in build/data/*/source.json; do
  echo "In $(dirname "$source"): $(sed -n 's/.*"used": "\(.*\)".*/\1/p' \
    "$source")"
done
