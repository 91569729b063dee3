#include "counts.hpp"

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>
#include <tuple>

#include "cuda_profiler_api.h"
#include "report.hpp"

namespace emulator {

namespace {

struct Calls {
  double count = 0, bytes = 0;
};

std::mutex mutex;
std::atomic<bool> counting(false);
std::map<std::tuple<std::string, std::string, std::string>, Work> all_work;
std::map<std::pair<std::string, std::string>, Calls> all_calls;

void Write(FILE* file) {
  std::fprintf(file, "{\"work\": [");
  const char* before = "\n";
  for (const auto& item : all_work) {
    const Work& work = item.second;
    std::fprintf(file, "%s{\"kind\": \"%s\", \"name\": \"%s\"%s", before,
        std::get<0>(item.first).c_str(), std::get<1>(item.first).c_str(),
        std::get<2>(item.first).c_str());
    const std::pair<const char*, double> fields[] = {
        {"launches", work.launches}, {"flops", work.flops},
        {"read_bytes", work.read_bytes}, {"written_bytes", work.written_bytes},
        {"requests", work.requests}, {"first_requests", work.first_requests},
        {"sectors", work.sectors}, {"lines", work.lines},
        {"needed_bytes", work.needed_bytes},
        {"shared_requests", work.shared_requests},
        {"bank_conflicts", work.bank_conflicts}};
    for (const auto& field : fields) {
      std::fprintf(file, ", \"%s\": %.15g", field.first, field.second);
    }
    std::fprintf(file, "}");
    before = ",\n";
  }
  std::fprintf(file, "],\n\"calls\": [");
  before = "\n";
  for (const auto& item : all_calls) {
    std::fprintf(file,
        "%s{\"kind\": \"%s\", \"name\": \"%s\", \"count\": %.15g, "
        "\"bytes\": %.15g}",
        before, item.first.first.c_str(), item.first.second.c_str(),
        item.second.count, item.second.bytes);
    before = ",\n";
  }
  std::fprintf(file, "]}\n");
}

const char* FileName() {
  static const char* const name = getenv("CUDA_EMULATOR_PROFILE");
  return name;
}

}  // namespace

bool Profiling() { return FileName() != nullptr; }

bool Counting() { return counting; }

void Count(const char* kind, const std::string& name, const std::string& shape,
    const Work& work) {
  if (!counting) {
    return;
  }
  const std::lock_guard<std::mutex> lock(mutex);
  Work& sum = all_work[std::make_tuple(kind, name, shape)];
  sum.launches += work.launches;
  sum.flops += work.flops;
  sum.read_bytes += work.read_bytes;
  sum.written_bytes += work.written_bytes;
  sum.requests += work.requests;
  sum.first_requests += work.first_requests;
  sum.sectors += work.sectors;
  sum.lines += work.lines;
  sum.needed_bytes += work.needed_bytes;
  sum.shared_requests += work.shared_requests;
  sum.bank_conflicts += work.bank_conflicts;
}

void CountMoves(const char* name, size_t read_bytes, size_t written_bytes) {
  Work work;
  work.launches = 1;
  work.read_bytes = read_bytes;
  work.written_bytes = written_bytes;
  Count("library", name, "", work);
}

void CountCall(const char* kind, const char* name, size_t bytes) {
  if (!counting) {
    return;
  }
  const std::lock_guard<std::mutex> lock(mutex);
  Calls& sum = all_calls[std::make_pair(kind, name)];
  sum.count += 1;
  sum.bytes += bytes;
}

}  // namespace emulator

extern "C" {

cudaError_t cudaProfilerStart() {
  emulator::counting = emulator::Profiling();
  return cudaSuccess;
}

cudaError_t cudaProfilerStop() {
  if (!emulator::Profiling()) {
    return cudaSuccess;
  }
  emulator::counting = false;
  FILE* file = std::fopen(emulator::FileName(), "w");
  if (!file) {
    emulator::Fail("cannot write %s", emulator::FileName());
  }
  emulator::Write(file);
  if (std::fclose(file) != 0) {
    emulator::Fail("cannot write %s", emulator::FileName());
  }
  return cudaSuccess;
}
}
