#!/usr/bin/env bash
# Runs all C++ tests that need no GPU, Caffe's and ours, under AddressSanitizer,
# with leaks, and UndefinedBehaviorSanitizer; then the fuzzers' kept inputs.
# Compiling takes most of the time, half an hour on two cores. With --threads,
# runs the tests of what several threads do, with four, under ThreadSanitizer
# instead. Ends with status 1 where something is reported, or a test failed.
set -euo pipefail
cd "$(dirname "$0")/../.."
root=$PWD

run_tests() {  # of the folder TREE
  local log=$root/$1/tests.log
  (cd "$1" && build/test/test.testbin --gtest_filter='-*GPU*' >"$log" 2>&1) || {
    grep -E "^(==|SUMMARY)|runtime error:|^\[  FAILED" "$log" | head -n 40 >&2 ||
      :
    echo "sanitize: a report, or a test that failed; all is in $log" >&2
    exit 1
  }
  sed -n 's/^\[  PASSED  \] \([0-9]*\) tests.*/sanitize: \1 tests, no report/p' \
    "$log"
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
