// A snapshot's state or model, FUZZED, of format HDF5.

#include "mutate_hdf5.hpp"
#include "snapshot_solver.hpp"

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  WriteSnapshots(FUZZED, true);
  return 0;
}

extern "C" size_t LLVMFuzzerCustomMutator(
    uint8_t* bytes, size_t size, size_t max, unsigned seed) {
  return MutateHDF5(bytes, size, max, seed);
}

extern "C" size_t LLVMFuzzerCustomCrossOver(const uint8_t*, size_t,
    const uint8_t*, size_t, uint8_t*, size_t, unsigned) {
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  ReadAndStep(FUZZED, true, bytes, size);
  return 0;
}
