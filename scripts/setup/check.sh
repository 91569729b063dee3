#!/usr/bin/env bash
# Checks that take seconds and need no Caffe: ruff, shellcheck and, of lines that
# are not committed yet, clang-format, where they are installed, the list of
# patches, prototxt/, and the documents' tables. All are made; the exit status is
# 1 if one fails.
set -uo pipefail
unset CDPATH
cd "$(dirname "$0")/../.." || exit
status=0

if command -v ruff >/dev/null; then
  ruff check --quiet scripts python_layers tests || status=1
else
  echo "check: no ruff on PATH; Python is not linted" >&2
fi
if command -v shellcheck >/dev/null; then
  find .ci scripts tests -name '*.sh' -print0 | sort -z |
    xargs -0 shellcheck .ci/run scripts/setup/pre-commit || status=1
else
  echo "check: no shellcheck on PATH; shell scripts are not linted" >&2
fi
if ! git rev-parse --git-dir >/dev/null 2>&1; then
  echo "check: this is no git checkout; C++ is not looked at" >&2
elif command -v git-clang-format >/dev/null; then
  changed=$(git clang-format --diff --extensions cpp,hpp,cu,cuh HEAD 2>&1)
  case $changed in
    "" | "no modified files to format" | *"did not modify any files") ;;
    *)
      printf '%s\n' "$changed"
      status=1 ;;
  esac
else
  echo "check: no git-clang-format on PATH; C++ is not looked at" >&2
fi
/usr/bin/python3 scripts/setup/patch_caffe.py --check-series || status=1
/usr/bin/python3 scripts/make_prototxt.py --check || status=1
/usr/bin/python3 scripts/report_figures.py --check || status=1
exit $status
