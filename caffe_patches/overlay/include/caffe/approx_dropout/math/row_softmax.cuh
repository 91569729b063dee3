#ifndef CAFFE_APPROX_DROPOUT_MATH_ROW_SOFTMAX_CUH_
#define CAFFE_APPROX_DROPOUT_MATH_ROW_SOFTMAX_CUH_

#include <cstddef>

#include "caffe/common.hpp"

namespace caffe {

// Softmax of each row of a (rows x columns) matrix and its gradients. One block
// of kRowThreads per row, its threads side by side along the row; all sizes
// above 0 are legal, and all elements of the result are overwritten. The
// result may be one of the operands.

const int kRowThreads = 256;

struct Larger {
  template <typename Dtype>
  __device__ Dtype operator()(Dtype a, Dtype b) const {
    return a < b ? b : a;
  }
};

struct Plus {
  template <typename Dtype>
  __device__ Dtype operator()(Dtype a, Dtype b) const {
    return a + b;
  }
};

// What the block's values combine to, for all of its threads, always in the
// same order. All kRowThreads threads must call it.
template <typename Dtype, typename Combine>
__device__ Dtype OfBlock(Dtype value, Combine combine) {
  __shared__ Dtype values[kRowThreads];
  values[threadIdx.x] = value;
  __syncthreads();
  for (int half = kRowThreads / 2; half > 0; half /= 2) {
    if (threadIdx.x < half) {
      values[threadIdx.x] =
          combine(values[threadIdx.x], values[threadIdx.x + half]);
    }
    __syncthreads();
  }
  const Dtype all = values[0];
  // The next call writes to the same place.
  __syncthreads();
  return all;
}

// y = exp(x - the row's maximum), divided by the row's sum of it.
template <typename Dtype>
__global__ void RowSoftmaxKernel(const Dtype* x, int columns, Dtype* y) {
  x += static_cast<size_t>(blockIdx.x) * columns;
  y += static_cast<size_t>(blockIdx.x) * columns;
  Dtype largest = x[0];
  for (int j = threadIdx.x; j < columns; j += kRowThreads) {
    largest = Larger()(largest, x[j]);
  }
  largest = OfBlock(largest, Larger());
  Dtype sum = 0;
  for (int j = threadIdx.x; j < columns; j += kRowThreads) {
    sum += exp(x[j] - largest);
  }
  sum = OfBlock(sum, Plus());
  for (int j = threadIdx.x; j < columns; j += kRowThreads) {
    y[j] = exp(x[j] - largest) / sum;
  }
}

// dx = y (dy - the row's sum of y dy).
template <typename Dtype>
__global__ void RowSoftmaxGradientKernel(
    const Dtype* y, const Dtype* dy, int columns, Dtype* dx) {
  y += static_cast<size_t>(blockIdx.x) * columns;
  dy += static_cast<size_t>(blockIdx.x) * columns;
  dx += static_cast<size_t>(blockIdx.x) * columns;
  Dtype sum = 0;
  for (int j = threadIdx.x; j < columns; j += kRowThreads) {
    sum += y[j] * dy[j];
  }
  sum = OfBlock(sum, Plus());
  for (int j = threadIdx.x; j < columns; j += kRowThreads) {
    dx[j] = y[j] * (dy[j] - sum);
  }
}

// The gradient of softmax and multinomial logistic loss together:
//   dx = scale (probability - 1 at the row's label),
// or 0 where the row's label is to be ignored.
template <typename Dtype>
__global__ void RowSoftmaxLossGradientKernel(const Dtype* probability,
    const Dtype* labels, bool ignores, int ignored, Dtype scale, int columns,
    Dtype* dx) {
  probability += static_cast<size_t>(blockIdx.x) * columns;
  dx += static_cast<size_t>(blockIdx.x) * columns;
  const int label = static_cast<int>(labels[blockIdx.x]);
  const bool counts = !(ignores && label == ignored);
  for (int j = threadIdx.x; j < columns; j += kRowThreads) {
    dx[j] = counts ? scale * (probability[j] - (j == label)) : Dtype(0);
  }
}

}  // namespace caffe

#endif  // CAFFE_APPROX_DROPOUT_MATH_ROW_SOFTMAX_CUH_
