#include "streams.hpp"

#include <utility>
#include <vector>

#include "counts.hpp"
#include "cuda_emulator/thread.hpp"
#include "report.hpp"
#include "warps.hpp"

struct EmulatedGraph {
  std::vector<std::function<void()>> launches;
};

struct EmulatedStream {
  unsigned flags;
  EmulatedGraph* captured;  // NULL unless it is captured
};

namespace emulator {

namespace {

thread_local cudaStream_t capturing = nullptr;

}  // namespace

bool IsCaptured(cudaStream_t stream) { return stream && stream->captured; }

void Record(cudaStream_t stream, std::function<void()> launch) {
  stream->captured->launches.push_back(std::move(launch));
}

void CheckNotCapturing() {
  if (capturing) {
    Fail("a thread that captures a stream uses the device");
  }
}

}  // namespace emulator

using emulator::capturing;
using emulator::Fail;

extern "C" {

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  *stream = new EmulatedStream{flags, nullptr};
  return cudaSuccess;
}

cudaError_t cudaStreamCreate(cudaStream_t* stream) {
  return cudaStreamCreateWithFlags(stream, cudaStreamDefault);
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  if (stream->captured) {
    Fail("cudaStreamDestroy of a stream that is captured");
  }
  delete stream;
  return cudaSuccess;
}

// A stream that waits for the default stream would make each use of that, by
// any thread, an error.
cudaError_t cudaStreamBeginCapture(
    cudaStream_t stream, cudaStreamCaptureMode mode) {
  if (!stream || capturing || stream->captured ||
      stream->flags != cudaStreamNonBlocking ||
      mode != cudaStreamCaptureModeThreadLocal) {
    return cudaErrorStreamCaptureUnsupported;
  }
  stream->captured = new EmulatedGraph();
  capturing = stream;
  return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  if (capturing != stream || !stream) {
    return cudaErrorInvalidValue;
  }
  *graph = stream->captured;
  stream->captured = nullptr;
  capturing = nullptr;
  return cudaSuccess;
}

cudaError_t cudaGraphInstantiateWithFlags(cudaGraphExec_t* executable,
    cudaGraph_t graph, unsigned long long) {  // NOLINT(runtime/int)
  *executable = new EmulatedGraph(*graph);
  return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t) {
  emulator::CheckNotCapturing();
  emulator::CountCall("graph", "cudaGraphLaunch", executable->launches.size());
  emulator::BeginCountedGraph();
  for (const std::function<void()>& launch : executable->launches) {
    launch();
  }
  emulator::EndCountedGraph();
  return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
  delete executable;
  return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return cudaSuccess;
}
}
