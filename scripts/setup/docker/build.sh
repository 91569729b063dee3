#!/usr/bin/env bash
# The image's build stage (Dockerfile): builds Caffe, with CUDA where nvcc is,
# prepares the data, and puts what the image is to hold into build/image, and
# the names of the packages that it needs into build/packages.
set -euo pipefail
cd "$(dirname "$0")/../../.."
image=build/image
tree=build/caffe

if command -v nvcc >/dev/null; then
  tree=build/caffe-cuda
  scripts/setup/build_caffe.sh --cuda
  ln -s caffe-cuda build/caffe
  for wrapper in build/bin/*-cuda; do
    ln -s "$(basename "$wrapper")" "${wrapper%-cuda}"
  done
else
  scripts/setup/build_caffe.sh
fi
/usr/bin/python3 scripts/prepare_mnist.py
prepare_ptb=(/usr/bin/python3 scripts/prepare_ptb.py --output)
"${prepare_ptb[@]}" build/data/ptb
"${prepare_ptb[@]}" build/data/ptb_length20 --sequence-length 20
"${prepare_ptb[@]}" build/data/ptb8800 --vocab-size 8800
mapfile -t tools < <(find "$tree/build/tools" -maxdepth 1 -type f \
  -executable ! -name step_times)
programs=("$tree"/build/lib/*.so "${tools[@]}")
strip --strip-unneeded "${programs[@]}"

mkdir -p $image/runs
cp -r --parents LICENSE README.md prototxt python_layers scripts build/bin \
  build/data $tree/python/caffe "$tree"/build/lib/*.so* \
  "${tools[@]}" $image
rm -rf $image/build/bin/nvcc \
  $image/$tree/python/caffe/{_caffe.cpp,imagenet,test}
[ -d $image/build/caffe ] || ln -s caffe-cuda $image/build/caffe

# The packages of the shared libraries, CUDA's excepted: the base has those.
libraries=$(ldd "${programs[@]}" |
  awk '$2 == "=>" && $3 !~ /cuda|^\/opt\// {print $3}' | sort -u)
for library in $libraries; do
  # Where /lib is a link to /usr/lib, packages name either.
  dpkg-query -S "$library" "$(readlink -f "$library")" \
    "/usr$library" 2>/dev/null || :
done | cut -d: -f1 | grep -v ' ' | sort -u >build/packages
# SciPy brings a BLAS to compile with; named here, that is not another flavour
# of OpenBLAS, which Caffe would then run with.
scripts/setup/install_dependencies.sh --list | grep '^python3-\|^libopenblas' |
  grep -v python3-dev >>build/packages
