#!/usr/bin/env bash
# Tries what Caffe reads, solver states and models of both formats and prototxt,
# on inputs that libFuzzer makes: the fuzzers of tests/fuzzers, or those named as
# arguments, FUZZ_MINUTES (1) side by side. With --replay, only on those that are
# kept there. With --plain, by the Caffe that `make caffe` has built: nothing is
# compiled but the fuzzers, in half a minute; no sanitizer looks on, what an input
# has reached does not guide the next, and random numbers start alike in each run.
# Ends with status 1 if one has found a fault; its input is in
# build/fuzz/NAME/faults, with --plain in build/fuzz-plain/NAME/faults.
set -euo pipefail
unset CDPATH
cd "$(dirname "$0")/../.."
root=$PWD
replay=no
sanitize=(--sanitize)
caffe=build/caffe-sanitize/build
work=build/fuzz
flags=""
seed=()
while [[ ${1:-} = --* ]]; do
  case $1 in
    --replay) replay=yes ;;
    --plain)
      sanitize=()
      caffe=build/caffe/build
      work=build/fuzz-plain
      # libFuzzer ends where nothing seems to be reached.
      flags="-fsanitize=fuzzer-no-link "
      seed=(-seed=1) ;;
    *)
      echo "fuzz: unknown argument $1; legal: --plain --replay" >&2
      exit 1 ;;
  esac
  shift
done
fuzzers=("$@")
[ $# -gt 0 ] || fuzzers=(fuzz_binary_state fuzz_hdf5_state fuzz_binary_model
  fuzz_hdf5_model fuzz_net)
memory_is_lost=100  # status of tests/fuzzers/refusal.cpp

scripts/setup/install_dependencies.sh clang libclang-rt-dev
scripts/setup/build_caffe.sh "${sanitize[@]}"
flags+=$(sed -n 's/^CMAKE_CXX_FLAGS:STRING=//p' $caffe/CMakeCache.txt)
mkdir -p $work
build_fuzzers() {
  cmake -S tests/fuzzers -B $work/bin "-DCAFFE_BUILD=$root/$caffe" \
    -DCMAKE_CXX_COMPILER=clang++ -DCMAKE_CXX_COMPILER_LAUNCHER=ccache \
    "-DCMAKE_CXX_FLAGS=$flags -O1 -gline-tables-only" &&
    make -C $work/bin -j "$(nproc)" --no-print-directory
}
if ! build_fuzzers >$work/build.log 2>&1; then
  cat $work/build.log >&2
  exit 1
fi

# Memory that is too much to ask for is refused, as by a small machine. What an
# input leaves behind that a CHECK refused is not a leak of Caffe's.
export ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1
ASAN_OPTIONS+=:max_allocation_size_mb=256
export UBSAN_OPTIONS=print_stacktrace=1
export OMP_NUM_THREADS=1

# Runs it once. A sanitizer may be silent, and so may be whatever ends a process
# with status 0: only libFuzzer's own last words say that it came to its end.
run_fuzzer() {  # NAME LIBFUZZER_OPTION...
  local status=0 name=$1
  shift
  # Caffe's log is shut out, a sanitizer's report is not.
  (cd "$work/$name" && "../bin/$name" -timeout=60 -rss_limit_mb=0 \
    -close_fd_mask=3 -artifact_prefix=faults/ -max_len=100000 "$@" \
    >log 2>&1) || status=$?
  case $status in
    0)
      grep -q '^Done [0-9]* runs in ' "$work/$name/log" && return
      echo "fuzz: $name ended by itself, with status 0, before its time was" \
        "over; its log is $work/$name/log" >&2 ;;
    "$memory_is_lost")
      echo "fuzz: $name has lost 2 GiB to refused inputs; a new one goes on"
      return ;;
    *)
      tail -n 60 "$work/$name/log"
      echo "fuzz: $name has found a fault, status $status; its input is in" \
        "$work/$name/faults" >&2 ;;
  esac
  return 1
}

try() {  # NAME
  local end name=$1 folders=(seeds)
  mkdir -p "$work/$name/"{corpus,seeds,faults}
  rm -f "$work/$name/counts"
  [ ! -d "tests/fuzzers/inputs/$name" ] ||
    folders+=("$root/tests/fuzzers/inputs/$name")
  if [ $replay = yes ]; then
    run_fuzzer "$name" -runs=0 "${folders[@]}" || return
  else
    end=$((SECONDS + $(awk "BEGIN { print int(60 * ${FUZZ_MINUTES:-1}) }")))
    while [ $SECONDS -lt $end ]; do
      run_fuzzer "$name" "-max_total_time=$((end - SECONDS))" \
        "${seed[@]}" corpus "${folders[@]}" || return
    done
  fi
  awk -v name="$name" '{ all += $1; refused += $2 }
    END { printf "fuzz: %s tried %d inputs; %d were refused, no fault\n",
      name, all, refused }' "$work/$name/counts"
}

# Ctrl-C does not reach what runs in the background.
trap 'trap - TERM; kill 0' INT TERM
running=()
for name in "${fuzzers[@]}"; do
  try "$name" &
  running+=($!)
done
status=0
for process in "${running[@]}"; do
  wait "$process" || status=1
done
exit $status
