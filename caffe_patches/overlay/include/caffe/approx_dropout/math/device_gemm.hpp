#ifndef CAFFE_APPROX_DROPOUT_MATH_DEVICE_GEMM_HPP_
#define CAFFE_APPROX_DROPOUT_MATH_DEVICE_GEMM_HPP_

#include "caffe/util/math_functions.hpp"

namespace caffe {

/// @brief Row-major matrices of one size: rows are `stride` elements apart,
///        each matrix begins `distance` after the one before.
template <typename Dtype>
struct MatrixBatch {
  Dtype* data;
  int stride;
  long long distance;  // NOLINT(runtime/int): cuBLAS's type
};

#ifndef CPU_ONLY
/// @brief On the GPU, for each of `count` matrices of every operand:
///        C = alpha op(A) op(B) + beta C; C is (M x N), op(A) (M x K).
template <typename Dtype>
void DeviceGemm(CBLAS_TRANSPOSE trans_a, CBLAS_TRANSPOSE trans_b, int M, int N,
    int K, Dtype alpha, const MatrixBatch<const Dtype>& A,
    const MatrixBatch<const Dtype>& B, Dtype beta, const MatrixBatch<Dtype>& C,
    int count);
#endif

}  // namespace caffe

#endif  // CAFFE_APPROX_DROPOUT_MATH_DEVICE_GEMM_HPP_
