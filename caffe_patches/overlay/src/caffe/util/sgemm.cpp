#ifndef CPU_ONLY

#include "caffe/util/sgemm.hpp"

#include <stdlib.h>

#include <string>

namespace caffe {

static bool AllowsBF16() {
  static const char* const variable = getenv("CAFFE_ALLOW_BF16");
  static const bool allowed = variable && std::string(variable) == "1";
  if (allowed) {
    LOG_FIRST_N(INFO, 1)
        << "CAFFE_ALLOW_BF16=1: products of float32 matrices are computed in "
        << "bfloat16, with 7 bits of mantissa";
  }
  return allowed;
}

cublasStatus_t Sgemm(cublasHandle_t handle, cublasOperation_t trans_a,
    cublasOperation_t trans_b, int m, int n, int k, const float* alpha,
    const float* A, int lda, const float* B, int ldb, const float* beta,
    float* C, int ldc) {
  if (!AllowsBF16()) {
    return cublasSgemm(
        handle, trans_a, trans_b, m, n, k, alpha, A, lda, B, ldb, beta, C, ldc);
  }
  return cublasGemmEx(handle, trans_a, trans_b, m, n, k, alpha, A, CUDA_R_32F,
      lda, B, CUDA_R_32F, ldb, beta, C, CUDA_R_32F, ldc,
      CUBLAS_COMPUTE_32F_FAST_16BF, CUBLAS_GEMM_DEFAULT);
}

cublasStatus_t SgemmStridedBatched(cublasHandle_t handle,
    cublasOperation_t trans_a, cublasOperation_t trans_b, int m, int n, int k,
    const float* alpha, const float* A, int lda, BatchDistance distance_a,
    const float* B, int ldb, BatchDistance distance_b, const float* beta,
    float* C, int ldc, BatchDistance distance_c, int count) {
  if (!AllowsBF16()) {
    return cublasSgemmStridedBatched(handle, trans_a, trans_b, m, n, k, alpha,
        A, lda, distance_a, B, ldb, distance_b, beta, C, ldc, distance_c,
        count);
  }
  return cublasGemmStridedBatchedEx(handle, trans_a, trans_b, m, n, k, alpha, A,
      CUDA_R_32F, lda, distance_a, B, CUDA_R_32F, ldb, distance_b, beta, C,
      CUDA_R_32F, ldc, distance_c, count, CUBLAS_COMPUTE_32F_FAST_16BF,
      CUBLAS_GEMM_DEFAULT);
}

}  // namespace caffe

#endif  // CPU_ONLY
