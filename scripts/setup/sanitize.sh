#!/usr/bin/env bash
# Runs all C++ tests that need no GPU, Caffe's and ours, under AddressSanitizer,
# with leaks, and UndefinedBehaviorSanitizer; then the fuzzers' kept inputs. With
# --threads, runs the tests of what several threads do, with four, under
# ThreadSanitizer instead. Tests run in parts, several at a time; after an
# interruption those that have passed do not run again. Ends with status 1 where
# something is reported, or a test failed.
set -euo pipefail
unset CDPATH
cd "$(dirname "$0")/../.."
root=$PWD

parts=24

run_part() {  # TREE PART
  local log=$PWD/$1/tests/$2.log
  if [ "$log.passed" -nt "$1/build/test/test.testbin" ]; then
    return
  fi
  (cd "$1" && GTEST_SHARD_INDEX=$2 build/test/test.testbin \
    --gtest_filter='-*GPU*' >"$log" 2>&1) || {
    grep -E "^(==|SUMMARY)|runtime error:|^\[  FAILED" "$log" | head -n 40 >&2 ||
      :
    echo "sanitize: a report, or a test that failed; all is in $log" >&2
    return 1
  }
  mv "$log" "$log.passed"
  echo "sanitize: part $(($2 + 1)) of $GTEST_TOTAL_SHARDS passed"
}

run_tests() {  # of the folder TREE
  mkdir -p "$1/tests"
  export -f run_part
  export GTEST_TOTAL_SHARDS=$parts
  # shellcheck disable=SC2016
  seq 0 $((parts - 1)) | xargs -P "$(nproc)" -I{} bash -c 'run_part "$@"' - \
    "$1" {} || exit 1
  awk '/^\[  PASSED  \]/ { all += $4 }
    END { print "sanitize: " all " tests, no report" }' "$1"/tests/*.passed
}

# ThreadSanitizer learns from Archer, a tool of LLVM's OpenMP, what threads wait
# for. Without it, it would report barriers as races.
check_tool() {
  local race=build/caffe-sanitize-threads/race
  clang++ -O1 -fsanitize=thread -fopenmp=libomp tests/setup/race.cpp -o $race
  if ! $race >$race.log 2>&1 || $race with >>$race.log 2>&1; then
    cat $race.log >&2
    echo "sanitize: ThreadSanitizer does not tell a race from a barrier" >&2
    exit 1
  fi
}

if [ "${1:-}" = --threads ]; then
  scripts/setup/install_dependencies.sh clang libclang-rt-dev libomp-dev
  scripts/setup/build_caffe.sh --sanitize-threads --tests
  # OpenBLAS and other libraries are not compiled for it.
  export TSAN_OPTIONS=ignore_noninstrumented_modules=1
  TSAN_OPTIONS+=:suppressions=$root/scripts/setup/races.txt
  # Threads that spin would take the cores of those that work.
  export OMP_NUM_THREADS=4 OMP_WAIT_POLICY=passive OPENBLAS_NUM_THREADS=1
  # Nothing else finds it where a program names folders of libraries.
  llvm=$(dirname "$(dirname "$(readlink -f "$(command -v clang++)")")")
  export OMP_TOOL_LIBRARIES=$llvm/lib/libarcher.so
  check_tool
  run_tests build/caffe-sanitize-threads
  exit
fi

scripts/setup/install_dependencies.sh clang libclang-rt-dev
scripts/setup/build_caffe.sh --sanitize --tests
export ASAN_OPTIONS=allocator_may_return_null=1
export LSAN_OPTIONS=suppressions=$root/scripts/setup/leaks.txt
export UBSAN_OPTIONS=print_stacktrace=1
run_tests build/caffe-sanitize
scripts/setup/fuzz.sh --replay
