#ifndef CUDA_EMULATOR_WARPS_HPP_
#define CUDA_EMULATOR_WARPS_HPP_

// What the launch that runs moves. Which sectors of memory it reads and writes
// is known of all threads; which of them a warp asks for at a time, and how
// shared memory's banks take that, of a sample of the blocks.

#include <cstddef>

#include "launch.hpp"

namespace emulator {

// As many blocks of a launch are looked at, or all where there are fewer: one,
// at a place of its own, out of each of as many equal parts of the grid.
const unsigned kSampledBlocks = 64;
const unsigned kWarp = 32;

void BeginCountedLaunch(size_t num_blocks);
void BeginCountedBlock(unsigned block);

// One thread's access, its instruction being told by where the call of
// __tsan_* returns to. A warp's request is the n-th execution of an instruction
// by each of its threads since the last barrier: they run one after the other.
void CountAccess(
    const char* at, size_t size, bool reads, bool writes, const void* call);
void CountShared(const char* at, size_t size, const void* call);

// After the last access of a block, and before a barrier is passed.
void EndRequests();

void EndCountedLaunch(const LaunchShape& shape);

// In a graph, a kernel that is launched again and again in the same shape, at
// each time step say, is counted twice, as the first launch may be another than
// the rest; what the second did stands for the others.
void BeginCountedGraph();
void EndCountedGraph();

// Whether this launch is one of the others, and thus need not run.
bool CountLikeEarlier(const LaunchShape& shape);

}  // namespace emulator

#endif  // CUDA_EMULATOR_WARPS_HPP_
