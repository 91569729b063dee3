#include "caffe/approx_dropout/math/launch_graph.hpp"

#ifndef CPU_ONLY

namespace caffe {

void LaunchGraph::Clear() {
  if (graph_) {
    cudaGraphExecDestroy(graph_);
  }
  graph_ = NULL;
}

bool LaunchGraph::Accepts(cudaError_t error) {
  if (error == cudaSuccess) {
    return true;
  }
  LOG(INFO) << "No CUDA graph of the steps: " << cudaGetErrorString(error)
            << ". They are launched one by one";
  cudaGetLastError();  // forgotten
  refused_ = true;
  return false;
}

// The stream does not wait for the default stream, nor this one for it: that
// would be an error while it is captured. Other threads may go on to allocate.
cudaStream_t LaunchGraph::Begin() {
  CHECK(!graph_ && !stream_);
  CUDA_CHECK(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking));
  if (!Accepts(
          cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal))) {
    CUDA_CHECK(cudaStreamDestroy(stream_));
    stream_ = NULL;
  }
  return stream_;
}

void LaunchGraph::End() {
  CHECK(stream_);
  cudaGraph_t captured = NULL;
  if (Accepts(cudaStreamEndCapture(stream_, &captured)) &&
      !Accepts(cudaGraphInstantiateWithFlags(&graph_, captured, 0))) {
    graph_ = NULL;
  }
  if (captured) {
    CUDA_CHECK(cudaGraphDestroy(captured));
  }
  CUDA_CHECK(cudaStreamDestroy(stream_));
  stream_ = NULL;
}

void LaunchGraph::Launch() const { CUDA_CHECK(cudaGraphLaunch(graph_, 0)); }

}  // namespace caffe

#endif  // CPU_ONLY
