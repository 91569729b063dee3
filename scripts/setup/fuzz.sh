#!/usr/bin/env bash
# Tries what Caffe reads, solver states of both formats and prototxt, on inputs
# that libFuzzer makes: FUZZ_MINUTES (1) for each fuzzer of tests/fuzzers, or for
# those named as arguments. With --replay, only on those that are kept there.
# Ends with status 1 at the first fault; its input is in build/fuzz/NAME/faults.
set -euo pipefail
cd "$(dirname "$0")/../.."
root=$PWD
replay=no
if [ "${1:-}" = --replay ]; then
  replay=yes
  shift
fi
fuzzers=("$@")
[ $# -gt 0 ] || fuzzers=(fuzz_binary_state fuzz_hdf5_state fuzz_net)

scripts/setup/install_dependencies.sh clang libclang-rt-dev
scripts/setup/build_caffe.sh --sanitize
caffe=build/caffe-sanitize/build
flags=$(sed -n 's/^CMAKE_CXX_FLAGS:STRING=//p' $caffe/CMakeCache.txt)
cmake -S tests/fuzzers -B build/fuzz/bin "-DCAFFE_BUILD=$root/$caffe" \
  -DCMAKE_CXX_COMPILER=clang++ -DCMAKE_CXX_COMPILER_LAUNCHER=ccache \
  "-DCMAKE_CXX_FLAGS=$flags -O1 -gline-tables-only" >/dev/null
make -C build/fuzz/bin -j "$(nproc)" --no-print-directory \
  >build/fuzz/build.log 2>&1 || {
  cat build/fuzz/build.log >&2
  exit 1
}

# Memory that is too much to ask for is refused, as by a small machine. What an
# input leaves behind that a CHECK refused is not a leak of Caffe's.
export ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1
ASAN_OPTIONS+=:max_allocation_size_mb=256
export UBSAN_OPTIONS=print_stacktrace=1
export OMP_NUM_THREADS=1

run_fuzzer() {  # NAME LIBFUZZER_OPTION...
  local status=0 name=$1
  shift
  mkdir -p "build/fuzz/$name/"{corpus,seeds,faults}
  # Caffe's log is shut out, a sanitizer's report is not.
  (cd "build/fuzz/$name" && "../bin/$name" -timeout=60 -rss_limit_mb=0 \
    -close_fd_mask=3 -artifact_prefix=faults/ -max_len=100000 "$@" \
    >>log 2>&1) || status=$?
  [ $status -eq 0 ] || {
    tail -n 60 "build/fuzz/$name/log"
    echo "fuzz: $name has found a fault; its input is in" \
      "build/fuzz/$name/faults" >&2
    exit 1
  }
}

for name in "${fuzzers[@]}"; do
  rm -f "build/fuzz/$name/log" "build/fuzz/$name/counts"
  folders=(seeds)
  [ ! -d "tests/fuzzers/inputs/$name" ] ||
    folders+=("$root/tests/fuzzers/inputs/$name")
  if [ $replay = yes ]; then
    run_fuzzer "$name" -runs=0 "${folders[@]}"
  else
    end=$((SECONDS + $(awk "BEGIN { print int(60 * ${FUZZ_MINUTES:-1}) }")))
    while [ $SECONDS -lt $end ]; do
      # It ends early where refused inputs have left too much behind.
      run_fuzzer "$name" "-max_total_time=$((end - SECONDS))" corpus \
        "${folders[@]}"
    done
  fi
  awk -v name="$name" '{ all += $1; refused += $2 }
    END { printf "fuzz: %s tried %d inputs; %d were refused, no fault\n",
      name, all, refused }' "build/fuzz/$name/counts"
done
