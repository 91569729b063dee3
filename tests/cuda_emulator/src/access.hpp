#ifndef CUDA_EMULATOR_ACCESS_HPP_
#define CUDA_EMULATOR_ACCESS_HPP_

#include <cstddef>

#include "report.hpp"

namespace emulator {

// Where threads have what only they can reach: their variables.
const size_t kLocals = size_t(80) << 20;
extern char* locals;

// The thread that runs.
extern Place now;

void BeginLaunch();
void EndLaunch();
void BeginBlock(unsigned block);
void NextEpoch();  // a barrier has been passed

}  // namespace emulator

#endif  // CUDA_EMULATOR_ACCESS_HPP_
