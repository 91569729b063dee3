#!/usr/bin/env bash
# Runs all C++ tests that need no GPU, Caffe's and ours, under AddressSanitizer
# and UndefinedBehaviorSanitizer, then the fuzzers' kept inputs, then our tests
# under ThreadSanitizer, with four threads. Arguments choose: address, threads.
# An hour or more, of which compiling takes most. Ends with status 1 at the
# first report.
set -euo pipefail
cd "$(dirname "$0")/../.."
root=$PWD

scripts/setup/install_dependencies.sh clang libclang-rt-dev libomp-dev

run_tests() {  # NAME GTEST_FILTER
  local tests log
  log=$root/build/caffe-$1/tests.log
  (cd "build/caffe-$1" &&
    build/test/test.testbin "--gtest_filter=$2" >"$log" 2>&1) || {
    grep -E "^(==|SUMMARY|.*runtime error|WARNING: Thread|\[  FAILED)" "$log" |
      head -n 40 >&2 || tail -n 40 "$log" >&2
    echo "sanitize: $1: a report or a test that failed; all is in $log" >&2
    exit 1
  }
  tests=$(sed -n 's/^\[  PASSED  \] \([0-9]*\) tests.*/\1/p' "$log")
  echo "sanitize: $1: $tests tests passed, no report"
}

address() {
  scripts/setup/build_caffe.sh --sanitize=address --tests
  export ASAN_OPTIONS=allocator_may_return_null=1
  export LSAN_OPTIONS=suppressions=$root/scripts/setup/leaks.txt
  export UBSAN_OPTIONS=print_stacktrace=1
  run_tests address '-*GPU*'
  scripts/setup/fuzz.sh --replay
}

threads() {
  local archer filter
  scripts/setup/build_caffe.sh --sanitize=threads --tests
  # It tells ThreadSanitizer what OpenMP's barriers order.
  archer=$(dirname "$(realpath "$(command -v clang)")")/../lib/libarcher.so
  export OMP_TOOL_LIBRARIES=$archer OMP_NUM_THREADS=4 OPENBLAS_NUM_THREADS=1
  export TSAN_OPTIONS=ignore_noninstrumented_modules=1
  filter=$(PYTHONPATH=scripts /usr/bin/python3 -c "
from pathlib import Path
from gpu.cxx_tests import suites_of
tests = Path('caffe_patches/overlay/src/caffe/test')
print(':'.join(f'{suite}.*:{suite}/*' for suite in suites_of(tests)))")
  run_tests threads "$filter:-*GPU*:*Death*"
}

for part in "${@:-address threads}"; do
  for name in $part; do "$name"; done
done
