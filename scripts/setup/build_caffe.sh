#!/usr/bin/env bash
# Builds the patched Caffe of build/caffe: the library, Caffe's tools, pycaffe
# and, with --tests, the test program. What the system lacks of OpenCV, LevelDB
# and NCCL is left out and said. With --cuda, into build/caffe-cuda, with cuBLAS
# and cuRAND (needs nvcc), and with cuDNN 8 or 9 too if CUDNN=1. CUDA_ARCH lists
# the GPU architectures, "80 90" say; PTX of the last one is added. CUDAHOSTCXX
# names nvcc's host compiler, where its own choice does not do. With --bundle,
# into build/caffe-bundle, the same able to move elsewhere, without Python,
# OpenCV, LevelDB and NCCL (scripts/gpu/make_bundle.sh). With --stock, Caffe without
# our changes into build/caffe-stock or build/caffe-stock-bundle, to compare
# with. With --sanitize, by clang and without Python into build/caffe-sanitize,
# under AddressSanitizer and UndefinedBehaviorSanitizer and with what libFuzzer
# counts (scripts/setup/sanitize.sh). With --sanitize-threads, into
# build/caffe-sanitize-threads, under ThreadSanitizer and with LLVM's OpenMP, of
# the tests only those of what runs on several threads. With --emulate, into
# build/caffe-emulate, in GPU mode without nvcc: on the emulated device of
# tests/cuda_emulator, with the tests that run there; after --stock without
# them, into build/caffe-stock-emulate. With --emulate-sanitize the same into
# build/caffe-emulate-sanitize, what is not kernels under both sanitizers. With
# MPI=1 several processes can train one net, of this build from then on.
set -euo pipefail
unset CDPATH
cd "$(dirname "$0")/../.."
root=$PWD
mkdir -p build
exec 8<build  # two builds would write the same files
if ! flock --nonblock 8; then
  echo "build_caffe: another build is at work here; this one waits for it" >&2
  flock 8
fi
tools=(caffe)
targets=(caffe.bin step_times)
tests=()
libraries=ON  # OpenCV and LevelDB
nccl=OFF
variant=""
flavour=""
patch_options=()
python=ON
toolkit_build=""
flags=""
sanitizers="-fno-omit-frame-pointer -fsanitize=address,undefined\
 -fno-sanitize-recover=undefined"
options=(-DCPU_ONLY=ON)
# Our parallel loops, and the threads that read data ahead.
threaded_tests=(approx_dropout_convolution_layer approx_dropout_layer
  approx_dropout_inner_product_layer approx_dropout_lstm_layer gather_scatter
  grouped_product lazy_parameter packed_gemm panels sgd_updater tile_product
  vector_math_layers
  data_layer data_layer_state image_data_layer internal_thread run_state)

use_cuda() {
  local nvcc known arch toolkit
  nvcc=$(command -v nvcc || echo "${CUDA_HOME:-/usr/local/cuda}/bin/nvcc")
  if [ ! -x "$nvcc" ]; then
    echo "build_caffe: a CUDA build needs the CUDA toolkit; no nvcc on PATH" \
      "nor in ${CUDA_HOME:-/usr/local/cuda}/bin" >&2
    exit 1
  fi
  # FindCUDA would give nvcc the compiler of everything else, which may be too
  # new for it; nvcc itself, or its distribution, may know one that is not.
  if ! "$nvcc" ${CUDAHOSTCXX:+-ccbin "$CUDAHOSTCXX"} -x cu -E /dev/null \
      >/dev/null; then
    echo "build_caffe: $nvcc refuses its host compiler. Set CUDAHOSTCXX to" \
      "one that it takes: g++-11 for CUDA 11.8, say" >&2
    exit 1
  fi
  known=$("$nvcc" --list-gpu-arch | tr -dc '0-9\n' | sort -n)
  arch=${CUDA_ARCH:-$(for a in 80 86 89 90 100; do
    echo "$known" | grep -x $a || :; done | xargs)}
  toolkit=$(dirname "$(dirname "$nvcc")")
  toolkit_build="$toolkit $("$nvcc" --version | tail -n 1)"
  # FindCUDA knows no compiler launcher. It would look for nvcc itself where
  # the toolkit's folder is not the one that it saw last.
  mkdir -p build/bin
  printf '#!/bin/sh\nexec ccache %s "$@"\n' "$nvcc" >build/bin/nvcc
  chmod +x build/bin/nvcc
  options=(-DCPU_ONLY=OFF -DUSE_CUDNN=OFF -DCUDA_ARCH_NAME=Manual
    "-DCMAKE_INCLUDE_PATH=$toolkit/include"
    "-DCMAKE_LIBRARY_PATH=$toolkit/lib64"
    "-DCUDA_ARCH_BIN=$arch" "-DCUDA_ARCH_PTX=${arch##* }"
    "-DCUDA_TOOLKIT_ROOT_DIR=$toolkit"
    "-DCUDA_TOOLKIT_ROOT_DIR_INTERNAL=$toolkit"
    "-DCUDA_NVCC_EXECUTABLE=$root/build/bin/nvcc"
    "-DCUDA_HOST_COMPILER:STRING=${CUDAHOSTCXX:-}")
  [ "${CUDNN:-0}" = 0 ] || options+=(-DUSE_CUDNN=ON)
}

use_clang() {
  python=OFF
  flags="-fno-omit-frame-pointer"
  # Without NDEBUG: DCHECK is on.
  options+=(-DCMAKE_C_COMPILER=clang -DCMAKE_CXX_COMPILER=clang++
    "-DCMAKE_CXX_FLAGS_RELEASE=-O1 -gline-tables-only")
}

configure() {
  # CMake looks for new files only when it is run, so it always is (a second).
  if ! cmake -S "$tree" -B "$tree/build" "${options[@]}" \
      >"$tree/cmake.log" 2>&1; then
    cat "$tree/cmake.log" >&2
    exit 1
  fi
  sed -n 's/^-- This build lacks/build_caffe: this build lacks/p' \
    "$tree/cmake.log"
  if [[ " ${options[*]} " = *" -DUSE_CUDNN=ON "* ]] &&
     ! grep -q "Found cuDNN" "$tree/cmake.log"; then
    echo "build_caffe: CUDNN=1, but there is no cudnn.h or libcudnn.so;" \
      "CUDNN_ROOT names the folder that cuDNN lies in" >&2
    exit 1
  fi
}

# Shows how far make is that writes to this function, target by target: a line
# that changes, or a line every ten per cent where no terminal is.
show_progress() {
  local line percent before=0 target=caffe shown=no
  while IFS= read -r line; do
    [[ $line =~ ^\[\ *([0-9]+)%\]\ Building.*/([^/]+)\.dir/ ]] || continue
    percent=${BASH_REMATCH[1]}
    # Kernels belong to the target whose other sources are being compiled.
    [[ ${BASH_REMATCH[2]} = cuda_compile* ]] || target=${BASH_REMATCH[2]}
    if [ -t 1 ]; then
      printf '\rbuild_caffe: %s %d %%\e[K' "$target" "$percent"
      shown=yes
    elif [ $((percent / 10)) -gt $((before / 10)) ] &&
        [ "$percent" -lt 100 ]; then
      echo "build_caffe: $target $percent %"
    fi
    before=$percent
  done
  [ $shown = no ] || echo
}

compile() {
  local status=0 errors
  make -C "$tree/build" -j "$(nproc)" --no-print-directory "${targets[@]}" \
    2>&1 | tee "$tree/build.log" | show_progress || status=$?
  [ $status -ne 0 ] || return 0
  errors='error:|undefined reference|cannot find -l|No space left'
  grep -E "$errors|Error [0-9]+\$" "$tree/build.log" | head -n 40 >&2 || :
  echo "build_caffe: the build failed; all that it said is in" \
    "$tree/build.log" >&2
  exit $status
}

# For sh: printf %q may write $'...', which dash does not know.
quoted_root="'${root//\'/\'\\\'\'}'"

# Writes build/bin/$2, which runs the program $1 of the tree.
write_wrapper() {
  local wrapper=build/bin/$2
  cat >"$wrapper.part" <<EOF
#!/bin/sh
# Runs a program of the patched Caffe, with its Python layers, from any folder.
root=$quoted_root
# The interpreter inside Caffe finds its library through PATH.
PATH=/usr/bin:\$PATH
PYTHONPATH=\$root/python_layers:\$root/$tree/python\${PYTHONPATH:+:\$PYTHONPATH}
# Threads that wait spin about as long as waking them takes. Longer, they would
# take the cores of those that work: where other programs run too, a step is
# then several times slower.
if [ -z "\$OMP_WAIT_POLICY" ]; then
  OMP_WAIT_POLICY=passive
  GOMP_SPINCOUNT=\${GOMP_SPINCOUNT:-2000}
  export OMP_WAIT_POLICY GOMP_SPINCOUNT
fi
export PATH PYTHONPATH
exec "\$root/$tree/build/tools/$1" "\$@"
EOF
  chmod +x "$wrapper.part"
  mv "$wrapper.part" "$wrapper"
}

use_emulator() {
  local emulator=$root/tests/cuda_emulator
  targets+=(emulator_faults emulator_counted)
  nccl=ON
  options=(-DCPU_ONLY=OFF -DUSE_CUDNN=OFF -DCUDA_ARCH_NAME=Manual
    "-DCMAKE_MODULE_PATH=$emulator/cmake" -DCMAKE_EXPORT_COMPILE_COMMANDS=ON
    "-DBUILD_only_tests=$("$emulator/test_files.sh" | paste -sd,)"
    # What is compiled runs for minutes at most.
    "-DCMAKE_CXX_FLAGS_RELEASE=-O1")
}

for argument in "$@"; do
  case $argument in
    --stock)
      variant=-stock
      patch_options=(--stock) ;;
    --tests) tests=(test.testbin) ;;
    --cuda)
      flavour=-cuda
      nccl=ON
      use_cuda ;;
    --sanitize)
      flavour=-sanitize
      use_clang
      flags="$sanitizers -fsanitize=fuzzer-no-link" ;;
    --sanitize-threads)
      flavour=-sanitize-threads
      use_clang
      flags+=" -fsanitize=thread"
      options+=("-DBUILD_only_tests=$(IFS=,; echo "${threaded_tests[*]}")") ;;
    --emulate | --emulate-sanitize)
      flavour=${argument#-}
      python=OFF
      libraries=OFF
      [ -n "$variant" ] || tests=(test.testbin)
      use_emulator
      [ "$argument" = --emulate ] || flags=$sanitizers ;;
    --bundle)
      flavour=-bundle
      python=OFF
      libraries=OFF
      use_cuda
      # An executable's libraries lie beside it, and theirs too.
      # shellcheck disable=SC2016
      rpath='$ORIGIN/../lib:$ORIGIN/../../lib'
      options+=(-DCMAKE_SKIP_RPATH=ON
        "-DCMAKE_EXE_LINKER_FLAGS=-Wl,--disable-new-dtags,-rpath,$rpath") ;;
    *)
      echo "build_caffe: unknown argument $argument; legal: --tests" \
        "--cuda --bundle --emulate --emulate-sanitize --stock --sanitize" \
        "--sanitize-threads" >&2
      exit 1 ;;
  esac
done
tree=build/caffe$variant$flavour
[ $python = OFF ] || targets+=(pycaffe)
if [ -z "$variant" ] && [ $python = ON ]; then
  tools+=(compute_image_mean convert_imageset extract_features
    upgrade_net_proto_binary upgrade_net_proto_text upgrade_solver_proto_text)
  targets+=("${tools[@]:1}")
fi
targets+=("${tests[@]}")

scripts/setup/get_caffe.sh
/usr/bin/python3 scripts/setup/patch_caffe.py "${patch_options[@]}" \
  --target "$tree"

# What FindCUDA found and nvcc compiled is of one toolkit.
if [ -n "$toolkit_build" ] &&
   ! grep -qsxF "$toolkit_build" "$tree/build/toolkit"; then
  rm -rf "$tree/build"
  mkdir "$tree/build"
  echo "$toolkit_build" >"$tree/build/toolkit"
fi

export CCACHE_BASEDIR=$root CCACHE_NOHASHDIR=1
[ "${MPI:-0}" = 0 ] || options+=(-DUSE_MPI=ON)
options+=(-DCMAKE_BUILD_TYPE=Release -DBLAS=Open -DUSE_OPENMP=ON
  "-DUSE_OPENCV=$libraries" "-DUSE_LEVELDB=$libraries"
  "-DUSE_NCCL=$nccl" -DUSE_LMDB=ON -DUSE_HDF5=ON
  "-DBUILD_python=$python" "-DBUILD_python_layer=$python" -DBUILD_docs=OFF
  -Dpython_version=3 -DPYTHON_EXECUTABLE=/usr/bin/python3
  # Caffe uses Boost as it was before these warnings of its headers.
  "-DCMAKE_CXX_FLAGS=-DBOOST_BIND_GLOBAL_PLACEHOLDERS\
 -DBOOST_ALLOW_DEPRECATED_HEADERS $flags ${CXXFLAGS:-}"
  -DCMAKE_C_COMPILER_LAUNCHER=ccache -DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
configure
compile

[ $python = ON ] || exit 0
# Caffe wants the folders that the solvers' snapshots go to.
mkdir -p build/bin runs/cifar10 runs/mnist runs/ptb
for tool in "${tools[@]}"; do
  write_wrapper "$tool" "$tool$variant$flavour"
done

[ "$tree" = build/caffe ] || exit 0
cat >build/bin/approx-dropout.part <<EOF
#!/bin/sh
root=$quoted_root
PYTHONPATH=\$root/python_layers:\$root/$tree/python\${PYTHONPATH:+:\$PYTHONPATH} \\
  exec /usr/bin/python3 -m approx_dropout "\$@"
EOF
chmod +x build/bin/approx-dropout.part
mv build/bin/approx-dropout.part build/bin/approx-dropout
