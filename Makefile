# Approximate Random Dropout for Caffe. `make help` lists the targets.

PYTHON := /usr/bin/python3
TRAIN := $(PYTHON) scripts/train.py $(if $(filter-out 0 no,$(FORCE)),--force)
RATE ?= 0.5
EPOCHS ?= 4
MNIST_METHODS := conventional row tile row_period
PTB_EPOCHS ?= 1
PTB_METHODS := conventional row tile
CIFAR_RATE ?= 0.3
CIFAR_EPOCHS ?= 5
CIFAR_METHODS := small_none small_conventional_$(CIFAR_RATE) \
  small_row_$(CIFAR_RATE) small_row_period_$(CIFAR_RATE)
IMAGE_ARGUMENTS := BASE_IMAGE RUNTIME_IMAGE CUDA_ARCH CAFFE_SRC
PTB_DATA := $(PYTHON) scripts/prepare_ptb.py --output build/data

.DEFAULT_GOAL := help
.PHONY: help dependencies caffe mpi-packages mpi cuda emulate emulate-mutants \
  emulate-sanitize emulate-profile bundle docker test-docker data mnist \
  ptb-data ptb cifar-data cifar bench figures prototxt check test test-cuda \
  sanitize sanitize-threads fuzz clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-16s %s\n", $$1, $$2}' \
	  $(MAKEFILE_LIST)

dependencies:  ## install the missing packages through apt (root or sudo)
	@scripts/setup/install_dependencies.sh

caffe: dependencies  ## get, patch and build Caffe (CPU) into build/
	@scripts/setup/build_caffe.sh

mpi-packages: dependencies
	@command -v mpicc >/dev/null || \
	  scripts/setup/install_dependencies.sh libopenmpi-dev openmpi-bin

mpi: mpi-packages  ## the same for `mpirun`, too (Open MPI, or what mpicc is of)
	@MPI=1 scripts/setup/build_caffe.sh

cuda: $(if $(filter-out 0 no,$(MPI)),mpi-packages) dependencies  ## with CUDA (CUDNN=1, MPI=1)
	@scripts/setup/build_caffe.sh --cuda

emulate: dependencies  ## the same in GPU mode on an emulated device, no nvcc
	@scripts/setup/build_caffe.sh --emulate

emulate-mutants: emulate  ## see what it finds in broken kernels: 30 minutes
	@$(PYTHON) tests/cuda_emulator/mutants.py --results build/mutants.json

emulate-sanitize: dependencies  ## its tests under ASan and UBSan (half an hour)
	@SANITIZE=1 $(PYTHON) -m pytest --timeout 3600 -k "not mutants" \
	  tests/gpu/test_emulated.py

emulate-profile: emulate  ## count what steps ask of a GPU, model their time
	@scripts/setup/build_caffe.sh --stock --emulate
	@$(PYTHON) scripts/profile_steps.py

bundle: data ptb-data  ## a folder and .tar.xz for GPU machines (needs nvcc)
	@scripts/gpu/make_bundle.sh

docker:  ## the image (BASE_IMAGE, RUNTIME_IMAGE, CUDA_ARCH, CAFFE_SRC)
	docker build -t approx-dropout $(foreach name,$(IMAGE_ARGUMENTS),\
	  $(if $($(name)),--build-arg "$(name)=$($(name))")) .

test-docker:  ## build and run the image, on a CPU and without Docker's engine
	@tests/setup/docker_test.sh

data: caffe  ## prepare MNIST in build/data: DATA_DIR, download or embedded
	@$(PYTHON) scripts/prepare_mnist.py

mnist: data  ## train the MNIST MLP four ways, print a table (RATE, EPOCHS, FORCE)
	@$(TRAIN) --epochs $(EPOCHS) \
	  $(foreach method,$(MNIST_METHODS),mnist/$(method)_$(RATE))
	@$(PYTHON) scripts/report_mnist.py \
	  $(foreach method,$(MNIST_METHODS),mnist/$(method)_$(RATE))

ptb-data: caffe  ## prepare Penn Treebank: DATA_DIR, download or embedded
	@$(PTB_DATA)/ptb
	@$(PTB_DATA)/ptb_length20 --sequence-length 20
	@$(PTB_DATA)/ptb8800 --vocab-size 8800

ptb: caffe  ## train the LSTM three ways, print a table (RATE, PTB_EPOCHS, FORCE)
	@$(PTB_DATA)/ptb
	@$(TRAIN) --epochs $(PTB_EPOCHS) \
	  $(foreach method,$(PTB_METHODS),ptb/small_$(method)_$(RATE))
	@$(PYTHON) scripts/report_ptb.py \
	  $(foreach method,$(PTB_METHODS),ptb/small_$(method)_$(RATE))

cifar-data: caffe  ## prepare CIFAR-10: DATA_DIR, download or embedded
	@$(PYTHON) scripts/prepare_cifar10.py

cifar: cifar-data  ## train a conv. net four ways (CIFAR_RATE, CIFAR_EPOCHS, FORCE)
	@$(TRAIN) --epochs $(CIFAR_EPOCHS) $(CIFAR_METHODS:%=cifar10/%)
	@$(PYTHON) scripts/report_cifar10.py $(CIFAR_METHODS:%=cifar10/%)

bench: data ptb-data  ## time training steps in turn with stock Caffe's (SWEEPS)
	@scripts/setup/build_caffe.sh --stock
	@$(PYTHON) scripts/measure_steps.py $(SWEEPS)

figures:  ## write the tables of the documents from results/
	@$(PYTHON) scripts/report_figures.py

prototxt:  ## generate prototxt/ from scripts/nets/registry.py
	@$(PYTHON) scripts/make_prototxt.py

check:  ## lint, check the list of patches and prototxt/: seconds, no Caffe
	@scripts/setup/check.sh

test: mpi  ## build, then run the tests, Caffe's own included
	@scripts/setup/build_caffe.sh --tests
	@$(MAKE) --no-print-directory check
	@$(PYTHON) -m pytest --timeout 1200 -m "not bundle" tests

test-cuda: caffe  ## build the bundle and run the tests of it (needs nvcc)
	@$(PYTHON) -m pytest --timeout 3600 -m bundle tests

sanitize: dependencies  ## the C++ tests under ASan and UBSan (clang; an hour)
	@scripts/setup/sanitize.sh

sanitize-threads: dependencies  ## what threads share, under ThreadSanitizer
	@scripts/setup/sanitize.sh --threads

fuzz: dependencies  ## try solver states and prototxt on made inputs (FUZZ_MINUTES)
	@scripts/setup/fuzz.sh

clean:  ## remove what was built and prepared (runs/ stays)
	rm -rf build
