#ifndef CUDA_EMULATOR_STREAMS_HPP_
#define CUDA_EMULATOR_STREAMS_HPP_

namespace emulator {

// Ends the process if this thread captures a stream: what it does on the device
// meanwhile, but for launches in that stream, would not be in the graph, or is
// an error.
void CheckNotCapturing();

}  // namespace emulator

#endif  // CUDA_EMULATOR_STREAMS_HPP_
