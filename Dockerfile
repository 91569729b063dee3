# Caffe with approximate random dropout. The default bases give the CUDA build;
# with a plain Debian or Ubuntu for both, it is the CPU build. They must be of
# the same release, Debian 12 or Ubuntu 24.04 say; CUDA's final one a "runtime"
# image, as "base" ones lack cuBLAS. CUDA_ARCH as for
# scripts/setup/build_caffe.sh; CAFFE_SRC names Caffe's sources, if they were
# put into this folder; CCACHE_DIR a compiler cache, if one is mounted.
ARG BASE_IMAGE=nvidia/cuda:13.0.1-devel-ubuntu24.04
ARG RUNTIME_IMAGE=nvidia/cuda:13.0.1-runtime-ubuntu24.04

FROM ${BASE_IMAGE} AS build
WORKDIR /opt/approx-dropout
COPY scripts/setup/install_dependencies.sh scripts/setup/
RUN scripts/setup/install_dependencies.sh
COPY . .
ENV LANG=C.UTF-8
ARG CUDA_ARCH=
ARG CAFFE_SRC=
ARG CCACHE_DIR
RUN scripts/setup/docker/build.sh

FROM ${RUNTIME_IMAGE}
WORKDIR /opt/approx-dropout
RUN useradd --create-home --uid 10001 caffe
COPY --from=build /opt/approx-dropout/build/packages \
  /opt/approx-dropout/scripts/setup/install_dependencies.sh /tmp/
RUN xargs -a /tmp/packages /tmp/install_dependencies.sh \
  && apt-get clean \
  && rm -rf /var/lib/apt/lists/* /tmp/*
COPY --from=build --chown=10001:10001 /opt/approx-dropout/build/image ./
ENV LANG=C.UTF-8 PATH=/opt/approx-dropout/build/bin:$PATH \
  PYTHONPATH=/opt/approx-dropout/python_layers:/opt/approx-dropout/build/caffe/python
USER 10001:10001
VOLUME ["/opt/approx-dropout/build/data", "/opt/approx-dropout/runs"]
ENTRYPOINT ["/opt/approx-dropout/scripts/setup/docker/entrypoint.sh"]
