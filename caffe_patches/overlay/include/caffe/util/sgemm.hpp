#ifndef CAFFE_UTIL_SGEMM_HPP_
#define CAFFE_UTIL_SGEMM_HPP_

#ifndef CPU_ONLY

#include "caffe/common.hpp"

namespace caffe {

// cuBLAS's functions of these names, or the same in bfloat16 if
// CAFFE_ALLOW_BF16=1 was set at the first call: float32 factors are rounded to
// bfloat16, with 7 bits of mantissa, on tensor cores; sums and what lies in
// memory stay float32. cuBLAS has no math mode for it, as it has for TF32.

cublasStatus_t Sgemm(cublasHandle_t handle, cublasOperation_t trans_a,
    cublasOperation_t trans_b, int m, int n, int k, const float* alpha,
    const float* A, int lda, const float* B, int ldb, const float* beta,
    float* C, int ldc);

typedef long long BatchDistance;  // NOLINT(runtime/int): cuBLAS's type

cublasStatus_t SgemmStridedBatched(cublasHandle_t handle,
    cublasOperation_t trans_a, cublasOperation_t trans_b, int m, int n, int k,
    const float* alpha, const float* A, int lda, BatchDistance distance_a,
    const float* B, int ldb, BatchDistance distance_b, const float* beta,
    float* C, int ldc, BatchDistance distance_c, int count);

}  // namespace caffe

#endif  // CPU_ONLY

#endif  // CAFFE_UTIL_SGEMM_HPP_
