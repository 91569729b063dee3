#!/usr/bin/env bash
# Makes build/approx-dropout-caffe, a folder that runs anywhere: Caffe built
# with CUDA and without Python layers, stock Caffe beside it, the test program,
# the timing tool, the nets and data of gpu_check.sh and the shared
# libraries that all this needs, but for glibc's and CUDA's; and the same as
# .tar.xz. With --programs, into build/approx-dropout-caffe-programs, only what
# runs our layers: no tests, no stock Caffe, no data. CUDA_ARCH as for
# scripts/setup/build_caffe.sh.
set -euo pipefail
unset CDPATH
cd "$(dirname "$0")/../.."
bundle=build/approx-dropout-caffe
LIMIT_BYTES=60000000
case $* in
  "") builds=(caffe stock) ;;
  --programs)
    bundle+=-programs
    builds=(caffe) ;;
  *)
    echo "make_bundle: unknown arguments $*; legal: --programs" >&2
    exit 1 ;;
esac
part=$bundle.part
declare -A tree_of=([caffe]=build/caffe-bundle
  [stock]=build/caffe-stock-bundle)

# Prints the paths of the shared libraries of the programs in the bundle, but
# for libcaffe, glibc's and CUDA's.
libraries() {
  local cuda outside
  cuda=$(sed -n 's/^CUDA_TOOLKIT_ROOT_DIR:.*=//p' \
    build/caffe-bundle/build/CMakeCache.txt)
  outside='^(linux-vdso|ld-linux-x86-64|lib(caffe|c|m|mvec|dl|pthread|rt'
  outside+='|resolv|util|nsl|anl|cublas|cublasLt|curand|cudart))\.so'
  LD_LIBRARY_PATH=$cuda/lib64 ldd "$part"/*/bin/* >"$part/ldd"
  if grep "not found" "$part/ldd" >&2; then
    return 1
  fi
  awk '$2 == "=>" {print $1, $3}' "$part/ldd" | sort -u |
    grep -Ev "$outside" | cut -d' ' -f2
}

assemble() {
  local build tree library programs
  for build in "${builds[@]}"; do
    tree=${tree_of[$build]}
    mkdir -p "$part/$build/bin" "$part/$build/lib"
    programs=("$tree"/build/tools/{caffe,step_times})
    if [ "$build" = caffe ] && [ ${#builds[@]} -gt 1 ]; then
      programs+=("$tree/build/test/test.testbin")
    fi
    cp "${programs[@]}" "$part/$build/bin"
    cp -L "$tree/build/lib/libcaffe.so.1.0.0" "$part/$build/lib"
  done
  mkdir -p "$part/lib" "$part/bin" "$part/src/caffe/test"
  libraries >"$part/libraries"
  # Each under the name that it is asked for by.
  while read -r library; do
    cp -L "$library" "$part/lib"
  done <"$part/libraries"
  rm "$part/libraries" "$part/ldd"
  chmod u+w "$part"/*/lib/*
  strip --strip-unneeded "$part"/*/bin/* "$part"/*/lib/*
  readelf -d "$part/caffe/lib/libcaffe.so.1.0.0" |
    sed -n 's/.*NEEDED.*\[\(libcu[bdr].*\.so.*\)\]/\1/p' >"$part/lib/cuda_libraries"
}

add_scripts() {
  local build program
  cp scripts/gpu/launcher.sh "$part/bin/launcher"
  for build in "${builds[@]}"; do
    for program in "$part/$build"/bin/*; do
      ln -s launcher "$part/bin/$(basename "$program")$(
        [ "$build" = caffe ] || echo "-$build")"
    done
  done
  cp scripts/gpu/README.txt LICENSE "$part"
  cp scripts/gpu/check.sh "$part/gpu_check.sh"
  cp -r build/caffe.orig/src/caffe/test/test_data "$part/src/caffe/test"
  mkdir "$part/scripts"
  (cd scripts && cp --parents {gpu,measure,training}/__init__.py \
    gpu/{check,cxx_tests,step_times,trainings}.py \
    measure/{step_workers,timing,torch_steps}.py training/caffe_{log,process}.py \
    approx_dropout/{__init__,caffe_log}.py "../$part/scripts")
}

add_nets_and_data() {
  local name
  PYTHONPATH=scripts /usr/bin/python3 -m gpu.bundle_nets "$part"
  for name in mnist ptb; do
    mkdir -p "$part/build/data"
    cp -r build/data/$name "$part/build/data"
  done
  rm -f "$part"/build/data/*/*/lock.mdb
}

options=(--bundle)
[ ${#builds[@]} -eq 1 ] || options+=(--tests)
scripts/setup/build_caffe.sh "${options[@]}"
[ ${#builds[@]} -eq 1 ] || scripts/setup/build_caffe.sh --bundle --stock
rm -rf $part
assemble
add_scripts
[ ${#builds[@]} -eq 1 ] || add_nets_and_data
rm -rf $bundle
mv $part $bundle
tar c -C build --owner=0 --group=0 "$(basename $bundle)" | xz -T0 -6 \
  >$bundle.tar.xz.part
mv $bundle.tar.xz.part $bundle.tar.xz
bytes=$(stat -c %s $bundle.tar.xz)
echo "make_bundle: $bundle.tar.xz, $bytes bytes," \
  "$(du -sm $bundle | cut -f1) MB unpacked"
if [ "$bytes" -gt $LIMIT_BYTES ]; then
  echo "make_bundle: that is more than $LIMIT_BYTES bytes; name fewer GPUs" \
    "in CUDA_ARCH" >&2
  exit 1
fi
