#!/usr/bin/env bash
# Installs, through apt, the packages that the build, the data, the training
# scripts and the tests need and that are missing, or those named as arguments.
# Says what it installs. Without apt, says what must be there. With --list, only
# prints the packages.
set -euo pipefail

packages=(
  # build
  ca-certificates ccache cmake g++ git make
  libboost-context-dev libboost-filesystem-dev libboost-python-dev
  libboost-system-dev
  libboost-thread-dev libgflags-dev libgoogle-glog-dev libhdf5-dev
  libleveldb-dev liblmdb-dev libopencv-core-dev libopencv-imgcodecs-dev
  libopencv-imgproc-dev libprotobuf-dev libsnappy-dev protobuf-compiler
  python3-dev
  # The OpenMP flavour shares its threads with Caffe's loops; those of the
  # pthread flavour would compete with them for the cores.
  libopenblas-openmp-dev
  # data, training, reports and tests
  python3-h5py python3-hypothesis python3-jinja2 python3-lmdb
  python3-matplotlib python3-numpy python3-pil python3-protobuf python3-pytest
  python3-pytest-timeout python3-scipy python3-skimage python3-sklearn
  python3-tqdm
  # make check
  shellcheck
)

if [ "$*" = --list ]; then
  printf '%s\n' "${packages[@]}"
  exit 0
fi
[ $# -eq 0 ] || packages=("$@")

if ! command -v apt-get >/dev/null; then
  echo "install_dependencies: no apt-get on this system; what corresponds to" \
    "these Debian packages must be installed: ${packages[*]}" >&2
  exit 0
fi

missing=()
for package in "${packages[@]}"; do
  status=$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null || :)
  [ "$status" = installed ] || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  if ! command -v sudo >/dev/null; then
    echo "install_dependencies: needs root or sudo to install:" \
      "${missing[*]}" >&2
    exit 1
  fi
  as_root=(sudo)
fi
echo "install_dependencies: installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" apt-get install -y -qq --no-install-recommends \
  "${missing[@]}" >/dev/null
