#ifndef CUDA_EMULATOR_SHUFFLE_HPP_
#define CUDA_EMULATOR_SHUFFLE_HPP_

#include <cstddef>
#include <vector>

namespace emulator {

// A lane's part of a shuffle among `lanes`, a bit for each lane of its warp.
struct Exchange {
  int line;  // in the source, by which shuffles are told apart
  unsigned lanes;
  unsigned source;  // the lane whose value this one gets
  void* value;      // its own, then the source's
  size_t size;
  const void* call;
};

// The thread that runs waits for the other lanes.
void BeginShuffle(const Exchange& exchange);

// The threads whose shuffles are complete since the last call, in ascending
// order. If there are none, though some wait and no others run, that is noted.
std::vector<unsigned> TakeShuffled();

}  // namespace emulator

#endif  // CUDA_EMULATOR_SHUFFLE_HPP_
