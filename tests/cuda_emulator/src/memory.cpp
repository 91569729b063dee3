#include "memory.hpp"

#include <signal.h>
#include <sys/mman.h>

#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <mutex>
#include <vector>

#include "counts.hpp"
#include "cuda_runtime.h"
#include "report.hpp"
#include "streams.hpp"

namespace emulator {

char* Reserve(size_t size, int protection) {
  void* memory = mmap(nullptr, size, protection,
      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) {
    Fail("cannot reserve %zu bytes", size);
  }
  return static_cast<char*>(memory);
}

namespace {

// What is made accessible is a few huge pages, which takes much less time than
// thousands of small ones.
const size_t kHugePage = size_t(2) << 20;

char* ReserveArena() {
  const uintptr_t begin =
      reinterpret_cast<uintptr_t>(Reserve(kArena + kHugePage, PROT_NONE));
  char* aligned =
      reinterpret_cast<char*>((begin + kHugePage - 1) / kHugePage * kHugePage);
  madvise(aligned, kArena, MADV_HUGEPAGE);
  return aligned;
}

}  // namespace

char* const arena = ReserveArena();
uint8_t* const word_states =
    reinterpret_cast<uint8_t*>(Reserve(kArena / kWord, PROT_READ | PROT_WRITE));

namespace {

// CUDA aligns allocations so.
const size_t kAlignment = 256;
// As many blocks of a size must have been freed before the first of them is
// used again: whoever still holds it is caught until then.
const size_t kQuarantine = 64;

const int kMaxDevices = 8;

struct Device {
  size_t used = 0;  // bytes of its part that have ever been allocated
  std::map<size_t, std::deque<char*>> free_blocks;  // by what they take up
};

std::mutex mutex;
std::vector<Device> devices(NumDevices());
std::map<void*, size_t> sizes;  // of what is allocated
struct sigaction action_before;

char* PartOf(int device) { return arena + kArena / NumDevices() * device; }

void ProtectUsed(int protection) {
  for (int i = 0; i < NumDevices(); ++i) {
    const size_t size =
        (devices[i].used + kHugePage - 1) / kHugePage * kHugePage;
    mprotect(PartOf(i), size, protection);
  }
}

// With the gap behind it, which is as large as the allocation itself: then an
// index that is wrong by a row still meets the gap.
size_t TakenUp(size_t size) {
  const size_t aligned = (size + kAlignment - 1) / kAlignment * kAlignment;
  size_t taken = 2 * kAlignment;
  while (taken < 2 * aligned) {
    taken *= 2;
  }
  return taken;
}

void SetStates(const void* pointer, size_t size, int state) {
  std::memset(word_states + WordOf(pointer), state, (size + kWord - 1) / kWord);
}

// Only the host reaches what is not accessible.
void HandleFault(int signal, siginfo_t* info, void*) {
  EndIfFaulty();
  if (IsDevice(info->si_addr)) {
    Fail("host code accesses the device's memory at %p", info->si_addr);
  }
  sigaction(signal, &action_before, nullptr);
}

void HandleFaults() {
  struct sigaction action = {};
  action.sa_sigaction = HandleFault;
  action.sa_flags = SA_SIGINFO;
  sigaction(SIGSEGV, &action, &action_before);
}

// Checks words in one sweep; the first that lacks a state is named.
void CheckStates(
    const void* pointer, size_t size, int wanted, const char* what) {
  if (size == 0) {
    return;
  }
  if (!IsDevice(pointer)) {
    Fail("%s: %p is not in the device's memory", what, pointer);
  }
  const size_t first = WordOf(pointer);
  const size_t last = WordOf(static_cast<const char*>(pointer) + size - 1);
  for (size_t word = first; word <= last; ++word) {
    const int missing = wanted & ~word_states[word];
    if (missing == 0) {
      continue;
    }
    Fail("%s: byte %zu of %zu at %p is %s", what, (word - first) * kWord, size,
        pointer, missing & kAllocated ? "out of bounds" : "not initialised");
  }
}

}  // namespace

int NumDevices() {
  static const int count = [] {
    const char* value = getenv("CUDA_EMULATOR_DEVICES");
    const int devices = value ? atoi(value) : 1;
    // Their parts begin at huge pages.
    if (devices < 1 || devices > kMaxDevices || devices & (devices - 1)) {
      Fail("CUDA_EMULATOR_DEVICES is %s; legal: 1, 2, 4, 8", value);
    }
    return devices;
  }();
  return count;
}

int& CurrentDevice() {
  thread_local int device = 0;
  return device;
}

DeviceAccess::DeviceAccess() {
  CheckNotCapturing();
  mutex.lock();
  ProtectUsed(PROT_READ | PROT_WRITE);
}

DeviceAccess::~DeviceAccess() {
  ProtectUsed(PROT_NONE);
  mutex.unlock();
}

void CheckAllocated(const void* pointer, size_t size, const char* what) {
  CheckStates(pointer, size, kAllocated, what);
}

void CheckRead(const void* from, size_t size, const char* what) {
  CheckStates(from, size, kAllocated | kInitialised, what);
}

void CheckWrite(void* to, size_t size, const char* what) {
  CheckStates(to, size, kAllocated, what);
  SetStates(to, size, kAllocated | kInitialised);
}

void CopyStates(void* to, const void* from, size_t size) {
  std::memmove(word_states + WordOf(to), word_states + WordOf(from),
      (size + kWord - 1) / kWord);
}

cudaError_t Allocate(void** pointer, size_t size) {
  *pointer = nullptr;
  if (size == 0) {
    return cudaSuccess;
  }
  CountCall("allocation", "device", size);
  const size_t taken = TakenUp(size);
  {
    const std::lock_guard<std::mutex> lock(mutex);
    static std::once_flag once;
    std::call_once(once, HandleFaults);
    Device* device = &devices[CurrentDevice()];
    std::deque<char*>* blocks = &device->free_blocks[taken];
    if (blocks->size() > kQuarantine) {
      *pointer = blocks->front();
      blocks->pop_front();
    } else if (device->used + taken <= kArena / NumDevices()) {
      *pointer = PartOf(CurrentDevice()) + device->used;
      device->used += taken;
    } else {
      return cudaErrorMemoryAllocation;
    }
    sizes[*pointer] = size;
    // Kernels that are not checked do not say what they write.
    SetStates(
        *pointer, size, Profiling() ? kAllocated | kInitialised : kAllocated);
  }
  const DeviceAccess access;
  std::memset(*pointer, 0xff, size);  // NaN, or -1
  return cudaSuccess;
}

extern "C" cudaError_t cudaFree(void* pointer) {
  if (!pointer) {
    return cudaSuccess;
  }
  CheckNotCapturing();
  CountCall("wait", "cudaFree");
  const std::lock_guard<std::mutex> lock(mutex);
  const auto found = sizes.find(pointer);
  if (found == sizes.end()) {
    Fail("cudaFree of %p, which is not allocated", pointer);
  }
  SetStates(pointer, found->second, 0);
  devices[DeviceOf(pointer)].free_blocks[TakenUp(found->second)].push_back(
      static_cast<char*>(pointer));
  sizes.erase(found);
  return cudaSuccess;
}

}  // namespace emulator
