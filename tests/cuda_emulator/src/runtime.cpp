#include <chrono>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <set>

#include "counts.hpp"
#include "cuda_runtime.h"
#include "launch.hpp"
#include "memory.hpp"
#include "report.hpp"
#include "streams.hpp"

struct EmulatedEvent {
  std::chrono::steady_clock::time_point time;
};

namespace emulator {

namespace {

cudaError_t last_error = cudaSuccess;
std::mutex mutex;
std::set<void*> host_blocks;  // of cudaMallocHost

bool IsKind(const void* to, const void* from, cudaMemcpyKind kind) {
  if (kind == cudaMemcpyDefault) {
    return true;
  }
  const bool to_device =
      kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
  const bool from_device =
      kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
  return IsDevice(to) == to_device && IsDevice(from) == from_device;
}

void CountCopy(const void* to, const void* from, size_t count) {
  if (IsDevice(to) && IsDevice(from)) {
    CountMoves("cudaMemcpy", count, count);
    return;
  }
  CountCall("copy",
      IsDevice(to)     ? "host to device"
      : IsDevice(from) ? "device to host"
                       : "host to host",
      count);
}

void Copy(void* to, const void* from, size_t count, cudaMemcpyKind kind) {
  if (!IsKind(to, from, kind)) {
    Fail("cudaMemcpy to %p from %p is not of kind %d", to, from, kind);
  }
  const DeviceAccess access;
  if (IsDevice(to)) {
    CheckWrite(to, count, "cudaMemcpy's target");
  }
  if (IsDevice(from) && IsDevice(to)) {
    CheckAllocated(from, count, "cudaMemcpy's source");
    CopyStates(to, from, count);
  } else if (IsDevice(from)) {
    CheckRead(from, count, "cudaMemcpy's source");
  }
  std::memmove(to, from, count);
  CountCopy(to, from, count);
}

}  // namespace

void SetLastError(cudaError_t error) { last_error = error; }

cudaError_t AllocateHost(void** pointer, size_t size) {
  CountCall("allocation", "host", size);
  *pointer = std::malloc(size ? size : 1);
  const std::lock_guard<std::mutex> lock(mutex);
  host_blocks.insert(*pointer);
  return cudaSuccess;
}

}  // namespace emulator

using emulator::CountCall;
using emulator::Fail;

namespace {

bool IsDeviceNumber(int device) {
  return device >= 0 && device < emulator::NumDevices();
}

}  // namespace

extern "C" {

const char* cudaGetErrorString(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "no error";
    case cudaErrorInvalidValue:
      return "invalid argument";
    case cudaErrorMemoryAllocation:
      return "out of memory";
    case cudaErrorInvalidConfiguration:
      return "invalid configuration argument";
    case cudaErrorInvalidDevice:
      return "invalid device ordinal";
    case cudaErrorStreamCaptureUnsupported:
      return "operation not permitted when stream is capturing";
  }
  return "unknown error";
}

cudaError_t cudaGetLastError() {
  const cudaError_t error = emulator::last_error;
  emulator::last_error = cudaSuccess;
  return error;
}

cudaError_t cudaPeekAtLastError() { return emulator::last_error; }

cudaError_t cudaGetDevice(int* device) {
  *device = emulator::CurrentDevice();
  return cudaSuccess;
}

cudaError_t cudaSetDevice(int device) {
  if (!IsDeviceNumber(device)) {
    return cudaErrorInvalidDevice;
  }
  emulator::CurrentDevice() = device;
  return cudaSuccess;
}

cudaError_t cudaGetDeviceCount(int* count) {
  *count = emulator::NumDevices();
  return cudaSuccess;
}

// As of an H100 or H200, where a number is asked for.
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* prop, int device) {
  if (!IsDeviceNumber(device)) {
    return cudaErrorInvalidDevice;
  }
  *prop = cudaDeviceProp();
  std::strcpy(prop->name, "emulated device");
  prop->totalGlobalMem = emulator::kArena / emulator::NumDevices();
  prop->sharedMemPerBlock = 48 << 10;
  prop->totalConstMem = 64 << 10;
  prop->textureAlignment = 512;
  prop->major = 9;
  prop->regsPerBlock = 65536;
  prop->warpSize = 32;
  prop->maxThreadsPerBlock = 1024;
  const int block[] = {1024, 1024, 64}, grid[] = {0x7fffffff, 65535, 65535};
  std::memcpy(prop->maxThreadsDim, block, sizeof(block));
  std::memcpy(prop->maxGridSize, grid, sizeof(grid));
  prop->multiProcessorCount = 132;
  return cudaSuccess;
}

cudaError_t cudaDeviceSynchronize() {
  CountCall("wait", "cudaDeviceSynchronize");
  return cudaSuccess;
}

cudaError_t cudaPointerGetAttributes(
    cudaPointerAttributes* attributes, const void* pointer) {
  attributes->device =
      emulator::IsDevice(pointer) ? emulator::DeviceOf(pointer) : 0;
  return cudaSuccess;
}

cudaError_t cudaFreeHost(void* pointer) {
  CountCall("wait", "cudaFreeHost");
  const std::lock_guard<std::mutex> lock(emulator::mutex);
  if (pointer && emulator::host_blocks.erase(pointer) == 0) {
    Fail("cudaFreeHost of %p, which is not allocated", pointer);
  }
  std::free(pointer);
  return cudaSuccess;
}

cudaError_t cudaMemset(void* pointer, int value, size_t count) {
  const emulator::DeviceAccess access;
  emulator::CheckWrite(pointer, count, "cudaMemset");
  std::memset(pointer, value, count);
  emulator::CountMoves("cudaMemset", 0, count);
  return cudaSuccess;
}

cudaError_t cudaMemcpy(
    void* to, const void* from, size_t count, cudaMemcpyKind kind) {
  // The host waits for its own memory only.
  if (!emulator::IsDevice(to) || !emulator::IsDevice(from)) {
    CountCall("wait", "cudaMemcpy");
  }
  emulator::Copy(to, from, count, kind);
  return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t count,
    cudaMemcpyKind kind, cudaStream_t) {
  emulator::Copy(to, from, count, kind);
  return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t) {
  CountCall("wait", "cudaStreamSynchronize");
  return cudaSuccess;
}

// What streams are given is done at once, in the order of the calls.
cudaError_t cudaStreamWaitEvent(cudaStream_t, cudaEvent_t, unsigned) {
  return cudaSuccess;
}

cudaError_t cudaEventCreate(cudaEvent_t* event) {
  *event = new EmulatedEvent();
  return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t) {
  event->time = std::chrono::steady_clock::now();
  return cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t) {
  CountCall("wait", "cudaEventSynchronize");
  return cudaSuccess;
}

cudaError_t cudaEventElapsedTime(
    float* ms, cudaEvent_t start, cudaEvent_t stop) {
  *ms = std::chrono::duration<float, std::milli>(stop->time - start->time)
            .count();
  return cudaSuccess;
}
}
