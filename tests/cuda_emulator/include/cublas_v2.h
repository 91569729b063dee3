#ifndef CUDA_EMULATOR_CUBLAS_V2_H_
#define CUDA_EMULATOR_CUBLAS_V2_H_

// What Caffe and our layers use of cuBLAS, by OpenBLAS.

#include "cuda_runtime.h"

enum cublasStatus_t {
  CUBLAS_STATUS_SUCCESS = 0,
  CUBLAS_STATUS_NOT_INITIALIZED = 1,
  CUBLAS_STATUS_ALLOC_FAILED = 3,
  CUBLAS_STATUS_INVALID_VALUE = 7,
  CUBLAS_STATUS_ARCH_MISMATCH = 8,
  CUBLAS_STATUS_MAPPING_ERROR = 11,
  CUBLAS_STATUS_EXECUTION_FAILED = 13,
  CUBLAS_STATUS_INTERNAL_ERROR = 14,
  CUBLAS_STATUS_NOT_SUPPORTED = 15,
  CUBLAS_STATUS_LICENSE_ERROR = 16
};

enum cublasOperation_t { CUBLAS_OP_N = 0, CUBLAS_OP_T = 1 };
enum cublasMath_t { CUBLAS_DEFAULT_MATH = 0, CUBLAS_TF32_TENSOR_OP_MATH = 3 };
enum cudaDataType { CUDA_R_32F = 0 };
enum cublasComputeType_t { CUBLAS_COMPUTE_32F_FAST_16BF = 75 };
enum cublasGemmAlgo_t { CUBLAS_GEMM_DEFAULT = -1 };

typedef struct EmulatedBlas* cublasHandle_t;

extern "C" {
cublasStatus_t cublasCreate(cublasHandle_t* handle);
cublasStatus_t cublasDestroy(cublasHandle_t handle);
cublasStatus_t cublasGetStream(cublasHandle_t handle, cudaStream_t* stream);
cublasStatus_t cublasSetStream(cublasHandle_t handle, cudaStream_t stream);
cublasStatus_t cublasSetMathMode(cublasHandle_t handle, cublasMath_t mode);
cublasStatus_t cublasGetMathMode(cublasHandle_t handle, cublasMath_t* mode);

cublasStatus_t cublasGemmStridedBatchedEx(cublasHandle_t handle,
    cublasOperation_t trans_a, cublasOperation_t trans_b, int m, int n, int k,
    const void* alpha, const void* A, cudaDataType type_a, int lda,
    long long stride_a, const void* B, cudaDataType type_b, int ldb,
    long long stride_b, const void* beta, void* C, cudaDataType type_c, int ldc,
    long long stride_c, int count, cublasComputeType_t compute,
    cublasGemmAlgo_t algorithm);
cublasStatus_t cublasGemmEx(cublasHandle_t handle, cublasOperation_t trans_a,
    cublasOperation_t trans_b, int m, int n, int k, const void* alpha,
    const void* A, cudaDataType type_a, int lda, const void* B,
    cudaDataType type_b, int ldb, const void* beta, void* C,
    cudaDataType type_c, int ldc, cublasComputeType_t compute,
    cublasGemmAlgo_t algorithm);

#define EMULATOR_DECLARE_BLAS(T, letter) \
cublasStatus_t cublas##letter##gemm(cublasHandle_t handle, \
    cublasOperation_t trans_a, cublasOperation_t trans_b, int m, int n, \
    int k, const T* alpha, const T* A, int lda, const T* B, int ldb, \
    const T* beta, T* C, int ldc); \
cublasStatus_t cublas##letter##gemmStridedBatched(cublasHandle_t handle, \
    cublasOperation_t trans_a, cublasOperation_t trans_b, int m, int n, \
    int k, const T* alpha, const T* A, int lda, long long stride_a, \
    const T* B, int ldb, long long stride_b, const T* beta, T* C, int ldc, \
    long long stride_c, int count); \
cublasStatus_t cublas##letter##gemv(cublasHandle_t handle, \
    cublasOperation_t trans, int m, int n, const T* alpha, const T* A, \
    int lda, const T* x, int incx, const T* beta, T* y, int incy); \
cublasStatus_t cublas##letter##axpy(cublasHandle_t handle, int n, \
    const T* alpha, const T* x, int incx, T* y, int incy); \
cublasStatus_t cublas##letter##scal(cublasHandle_t handle, int n, \
    const T* alpha, T* x, int incx); \
cublasStatus_t cublas##letter##copy(cublasHandle_t handle, int n, \
    const T* x, int incx, T* y, int incy); \
cublasStatus_t cublas##letter##dot(cublasHandle_t handle, int n, \
    const T* x, int incx, const T* y, int incy, T* result); \
cublasStatus_t cublas##letter##asum(cublasHandle_t handle, int n, \
    const T* x, int incx, T* result);
EMULATOR_DECLARE_BLAS(float, S)
EMULATOR_DECLARE_BLAS(double, D)
#undef EMULATOR_DECLARE_BLAS
}

#endif  // CUDA_EMULATOR_CUBLAS_V2_H_
