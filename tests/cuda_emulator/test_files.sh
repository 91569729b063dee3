#!/usr/bin/env bash
# The files of C++ tests that the emulated build has, as Caffe's CMake wants
# them: ours that need a GPU, and those of Caffe's below.
set -euo pipefail
cd "$(dirname "$0")/../.."

# Layers of our nets, and what they and the solver stand on.
caffe=(caffe_main embed_layer inner_product_layer softmax_layer
  softmax_with_loss_layer syncedmem math_functions)

ours() {
  grep -lE 'TestDtypesAndDevices|GPU' \
    caffe_patches/overlay/src/caffe/test/*.cpp |
    sed -E 's|.*/test_(.*)\.cpp|\1|'
}

printf '%s\n' "${caffe[@]}"
ours
