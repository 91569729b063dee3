#ifndef CUDA_EMULATOR_COUNTS_HPP_
#define CUDA_EMULATOR_COUNTS_HPP_

// What a program asks of the device. With CUDA_EMULATOR_PROFILE=FILE in the
// environment the emulator counts instead of checking: cuBLAS computes no
// products then and kernels run only while they are counted, so that data is
// worthless, and full-sized nets take seconds.

#include <cstddef>
#include <string>

namespace emulator {

// Whether this process counts at all.
bool Profiling();

// Whether it does so now: between cudaProfilerStart and cudaProfilerStop.
bool Counting();

// What one kernel, or a library's, does; sums of all launches of its shape.
struct Work {
  double launches = 0;
  double flops = 0;
  // Bytes of memory that are read or written at all, in each launch, as sectors
  // of 32.
  double read_bytes = 0, written_bytes = 0;
  // Of requests, each by one instruction of a warp: how many are the first to
  // read something; sectors of 32 bytes, lines of 128 and bytes that they
  // touch; of those to shared memory, how many turns they take beyond one for
  // each 128 bytes.
  double requests = 0, first_requests = 0;
  double sectors = 0, lines = 0, needed_bytes = 0;
  double shared_requests = 0, bank_conflicts = 0;
};

// Adds to what is known of work of that kind, "kernel" or "gemm" say, name and
// shape, fields of a JSON object: ", \"m\": 3".
void Count(const char* kind, const std::string& name, const std::string& shape,
    const Work& work);

// Work of one launch that moves bytes and does little else.
void CountMoves(const char* name, size_t read_bytes, size_t written_bytes);

// A call that is no work on the device: "wait", "allocation" or "copy", with
// what it waits for, allocates or copies.
void CountCall(const char* kind, const char* name, size_t bytes = 0);

}  // namespace emulator

#endif  // CUDA_EMULATOR_COUNTS_HPP_
