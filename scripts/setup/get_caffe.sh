#!/usr/bin/env bash
# Gets Caffe's unchanged sources at the commit of caffe_patches/UPSTREAM into
# build/caffe.orig and checks them. In order: CAFFE_SRC (a checkout, a source
# tree or a .tar.gz), a git clone, Debian's source package through apt.
set -euo pipefail
unset CDPATH
cd "$(dirname "$0")/../.."
# shellcheck source=caffe_patches/UPSTREAM disable=SC1091
source caffe_patches/UPSTREAM
tree=build/caffe.orig
built=(CMakeLists.txt LICENSE cmake docs/CMakeLists.txt examples/CMakeLists.txt
  examples/cpp_classification include matlab/CMakeLists.txt python src tools)

# SHA-256 over path and content of the files that are built, below folder $1.
tree_digest() {
  (cd "$1" && find "${built[@]}" -type f -print0 | LC_ALL=C sort -z |
    xargs -0 sha256sum | sha256sum | cut -d' ' -f1)
}

verify() {  # folder, what it was made from
  local missing found
  missing=$(cd "$1" && for f in "${built[@]}"; do
    [ -e "$f" ] || echo "$f"
  done | xargs)
  if [ -n "$missing" ]; then
    echo "get_caffe: $2 is not Caffe's source tree: no $missing" >&2
    return 1
  fi
  found=$(tree_digest "$1")
  if [ "$found" != "$TREE_SHA256" ]; then
    echo "get_caffe: $2 is not Caffe at commit $COMMIT:" \
      "the digest of its files is $found, not $TREE_SHA256" >&2
    return 1
  fi
}

from_path() {  # checkout, tree or archive; target
  if git -C "$1" rev-parse --git-dir >/dev/null 2>&1 &&
     git -C "$1" cat-file -e "$COMMIT^{commit}" 2>/dev/null; then
    git -C "$1" archive "$COMMIT" | tar x -C "$2"
  elif [ -d "$1" ]; then
    (cd "$1" && tar c --exclude=.git --exclude='*.pyc' .) | tar x -C "$2"
  elif [ -f "$1" ]; then
    tar x -f "$1" -C "$2"
    # An archive may hold one folder with everything in it.
    local entries=("$2"/*)
    if [ ${#entries[@]} -eq 1 ] && [ -d "${entries[0]}" ]; then
      mv "${entries[0]}" "$2.inner" && rmdir "$2" && mv "$2.inner" "$2"
    fi
  else
    echo "get_caffe: CAFFE_SRC=$1 is neither a folder nor a file" >&2
    return 1
  fi
}

from_git() {  # target
  command -v git >/dev/null || return 1
  rm -rf build/caffe.git
  git init -q build/caffe.git
  # A host that does not answer is given up within seconds.
  GIT_TERMINAL_PROMPT=0 timeout 300 git -C build/caffe.git \
    -c http.lowSpeedLimit=1000 -c http.lowSpeedTime=10 \
    fetch -q --depth 1 "$REPOSITORY" "$COMMIT" || return 1
  git -C build/caffe.git archive FETCH_HEAD | tar x -C "$1"
}

# The mirror that the machine's own apt uses, and the key that it trusts.
apt_mirror() {
  local list=(/etc/apt/sources.list.d/*.sources)
  awk '/^URIs:/ {print $2; exit}' "${list[@]}" 2>/dev/null | grep . ||
    awk '$1 == "deb" {for (i = 2; i <= NF; i++)
      if ($i ~ /:\/\//) {print $i; exit}}' /etc/apt/sources.list
}

from_debian() {  # target
  command -v apt-get >/dev/null || return 1
  local apt=$PWD/build/apt mirror key
  mirror=$(apt_mirror)
  key=/usr/share/keyrings/debian-archive-keyring.gpg
  [ -n "$mirror" ] || return 1
  mkdir -p "$apt/lists/partial" build/downloads
  if [ ! -f "build/downloads/$ARCHIVE" ]; then
    echo "deb-src [signed-by=$key] $mirror $DEBIAN_SUITE main" >"$apt/list"
    local options=(-qq -o "Dir::Etc::sourcelist=$apt/list"
      -o Dir::Etc::sourceparts=- -o "Dir::State::lists=$apt/lists"
      -o APT::Sandbox::User=root)
    apt-get "${options[@]}" update || return 1
    (cd build/downloads &&
      apt-get "${options[@]}" source --download-only "$DEBIAN_SOURCE") ||
      return 1
  fi
  if ! echo "$ARCHIVE_SHA256  build/downloads/$ARCHIVE" | sha256sum -c --quiet
  then
    rm -f "build/downloads/$ARCHIVE"
    return 1
  fi
  tar x -f "build/downloads/$ARCHIVE" -C "$1"
}

if [ -f $tree/.verified ] &&
   [ "$(cat $tree/.verified)" = "$TREE_SHA256" ]; then
  exit 0
fi
mkdir -p build
rm -rf $tree $tree.part
mkdir -p $tree.part
if [ -n "${CAFFE_SRC:-}" ]; then
  echo "get_caffe: using CAFFE_SRC=$CAFFE_SRC"
  from_path "$CAFFE_SRC" $tree.part
  verify $tree.part "CAFFE_SRC=$CAFFE_SRC"
elif echo "get_caffe: cloning $REPOSITORY" && from_git $tree.part &&
     verify $tree.part "$REPOSITORY"; then
  :
elif echo "get_caffe: no clone; using Debian's source package" &&
     rm -rf $tree.part && mkdir $tree.part && from_debian $tree.part; then
  verify $tree.part "Debian's $DEBIAN_SOURCE"
else
  echo "get_caffe: Caffe could not be had from $REPOSITORY nor from Debian's" \
    "source package. Get commit $COMMIT by other means and set CAFFE_SRC to" \
    "the checkout or the .tar.gz" >&2
  exit 1
fi
echo "$TREE_SHA256" >$tree.part/.verified
mv $tree.part $tree
rm -rf build/caffe.git
echo "get_caffe: Caffe $COMMIT is in $tree"
