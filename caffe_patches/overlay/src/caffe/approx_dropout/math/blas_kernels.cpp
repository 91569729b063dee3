#include "caffe/approx_dropout/math/blas_kernels.hpp"

#include <glog/logging.h>
#include <limits.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

// Other libraries of BLAS have no such function.
extern "C" char* openblas_get_corename() __attribute__((weak));

namespace caffe {

namespace {

const char kVariable[] = "OPENBLAS_CORETYPE";

// The arguments that this program was started with; glog and others have
// changed main's.
std::vector<std::string> Arguments() {
  std::ifstream file("/proc/self/cmdline", std::ios::binary);
  std::vector<std::string> arguments;
  for (std::string argument; std::getline(file, argument, '\0');) {
    arguments.push_back(argument);
  }
  return arguments;
}

}  // namespace

const char* MissingBlasKernels() {
#if defined(__x86_64__)
  if (!openblas_get_corename || std::getenv(kVariable) ||
      std::string(openblas_get_corename()) != "Prescott") {
    return NULL;
  }
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512vl")) {
    return "SkylakeX";
  }
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    return "Haswell";
  }
#endif
  return NULL;
}

void RestartWithBlasKernels() {
  const char* kernels = MissingBlasKernels();
  if (!kernels) {
    return;
  }
  std::vector<std::string> arguments = Arguments();
  std::vector<char*> argv;
  for (std::string& argument : arguments) {
    argv.push_back(&argument[0]);
  }
  argv.push_back(NULL);
  setenv(kVariable, kernels, 1);
  // Not the link itself, which would become the name that `ps` shows.
  char program[PATH_MAX] = {};
  if (readlink("/proc/self/exe", program, sizeof(program) - 1) > 0) {
    execv(program, argv.data());
  }
  // Where that is not allowed, it goes on, only slower.
  unsetenv(kVariable);
}

void WarnOfBlasKernels() {
  const char* kernels = MissingBlasKernels();
  if (!kernels) {
    return;
  }
  LOG_FIRST_N(WARNING, 1)
      << "OpenBLAS does not know this processor, and multiplies as for one of "
      << "2004, several times slower than it could. Set " << kVariable << "="
      << kernels << " before this program starts.";
}

}  // namespace caffe
