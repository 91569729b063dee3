#ifndef CUDA_EMULATOR_SRC_LAUNCH_HPP_
#define CUDA_EMULATOR_SRC_LAUNCH_HPP_

#include "cuda_emulator/thread.hpp"

namespace emulator {

struct LaunchShape {
  const char* kernel;
  dim3 grid, block;
};

// The launch that runs, or the last one.
const LaunchShape& CurrentLaunch();

// What cudaPeekAtLastError says from now on.
void SetLastError(cudaError_t error);

inline Thread ThreadAt(const LaunchShape& shape, unsigned b, unsigned t) {
  const dim3 &grid = shape.grid, &block = shape.block;
  return Thread{dim3(t % block.x, t / block.x % block.y, t / block.x / block.y),
      dim3(b % grid.x, b / grid.x % grid.y, b / grid.x / grid.y), block, grid};
}

}  // namespace emulator

#endif  // CUDA_EMULATOR_SRC_LAUNCH_HPP_
