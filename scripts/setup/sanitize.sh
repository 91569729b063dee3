#!/usr/bin/env bash
# Runs all C++ tests that need no GPU, Caffe's and ours, under AddressSanitizer,
# with leaks, and UndefinedBehaviorSanitizer; then the fuzzers' kept inputs.
# Compiling takes most of the time, half an hour on two cores. Ends with status 1
# where something is reported, or a test failed.
set -euo pipefail
cd "$(dirname "$0")/../.."
root=$PWD
log=$root/build/caffe-sanitize/tests.log

scripts/setup/install_dependencies.sh clang libclang-rt-dev
scripts/setup/build_caffe.sh --sanitize --tests

export ASAN_OPTIONS=allocator_may_return_null=1
export LSAN_OPTIONS=suppressions=$root/scripts/setup/leaks.txt
export UBSAN_OPTIONS=print_stacktrace=1
(cd build/caffe-sanitize &&
  build/test/test.testbin --gtest_filter='-*GPU*' >"$log" 2>&1) || {
  grep -E "^(==|SUMMARY)|runtime error:|^\[  FAILED" "$log" | head -n 40 >&2 || :
  echo "sanitize: a report, or a test that failed; all is in $log" >&2
  exit 1
}
sed -n 's/^\[  PASSED  \] \([0-9]*\) tests.*/sanitize: \1 tests, no report/p' \
  "$log"
scripts/setup/fuzz.sh --replay
