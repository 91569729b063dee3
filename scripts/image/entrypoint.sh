#!/bin/sh
# The image's entry point: runs a command, without one says how to use it.
if [ $# -gt 0 ]; then
  exec "$@"
fi
cat <<'END'
Approximate Random Dropout for Caffe. Commands run in /opt/approx-dropout:

  docker run --gpus all IMAGE caffe train --gpu 0 \
      --solver=prototxt/mnist/solver_row_0.5.prototxt
  docker run IMAGE caffe train --solver=prototxt/mnist/solver_row_0.5.prototxt
  docker run IMAGE python3 scripts/train.py ptb/small_row_0.5 --epochs 1
  docker run IMAGE python3 -m approx_dropout search --rate 0.7

--gpu 0 wants the CUDA image and the NVIDIA container toolkit; without it a
CPU trains. Prepared data lies in the volume build/data, results in runs:

  docker run -v my-data:/opt/approx-dropout/build/data \
      -v my-runs:/opt/approx-dropout/runs IMAGE ...

MNIST and Penn Treebank files of your own, in folders mnist and ptb:

  docker run -v my-data:/opt/approx-dropout/build/data \
      -v /my/files:/data:ro -e DATA_DIR=/data IMAGE \
      python3 scripts/prepare_mnist.py
END
echo
for source in build/data/*/source.json; do
  echo "In $(dirname "$source"): $(sed -n 's/.*"used": "\(.*\)".*/\1/p' \
    "$source")"
done
