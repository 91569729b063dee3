// A snapshot's state or model, FUZZED, of format BINARYPROTO.

#include <cstring>
#include <memory>
#include <random>
#include <string>

#include "caffe/proto/caffe.pb.h"
#include "mutate_message.hpp"
#include "snapshot_solver.hpp"

extern "C" size_t LLVMFuzzerMutate(uint8_t* bytes, size_t size, size_t max);

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  WriteSnapshots(FUZZED, false);
  return 0;
}

extern "C" size_t LLVMFuzzerCustomMutator(
    uint8_t* bytes, size_t size, size_t max, unsigned seed) {
  std::mt19937 random(seed);
  std::unique_ptr<google::protobuf::Message> message;
  if (FUZZED == STATE) {
    message.reset(new caffe::SolverState);
  } else {
    message.reset(new caffe::NetParameter);
  }
  if (random() % 8 == 0 || !message->ParsePartialFromArray(bytes, size)) {
    return LLVMFuzzerMutate(bytes, size, max);
  }
  MutateMessage(&random, message.get());
  const std::string changed = message->SerializePartialAsString();
  if (changed.size() > max) {
    return LLVMFuzzerMutate(bytes, size, max);
  }
  std::memcpy(bytes, changed.data(), changed.size());
  return changed.size();
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  ReadAndStep(FUZZED, false, bytes, size);
  return 0;
}
