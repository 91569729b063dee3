#ifndef CUDA_EMULATOR_MEMORY_HPP_
#define CUDA_EMULATOR_MEMORY_HPP_

#include <cstddef>
#include <cstdint>

namespace emulator {

// Zeros that take up no memory before they are used.
char* Reserve(size_t size, int protection);

// The device's memory: a range of addresses that only kernels, copies and
// libraries may touch. Checks know it by words of 4 bytes.
const size_t kWord = 4;
const size_t kArena = size_t(16) << 30;
extern char* const arena;

// CUDA_EMULATOR_DEVICES of them, one if that is not set, share the range: each
// has a part of the same size.
int NumDevices();
// The device that the calling thread uses, for cudaSetDevice to change.
int& CurrentDevice();

// What is known of a word; 0: that it belongs to no allocation.
enum WordState : uint8_t { kAllocated = 1, kInitialised = 2 };
extern uint8_t* const word_states;

inline bool IsDevice(const void* pointer) {
  return static_cast<size_t>(static_cast<const char*>(pointer) - arena) <
         kArena;
}

inline int DeviceOf(const void* pointer) {
  return (static_cast<const char*>(pointer) - arena) / (kArena / NumDevices());
}

inline size_t WordOf(const void* pointer) {
  return (static_cast<const char*>(pointer) - arena) / kWord;
}

// While one exists, memory is accessible, and no other thread has one.
class DeviceAccess {
 public:
  DeviceAccess();
  ~DeviceAccess();
  DeviceAccess(const DeviceAccess&) = delete;
  DeviceAccess& operator=(const DeviceAccess&) = delete;
};

// An operand of a copy or of a library's function. Each ends the process if
// some of it is not allocated or, to be read, not initialised; `what` says
// whose operand it is.
void CheckAllocated(const void* pointer, size_t size, const char* what);
void CheckRead(const void* from, size_t size, const char* what);
void CheckWrite(void* to, size_t size, const char* what);

// As a copy moves it: what is not initialised stays so.
void CopyStates(void* to, const void* from, size_t size);

}  // namespace emulator

#endif  // CUDA_EMULATOR_MEMORY_HPP_
