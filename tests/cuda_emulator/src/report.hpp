#ifndef CUDA_EMULATOR_REPORT_HPP_
#define CUDA_EMULATOR_REPORT_HPP_

#include <cstddef>

namespace emulator {

// A thread of a launch, and how many barriers it has passed.
struct Place {
  unsigned block, thread, epoch;
};

// Notes what a thread did wrong in the launch that runs. `call` is where the
// compiler's call returns to, `other` whom a race is with.
void NoteFault(const char* what, const void* address, size_t size,
    const Place& place, const void* call, const Place* other);

// Ends the process if a launch has noted faults, after saying what they are.
void EndIfFaulty();

// Ends the process at once.
[[noreturn]] void Fail(const char* format, ...)
    __attribute__((format(printf, 1, 2)));

}  // namespace emulator

#endif  // CUDA_EMULATOR_REPORT_HPP_
