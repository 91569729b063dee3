#ifndef CUDA_EMULATOR_LAUNCH_HPP_
#define CUDA_EMULATOR_LAUNCH_HPP_

// The language of kernels, for the host's compiler. A kernel is a function that
// each thread calls; static variables are what a block shares, since blocks run
// one after the other.

#include <math.h>

#include <type_traits>

#include "cuda_emulator/thread.hpp"

// Device code of a header gets names of its own. Else the linker could take for
// a kernel what was compiled, without checks, for the host.
#define __device__ __attribute__((abi_tag("device")))
#define __host__
#define __global__ __attribute__((abi_tag("device")))
#define __launch_bounds__(...)
#define __shared__ static

// What reads the arguments of a launch is no part of the kernel.
#define EMULATOR_UNCHECKED __attribute__((no_sanitize("thread")))

namespace emulator {

// Calls a function object.
template <typename Body>
EMULATOR_UNCHECKED void Call(const void* body) {
  (*static_cast<const Body*>(body))();
}

template <typename Kernel, typename... Arguments>
void LaunchAs(const char* name, dim3 grid, dim3 block, Kernel kernel,
    const Arguments&... arguments) {
  // They fit into the 4 KB that there were before CUDA 12.1.
  static_assert((0 + ... + sizeof(Arguments)) <= 4096, "too many parameters");
  const auto body = [&]() EMULATOR_UNCHECKED { kernel(arguments...); };
  Run(name, grid, block, Call<decltype(body)>, &body);
}

// Arguments are converted to what the kernel takes.
template <typename... Parameters>
void Launch(const char* name, dim3 grid, dim3 block,
    void (*kernel)(Parameters...),
    std::common_type_t<Parameters>... arguments) {
  LaunchAs(name, grid, block, kernel, arguments...);
}

// In a stream, which may be captured: then with the arguments of now.
template <typename... Parameters>
void LaunchIn(cudaStream_t stream, const char* name, dim3 grid, dim3 block,
    void (*kernel)(Parameters...),
    std::common_type_t<Parameters>... arguments) {
  const auto launch = [=] {
    LaunchAs(name, grid, block, kernel, arguments...);
  };
  if (IsCaptured(stream)) {
    Record(stream, launch);
  } else {
    launch();
  }
}

// A kernel that has no address: a template whose arguments the call deduces.
template <typename Kernel, typename... Arguments>
void LaunchDeduced(const char* name, dim3 grid, dim3 block, Kernel kernel,
    Arguments... arguments) {
  LaunchAs(name, grid, block, kernel, arguments...);
}

}  // namespace emulator

#define threadIdx (emulator::ThisThread().thread)
#define blockIdx (emulator::ThisThread().block)
#define blockDim (emulator::ThisThread().block_size)
#define gridDim (emulator::ThisThread().grid)

#define __syncthreads() emulator::Barrier(__LINE__)

void __threadfence();

namespace emulator {

template <typename T>
__attribute__((noinline)) EMULATOR_UNCHECKED T ShuffleXor(
    int line, unsigned lanes, T value, int lane_mask) {
  // As threads count in a block of one row.
  const unsigned lane = ThisThread().thread.x % 32;
  Shuffle(line, lanes, lane ^ lane_mask, &value, sizeof(T),
      __builtin_return_address(0));
  return value;
}

}  // namespace emulator

#define __shfl_xor_sync(lanes, value, lane_mask) \
  emulator::ShuffleXor(__LINE__, lanes, value, lane_mask)

template <typename T>
__attribute__((noinline)) EMULATOR_UNCHECKED T atomicAdd(
    T* address, std::common_type_t<T> value) {
  emulator::CheckAtomic(address, sizeof(T), __builtin_return_address(0));
  const T before = *address;
  *address = before + value;
  return before;
}

template <typename T>
__attribute__((noinline)) EMULATOR_UNCHECKED T atomicExch(
    T* address, std::common_type_t<T> value) {
  emulator::CheckAtomic(address, sizeof(T), __builtin_return_address(0));
  const T before = *address;
  *address = value;
  return before;
}

template <typename T>
__device__ inline T min(T a, T b) {
  return b < a ? b : a;
}
template <typename T>
__device__ inline T max(T a, T b) {
  return a < b ? b : a;
}

#endif  // CUDA_EMULATOR_LAUNCH_HPP_
