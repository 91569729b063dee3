#ifndef CUDA_EMULATOR_THREAD_HPP_
#define CUDA_EMULATOR_THREAD_HPP_

#include <cstddef>
#include <functional>

#include "cuda_runtime.h"

namespace emulator {

struct Thread {
  dim3 thread, block, block_size, grid;
};

// The thread that runs now: always the same to whoever asks.
const Thread& ThisThread() __attribute__((const));

// Runs a kernel: each thread calls body(context).
void Run(const char* kernel, dim3 grid, dim3 block, void (*body)(const void*),
    const void* context);

// Whether the stream is being captured: then launches in it are recorded.
bool IsCaptured(cudaStream_t stream);
void Record(cudaStream_t stream, std::function<void()> launch);

// Waits for the block's other threads. `line` tells barriers from one another:
// the compiler may make several calls of one.
void Barrier(int line);

// *value, of `size` bytes, becomes that of the warp's lane `source`, once all
// `lanes`, a bit each, have come to this line.
void Shuffle(int line, unsigned lanes, unsigned source, void* value,
    size_t size, const void* call);

// Says that this thread is about to change these bytes in one step.
void CheckAtomic(void* address, size_t size, const void* call);

}  // namespace emulator

#endif  // CUDA_EMULATOR_THREAD_HPP_
