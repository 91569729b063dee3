# Stands in for Caffe's module: NCCL is a part of the emulator.
set(NCCL_FOUND TRUE)
set(NCCL_INCLUDE_DIR "${CMAKE_CURRENT_LIST_DIR}/../include")
set(NCCL_LIBRARIES "")
