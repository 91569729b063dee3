#ifndef CUDA_EMULATOR_DRIVER_TYPES_H_
#define CUDA_EMULATOR_DRIVER_TYPES_H_

#include "cuda_runtime.h"

#endif  // CUDA_EMULATOR_DRIVER_TYPES_H_
