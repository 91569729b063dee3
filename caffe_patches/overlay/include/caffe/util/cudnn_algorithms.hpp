#ifndef CAFFE_UTIL_CUDNN_ALGORITHMS_HPP_
#define CAFFE_UTIL_CUDNN_ALGORITHMS_HPP_

#include <cudnn.h>

/**
 * The calls that cuDNN 8 removed, by those that took their place: the choice
 * of the fastest algorithm of a convolution whose workspace is no larger than
 * memory_limit bytes. cuDNN estimates the times; nothing is run.
 */
#if CUDNN_VERSION >= 8000

namespace caffe {

enum { CUDNN_CONVOLUTION_FWD_SPECIFY_WORKSPACE_LIMIT };
enum { CUDNN_CONVOLUTION_BWD_FILTER_SPECIFY_WORKSPACE_LIMIT };
enum { CUDNN_CONVOLUTION_BWD_DATA_SPECIFY_WORKSPACE_LIMIT };

// The first of the algorithms, fastest first, that is within the limit.
template <typename Perf, typename Algo>
inline cudnnStatus_t FirstWithin(size_t memory_limit, const Perf* found,
    int count, Algo* algo) {
  for (int i = 0; i < count; ++i) {
    if (found[i].status == CUDNN_STATUS_SUCCESS &&
        found[i].memory <= memory_limit) {
      *algo = found[i].algo;
      return CUDNN_STATUS_SUCCESS;
    }
  }
  return CUDNN_STATUS_NOT_SUPPORTED;
}

inline cudnnStatus_t cudnnGetConvolutionForwardAlgorithm(cudnnHandle_t handle,
    cudnnTensorDescriptor_t bottom, cudnnFilterDescriptor_t filter,
    cudnnConvolutionDescriptor_t convolution, cudnnTensorDescriptor_t top,
    int /* preference */, size_t memory_limit,
    cudnnConvolutionFwdAlgo_t* algo) {
  cudnnConvolutionFwdAlgoPerf_t found[CUDNN_CONVOLUTION_FWD_ALGO_COUNT];
  int count = 0;
  const cudnnStatus_t status = cudnnGetConvolutionForwardAlgorithm_v7(handle,
      bottom, filter, convolution, top, CUDNN_CONVOLUTION_FWD_ALGO_COUNT,
      &count, found);
  return status == CUDNN_STATUS_SUCCESS ?
      FirstWithin(memory_limit, found, count, algo) : status;
}

inline cudnnStatus_t cudnnGetConvolutionBackwardFilterAlgorithm(
    cudnnHandle_t handle, cudnnTensorDescriptor_t bottom,
    cudnnTensorDescriptor_t top, cudnnConvolutionDescriptor_t convolution,
    cudnnFilterDescriptor_t filter, int /* preference */, size_t memory_limit,
    cudnnConvolutionBwdFilterAlgo_t* algo) {
  cudnnConvolutionBwdFilterAlgoPerf_t
      found[CUDNN_CONVOLUTION_BWD_FILTER_ALGO_COUNT];
  int count = 0;
  const cudnnStatus_t status = cudnnGetConvolutionBackwardFilterAlgorithm_v7(
      handle, bottom, top, convolution, filter,
      CUDNN_CONVOLUTION_BWD_FILTER_ALGO_COUNT, &count, found);
  return status == CUDNN_STATUS_SUCCESS ?
      FirstWithin(memory_limit, found, count, algo) : status;
}

inline cudnnStatus_t cudnnGetConvolutionBackwardDataAlgorithm(
    cudnnHandle_t handle, cudnnFilterDescriptor_t filter,
    cudnnTensorDescriptor_t top, cudnnConvolutionDescriptor_t convolution,
    cudnnTensorDescriptor_t bottom, int /* preference */, size_t memory_limit,
    cudnnConvolutionBwdDataAlgo_t* algo) {
  cudnnConvolutionBwdDataAlgoPerf_t
      found[CUDNN_CONVOLUTION_BWD_DATA_ALGO_COUNT];
  int count = 0;
  const cudnnStatus_t status = cudnnGetConvolutionBackwardDataAlgorithm_v7(
      handle, filter, top, convolution, bottom,
      CUDNN_CONVOLUTION_BWD_DATA_ALGO_COUNT, &count, found);
  return status == CUDNN_STATUS_SUCCESS ?
      FirstWithin(memory_limit, found, count, algo) : status;
}

}  // namespace caffe

#endif  // CUDNN_VERSION >= 8000
#endif  // CAFFE_UTIL_CUDNN_ALGORITHMS_HPP_
