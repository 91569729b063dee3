#!/bin/sh
# Runs the bundle's program of this file's name (caffe, step_times or
# test.testbin; with -stock behind it, that of Caffe without our changes) with
# CUDA's libraries, which the bundle does not hold. They are looked for where
# the system looks, in CUDA_HOME, in /usr/local/cuda*, and in the nvidia
# packages of python3 (set PYTHON for another).
root=$(dirname "$(readlink -f "$0")")/..
name=${0##*/}
case $name in
  *-stock) program=$root/stock/bin/${name%-stock} ;;
  *) program=$root/caffe/bin/$name ;;
esac

known=$(/sbin/ldconfig -p 2>/dev/null || ldconfig -p 2>/dev/null)

# The folder that holds library $1, or "system" if the loader knows it.
folder_of() {
  IFS=:
  for folder in $LD_LIBRARY_PATH; do
    if [ -e "$folder/$1" ]; then unset IFS; echo system; return; fi
  done
  unset IFS
  case $known in
    *"$1 (libc6,x86-64"*) echo system; return ;;
  esac
  for folder in "${CUDA_HOME:-/usr/local/cuda}"/lib64 \
      "${CUDA_HOME:-/usr/local/cuda}"/lib /usr/local/cuda*/lib64 \
      ${CONDA_PREFIX:+"$CONDA_PREFIX/lib"}; do
    if [ -e "$folder/$1" ]; then echo "$folder"; return; fi
  done
  "${PYTHON:-python3}" - "$1" 2>/dev/null <<'END'
import glob, sys
for path in sys.path:
    for found in glob.glob(f"{path}/nvidia/*/lib/{sys.argv[1]}"):
        print(found.rpartition("/")[0])
        sys.exit()
END
}

while read -r library; do
  folder=$(folder_of "$library")
  case $folder in
    "")
      echo "$name: CUDA's $library is not on this machine: not where the" \
        "system looks, in CUDA_HOME (${CUDA_HOME:-unset})," \
        "/usr/local/cuda*, nor in the nvidia packages of" \
        "${PYTHON:-python3}" >&2
      exit 1 ;;
    system) ;;
    *)
      case :$LD_LIBRARY_PATH: in
        *:"$folder":*) ;;
        *)
          LD_LIBRARY_PATH=${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$folder
          export LD_LIBRARY_PATH ;;
      esac ;;
  esac
done <"$root/lib/cuda_libraries"

# Threads that wait must not take the cores of those that work for long.
if [ -z "${OMP_WAIT_POLICY:-}" ]; then
  export OMP_WAIT_POLICY=passive GOMP_SPINCOUNT="${GOMP_SPINCOUNT:-2000}"
fi
exec "$program" "$@"
