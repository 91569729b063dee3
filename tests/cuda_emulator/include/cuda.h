#ifndef CUDA_EMULATOR_CUDA_H_
#define CUDA_EMULATOR_CUDA_H_

#include "cuda_runtime.h"

#endif  // CUDA_EMULATOR_CUDA_H_
