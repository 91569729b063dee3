#ifndef CUDA_EMULATOR_CUDA_PROFILER_API_H_
#define CUDA_EMULATOR_CUDA_PROFILER_API_H_

#include "cuda_runtime.h"

// With CUDA_EMULATOR_PROFILE=FILE what is done between the two is counted, and
// FILE says at each stop what was since the program began (src/counts.hpp).
extern "C" {
cudaError_t cudaProfilerStart();
cudaError_t cudaProfilerStop();
}

#endif  // CUDA_EMULATOR_CUDA_PROFILER_API_H_
