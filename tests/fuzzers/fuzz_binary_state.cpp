// A solver state of format BINARYPROTO.

#include <cstring>
#include <random>
#include <string>

#include "caffe/proto/caffe.pb.h"
#include "mutate_message.hpp"
#include "state_solver.hpp"

extern "C" size_t LLVMFuzzerMutate(uint8_t* bytes, size_t size, size_t max);

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  WriteStates(false);
  return 0;
}

extern "C" size_t LLVMFuzzerCustomMutator(
    uint8_t* bytes, size_t size, size_t max, unsigned seed) {
  std::mt19937 random(seed);
  caffe::SolverState state;
  if (random() % 8 == 0 || !state.ParseFromArray(bytes, size)) {
    return LLVMFuzzerMutate(bytes, size, max);
  }
  MutateMessage(&random, &state);
  const std::string changed = state.SerializeAsString();
  if (changed.size() > max) {
    return LLVMFuzzerMutate(bytes, size, max);
  }
  std::memcpy(bytes, changed.data(), changed.size());
  return changed.size();
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  RestoreAndStep(false, bytes, size);
  return 0;
}
