#!/usr/bin/env bash
# Builds the Dockerfile on a Debian base made here and runs the image, where
# there is no Docker engine: buildah builds, podman with runc runs. CPU build;
# needs root and the packages named below. Keeps what it makes in
# build/docker_test, so that a second run builds only what changed.
set -euo pipefail
cd "$(dirname "$0")/../.."
folder=$PWD/build/docker_test
sources=/etc/apt/sources.list.d/debian.sources
base=localhost/debian:bookworm
image=localhost/approx-dropout
storage=(--root "$folder/storage" --runroot "$folder/run"
  --storage-driver overlay)

fail() {
  echo "docker_test: FAILED: $*" >&2
  exit 1
}

for program in buildah podman runc debootstrap; do
  command -v $program >/dev/null || fail "no $program; install buildah," \
    "podman, runc and debootstrap"
done
[ "$(id -u)" -eq 0 ] || fail "needs root"
mkdir -p "$folder"
cat >"$folder/containers.conf" <<'END'
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
END
export CONTAINERS_CONF=$folder/containers.conf

# What an interrupted build has mounted would keep `make clean` from its work.
clean_up() {
  buildah "${storage[@]}" rm --all >/dev/null || :
  umount "$folder/storage/overlay" 2>/dev/null || :
}
trap clean_up EXIT

make_base() {
  local mirror container
  mirror=$(awk '/^URIs:/ {print $2; exit}' $sources)
  debootstrap --variant=minbase bookworm "$folder/rootfs" "$mirror"
  # The mirror's address is no part of an image.
  : >"$folder/rootfs/etc/apt/sources.list"
  rm -f "$folder"/rootfs/var/cache/apt/archives/*.deb
  container=$(buildah "${storage[@]}" from scratch)
  buildah "${storage[@]}" add "$container" "$folder/rootfs" /
  buildah "${storage[@]}" config --cmd bash --env \
    PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    "$container"
  buildah "${storage[@]}" commit --rm "$container" $base
  rm -rf "$folder/rootfs"
}

# The compiler cache lies in a folder that every image has, so that it leaves
# no trace.
build() {
  local cache
  cache=$(ccache --get-config cache_dir 2>/dev/null) || cache=$folder/ccache
  mkdir -p "$cache"
  buildah "${storage[@]}" build --isolation chroot --layers --format docker \
    --build-arg BASE_IMAGE=$base --build-arg RUNTIME_IMAGE=$base \
    -v $sources:$sources:ro --build-arg CCACHE_DIR=/mnt \
    -v "$cache:/mnt" -t $image .
}

# Runs the image without a network; arguments as for docker run.
run() {
  podman "${storage[@]}" run --rm --network none "$@"
}

check_image() {
  local used leftovers
  used=$(run $image)
  grep -q "docker run" <<<"$used" || fail "no usage without a command: $used"
  [ "$(run $image id -u)" = 10001 ] || fail "runs as $(run $image id -un)"
  # No C++ compiler in this list: Debian's SciPy asks for g++.
  for program in cmake make nvcc git ccache; do
    run $image sh -c "! command -v $program" || fail "holds $program"
  done
  # As root, who sees every folder.
  leftovers=$(run --user 0 $image sh -c 'cd /
    find tmp root/.cache var/lib/apt/lists -mindepth 1 2>/dev/null
    find opt var/cache/apt -name "*.[oah]" -o -name "*.[ch]pp" \
      -o -name "*.cu*" -o -name CMake\* -o -name "*.ipynb" -o -name .git \
      -o -name packages -o -name "*.deb"')
  [ -z "$leftovers" ] || fail "holds leftovers of the build: $leftovers"
  # Another flavour's threads compete with those of Caffe's loops.
  run $image sh -c 'ldd build/caffe/build/tools/caffe |
    grep -o "/.*openblas[^ ]*" | xargs readlink -f' | grep openblas-openmp ||
    fail "runs with another OpenBLAS than the build"
  run $image sh -c '! grep -rqs "^URIs\|^deb" /etc/apt' ||
    fail "names a mirror"
}

check_training() {
  local inside=/opt/approx-dropout runs="$folder/runs" data="$folder/data"
  local solver=prototxt/mnist/solver_row_0.5.prototxt
  rm -rf "$runs" "$data"
  mkdir -p "$runs" "$data"
  chown -R 10001:10001 "$runs" "$data"
  sed 's/^\(max_iter\|test_interval\|snapshot\): .*/\1: 60/' $solver \
    >"$folder/solver.prototxt"
  run -v "$data:$inside/build/data" \
    ${DATA_DIR:+-v "$DATA_DIR:/data:ro" -e DATA_DIR=/data} \
    $image python3 scripts/prepare_mnist.py || fail "scripts/prepare_mnist.py"
  run -v "$folder/solver.prototxt:$inside/$solver:ro" \
    -v "$data:$inside/build/data:ro" -v "$runs:$inside/runs" $image \
    caffe train --solver=$solver >"$folder/train.log" 2>&1 ||
    fail "caffe train: $(tail -5 "$folder/train.log")"
  grep "Test net output #0: accuracy" "$folder/train.log" ||
    fail "no accuracy in $folder/train.log"
  [ -f "$runs/mnist/row_0.5_iter_60.caffemodel" ] ||
    fail "no model in the volume of the results"
  run $image python3 scripts/train.py mnist/tile_0.5 --max-iter 20 ||
    fail "scripts/train.py"
}

# Where nvidia-smi finds a GPU, the image asks Caffe for it. The CPU build,
# taken for a CUDA build here, refuses, which shows that it was asked.
check_gpu_asked() {
  local said
  mkdir -p "$folder/empty"
  said=$(run -v /bin/true:/usr/bin/nvidia-smi:ro \
    -v "$folder/empty:/opt/approx-dropout/build/caffe-cuda:ro" $image \
    caffe train --solver=prototxt/mnist/solver_row_0.5.prototxt 2>&1) || :
  grep -q "Cannot use GPU" <<<"$said" ||
    fail "caffe with a GPU at hand: $(tail -3 <<<"$said")"
}

check_tests() {
  local inside=/opt/approx-dropout
  run -v "$PWD/tests:$inside/tests:ro" \
    -v "$PWD/pyproject.toml:$inside/pyproject.toml:ro" $image \
    python3 -m pytest -q -p no:cacheprovider tests/package \
    tests/training/test_{training,resume}.py ||
    fail "tests in the image"
}

buildah "${storage[@]}" inspect $base >/dev/null 2>&1 || make_base
if command -v hadolint >/dev/null; then
  hadolint Dockerfile || fail "hadolint"
else
  echo "docker_test: no hadolint here; the Dockerfile is not linted" >&2
fi
build
check_image
check_training
check_gpu_asked
check_tests
podman "${storage[@]}" images --format '{{.Repository}} {{.Size}}'
echo "docker_test: passed"
