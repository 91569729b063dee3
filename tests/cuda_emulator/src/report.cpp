#include "report.hpp"

#include <dlfcn.h>

#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "launch.hpp"

namespace emulator {

namespace {

const size_t kMaxFaults = 8;

struct Fault {
  const char* what;
  const void* address;
  size_t size;
  Place place;
  const void* call;
  bool has_other;
  Place other;
};

std::vector<Fault> faults;

std::string OutputOf(const std::string& command) {
  std::string output;
  FILE* pipe = popen(command.c_str(), "r");
  if (!pipe) {
    return output;
  }
  for (int c = fgetc(pipe); c != EOF; c = fgetc(pipe)) {
    output += c;
  }
  pclose(pipe);
  return output;
}

// Function and line that a call returns to, innermost first.
std::string LinesOf(const void* call) {
  Dl_info info;
  if (!call || !dladdr(call, &info)) {
    return "";
  }
  const uintptr_t offset = reinterpret_cast<uintptr_t>(call) - 1 -
                           reinterpret_cast<uintptr_t>(info.dli_fbase);
  char command[4096];
  std::snprintf(command, sizeof(command),
      "addr2line -fipCs -e '%s' 0x%zx 2>/dev/null", info.dli_fname,
      static_cast<size_t>(offset));
  return OutputOf(command);
}

void Print(const Place& place, const LaunchShape& shape) {
  const Thread t = ThreadAt(shape, place.block, place.thread);
  std::fprintf(stderr, "block (%u,%u,%u) thread (%u,%u,%u) after %u barriers",
      t.block.x, t.block.y, t.block.z, t.thread.x, t.thread.y, t.thread.z,
      place.epoch);
}

void Print(const Fault& fault) {
  const LaunchShape& shape = CurrentLaunch();
  std::fprintf(stderr, "cuda_emulator: %s in %s", fault.what, shape.kernel);
  if (fault.address) {
    std::fprintf(stderr, ", %zu bytes at %p", fault.size, fault.address);
  }
  std::fprintf(stderr, "\n  by ");
  Print(fault.place, shape);
  if (fault.has_other) {
    std::fprintf(stderr, "\n  and ");
    Print(fault.other, shape);
  }
  std::fprintf(stderr, "\n  %s", LinesOf(fault.call).c_str());
}

}  // namespace

void NoteFault(const char* what, const void* address, size_t size,
    const Place& place, const void* call, const Place* other) {
  for (const Fault& fault : faults) {
    if (fault.what == what && fault.call == call) {
      return;
    }
  }
  if (faults.size() == kMaxFaults) {
    return;
  }
  faults.push_back(Fault{what, address, size, place, call, other != nullptr,
      other ? *other : Place()});
}

void EndIfFaulty() {
  if (faults.empty()) {
    return;
  }
  for (const Fault& fault : faults) {
    Print(fault);
  }
  std::abort();
}

void Fail(const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  std::fprintf(stderr, "cuda_emulator: ");
  std::vfprintf(stderr, format, arguments);
  std::fprintf(stderr, "\n");
  std::abort();
}

}  // namespace emulator
