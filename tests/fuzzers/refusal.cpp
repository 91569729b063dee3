#include "refusal.hpp"

#include <glog/logging.h>
#include <pthread.h>
#include <setjmp.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <functional>
#include <new>
#include <stdexcept>
#include <typeinfo>

namespace {

const int64_t kMaxLostBytes = int64_t(2) << 30;
const int kMemoryIsLost = 100;
const size_t kMaxObjectBytes = 256 << 20;

jmp_buf before_input;
pthread_t reader;
int64_t inputs = 0;
int64_t refused = 0;

__attribute__((noreturn)) void Refuse() {
  // Another thread has no one to go back to.
  if (!pthread_equal(pthread_self(), reader)) {
    std::abort();
  }
  longjmp(before_input, 1);
}

void Report() {
  std::ofstream("counts", std::ios::app) << inputs << " " << refused << "\n";
}

// What the process holds, not the most that it ever held: a large net is not
// lost.
void EndIfMemoryIsLost() {
  int64_t pages = 0, resident = 0;
  std::ifstream("/proc/self/statm") >> pages >> resident;
  if (resident * sysconf(_SC_PAGESIZE) < kMaxLostBytes) {
    return;
  }
  Report();
  _exit(kMemoryIsLost);
}

// False if an exception refuses the input.
bool Completes(const std::function<void()>& read) {
  try {
    read();
    return true;
  } catch (const std::runtime_error& error) {
    // Those derived from it were not thrown to be read.
    if (typeid(error) != typeid(std::runtime_error)) {
      throw;
    }
    return false;
  }
}

}  // namespace

// ASan's would end the fuzzer where Caffe gets an exception.
void* operator new(size_t size) {
  void* memory = size < kMaxObjectBytes ? std::malloc(size) : NULL;
  if (!memory) {
    throw std::bad_alloc();
  }
  return memory;
}

void* operator new(size_t size, const std::nothrow_t&) noexcept {
  return std::malloc(size);
}

void operator delete(void* memory) noexcept { std::free(memory); }

void operator delete(void* memory, size_t) noexcept { std::free(memory); }

bool Refusal::Reads(const std::function<void()>& read) {
  if (inputs == 0) {
    FLAGS_minloglevel = google::GLOG_FATAL;
    google::InstallFailureFunction(Refuse);
    reader = pthread_self();
    std::atexit(Report);
  }
  ++inputs;
  if (setjmp(before_input) == 0) {
    if (Completes(read)) {
      return true;
    }
  }
  ++refused;
  EndIfMemoryIsLost();
  return false;
}
