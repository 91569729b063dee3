#ifndef CAFFE_APPROX_DROPOUT_MATH_LAUNCH_GRAPH_HPP_
#define CAFFE_APPROX_DROPOUT_MATH_LAUNCH_GRAPH_HPP_

#ifndef CPU_ONLY

#include "caffe/common.hpp"

namespace caffe {

/// @brief Kernel launches as one CUDA graph, which takes the host a single
///        launch. They are captured in a stream of their own, as nothing can be
///        in the default stream, which all of Caffe works in; the graph is
///        launched in the default stream, in turn with everything else.
class LaunchGraph {
 public:
  LaunchGraph() : graph_(NULL), stream_(NULL), refused_(false) {}
  ~LaunchGraph() { Clear(); }

  bool captured() const { return graph_ != NULL; }
  /// @brief Whether this device or its driver captures nothing.
  bool refused() const { return refused_; }
  void Clear();
  /// @brief What is launched in the stream from here to End() is captured, and
  ///        does not run. In between this thread uses the device for nothing
  ///        else. NULL if nothing can be captured.
  cudaStream_t Begin();
  void End();
  void Launch() const;

 private:
  bool Accepts(cudaError_t error);

  cudaGraphExec_t graph_;
  cudaStream_t stream_;  // while launches are captured
  bool refused_;

  DISABLE_COPY_AND_ASSIGN(LaunchGraph);
};

/// @brief Launches that a function makes, again and again, from arguments that
///        rarely change. From the second time on that they are the same it is a
///        graph; arguments that change each time never cost a capture.
template <typename Arguments>
class RepeatedLaunches {
 public:
  typedef void (*Function)(const Arguments& arguments, cudaStream_t stream);

  RepeatedLaunches() : arguments_() {}

  /// @brief The same function each time. It launches kernels in the stream, and
  ///        does nothing else with the device.
  void Run(Function function, const Arguments& arguments) {
    if (!(arguments == arguments_)) {
      graph_.Clear();
      arguments_ = arguments;
    } else if (!graph_.captured() && !graph_.refused()) {
      if (cudaStream_t stream = graph_.Begin()) {
        function(arguments, stream);
        graph_.End();
      }
    }
    if (graph_.captured()) {
      graph_.Launch();
    } else {
      function(arguments, NULL);
    }
  }

 private:
  Arguments arguments_;  // the last
  LaunchGraph graph_;

  DISABLE_COPY_AND_ASSIGN(RepeatedLaunches);
};

}  // namespace caffe

#endif  // CPU_ONLY

#endif  // CAFFE_APPROX_DROPOUT_MATH_LAUNCH_GRAPH_HPP_
