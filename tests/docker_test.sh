#!/usr/bin/env bash
# Builds the Dockerfile on a Debian base made here and runs the image, where
# there is no Docker engine: buildah builds, podman with runc runs. CPU build;
# needs root and the packages named below. Keeps what it makes in
# build/docker_test, so that a second run builds only what changed.
set -euo pipefail
cd "$(dirname "$0")/.."
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

build() {
  local cache
  cache=$(ccache --get-config cache_dir 2>/dev/null) || cache=$folder/ccache
  mkdir -p "$cache"
  buildah "${storage[@]}" build --isolation chroot --layers --format docker \
    --build-arg BASE_IMAGE=$base --build-arg RUNTIME_IMAGE=$base \
    -v $sources:$sources:ro -v "$cache:/root/.cache/ccache" -t $image .
}

# Runs the image without a network; arguments as for docker run.
run() {
  podman "${storage[@]}" run --rm --network none "$@"
}

check_image() {
  local used
  used=$(run $image)
  grep -q "docker run" <<<"$used" || fail "no usage without a command: $used"
  [ "$(run $image id -u)" = 10001 ] || fail "runs as $(run $image id -un)"
  # Debian's matplotlib asks for SciPy and that for g++.
  for program in cmake make nvcc git ccache; do
    ! run $image sh -c "command -v $program" || fail "holds $program"
  done
  [ -z "$(run $image sh -c 'ls -A /tmp /var/lib/apt/lists |
    grep -v :; find / -xdev -name "*.o" -o -xdev -name "*.a" \
    2>/dev/null')" ] || fail "holds leftovers of the build"
  ! run $image grep -rqs "^URIs\|^deb" /etc/apt || fail "names a mirror"
}

check_training() {
  local runs="$folder/runs" solver=prototxt/mnist/solver_row_0.5.prototxt
  rm -rf "$runs"
  mkdir -p "$runs/mnist"
  sed 's/^\(max_iter\|test_interval\|snapshot\): .*/\1: 60/' $solver \
    >"$runs/solver.prototxt"
  chown -R 10001:10001 "$runs"
  run -v "$runs:/opt/approx-dropout/runs" $image \
    caffe train --solver=runs/solver.prototxt >"$folder/train.log" 2>&1 ||
    fail "caffe train: $(tail -5 "$folder/train.log")"
  grep "Test net output #0: accuracy" "$folder/train.log" ||
    fail "no accuracy in $folder/train.log"
  [ -f "$runs/mnist/row_0.5_iter_60.caffemodel" ] ||
    fail "no model in the volume of the results"
  run $image python3 scripts/train.py mnist/tile_0.5 --max-iter 20 ||
    fail "scripts/train.py"
}

check_tests() {
  run -v "$PWD/tests:/opt/approx-dropout/tests:ro" $image python3 -m pytest \
    -q -p no:cacheprovider tests/test_search.py tests/test_layers.py \
    tests/test_draws_agree.py tests/test_cli.py || fail "tests in the image"
}

buildah "${storage[@]}" inspect $base >/dev/null 2>&1 || make_base
build
check_image
check_training
check_tests
podman "${storage[@]}" images --format '{{.Repository}} {{.Size}}'
echo "docker_test: passed"
