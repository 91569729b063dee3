#include <cblas.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "counts.hpp"
#include "cublas_v2.h"
#include "memory.hpp"

struct EmulatedBlas {
  cudaStream_t stream;
  cublasMath_t mode;
};

namespace {

using emulator::CheckRead;
using emulator::CheckWrite;
using emulator::CountMoves;

#define EMULATOR_BLAS(T, letter)                                               \
  void Gemm(cublasOperation_t trans_a, cublasOperation_t trans_b, int m,       \
      int n, int k, T alpha, const T* A, int lda, const T* B, int ldb, T beta, \
      T* C, int ldc) {                                                         \
    cblas_##letter##gemm(CblasColMajor, trans_a ? CblasTrans : CblasNoTrans,   \
        trans_b ? CblasTrans : CblasNoTrans, m, n, k, alpha, A, lda, B, ldb,   \
        beta, C, ldc);                                                         \
  }                                                                            \
  void Gemv(cublasOperation_t trans, int m, int n, T alpha, const T* A,        \
      int lda, const T* x, int incx, T beta, T* y, int incy) {                 \
    cblas_##letter##gemv(CblasColMajor, trans ? CblasTrans : CblasNoTrans, m,  \
        n, alpha, A, lda, x, incx, beta, y, incy);                             \
  }                                                                            \
  void Axpy(int n, T alpha, const T* x, int incx, T* y, int incy) {            \
    cblas_##letter##axpy(n, alpha, x, incx, y, incy);                          \
  }                                                                            \
  void Scal(int n, T alpha, T* x, int incx) {                                  \
    cblas_##letter##scal(n, alpha, x, incx);                                   \
  }                                                                            \
  T Dot(int n, const T* x, int incx, const T* y, int incy) {                   \
    return cblas_##letter##dot(n, x, incx, y, incy);                           \
  }                                                                            \
  T Asum(int n, const T* x, int incx) {                                        \
    return cblas_##letter##asum(n, x, incx);                                   \
  }
EMULATOR_BLAS(float, s)
EMULATOR_BLAS(double, d)
#undef EMULATOR_BLAS

// Column by column: what lies between them belongs to others.
template <typename T>
void CheckMatrix(
    const T* data, int rows, int columns, int stride, const char* what) {
  if (stride == rows) {
    CheckRead(data, sizeof(T) * rows * columns, what);
    return;
  }
  for (int j = 0; j < columns; ++j) {
    CheckRead(data + static_cast<size_t>(j) * stride, rows * sizeof(T), what);
  }
}

template <typename T>
void CheckResult(
    T* data, int rows, int columns, int stride, bool read, const char* what) {
  if (read) {
    CheckMatrix(data, rows, columns, stride, what);
  }
  if (stride == rows) {
    CheckWrite(data, sizeof(T) * rows * columns, what);
    return;
  }
  for (int j = 0; j < columns; ++j) {
    CheckWrite(data + static_cast<size_t>(j) * stride, rows * sizeof(T), what);
  }
}

// Every incx-th value.
template <typename T>
void CheckVector(const T* x, int n, int incx, const char* what) {
  CheckMatrix(x, 1, n, incx, what);
}

template <typename T>
void CheckVectorResult(T* x, int n, int incx, bool read, const char* what) {
  CheckResult(x, 1, n, incx, read, what);
}

struct GemmShape {
  cublasOperation_t trans_a, trans_b;
  int m, n, k, lda, ldb, ldc;

  int rows_a() const { return trans_a ? k : m; }
  int rows_b() const { return trans_b ? n : k; }
  bool legal() const {
    return m >= 0 && n >= 0 && k >= 0 && lda >= std::max(1, rows_a()) &&
           ldb >= std::max(1, rows_b()) && ldc >= std::max(1, m);
  }
};

// Leading dimensions that are no multiples of 16 bytes cost cuBLAS speed.
template <typename T>
void CountGemm(
    const GemmShape& s, int count, bool shared_a, bool shared_b, T beta) {
  const double c = static_cast<double>(s.m) * s.n * count;
  const double a = static_cast<double>(s.m) * s.k * (shared_a ? 1 : count);
  const double b = static_cast<double>(s.k) * s.n * (shared_b ? 1 : count);
  emulator::Work work;
  work.launches = 1;
  work.flops = 2 * c * s.k;
  work.read_bytes = sizeof(T) * (a + b + (beta == 0 ? 0 : c));
  work.written_bytes = sizeof(T) * c;
  const size_t words = 16 / sizeof(T);
  const bool aligned =
      s.lda % words == 0 && s.ldb % words == 0 && s.ldc % words == 0;
  const std::string name = std::string(sizeof(T) == 4 ? "Sgemm" : "Dgemm") +
                           (s.trans_a ? " T" : " N") + (s.trans_b ? "T" : "N");
  emulator::Count("gemm", name,
      ", \"m\": " + std::to_string(s.m) + ", \"n\": " + std::to_string(s.n) +
          ", \"k\": " + std::to_string(s.k) +
          ", \"batch\": " + std::to_string(count) +
          ", \"aligned\": " + (aligned ? "true" : "false"),
      work);
}

bool in_bfloat16 = false;  // the products of this call

// To the nearest, of two as near to the even one.
float ToBfloat16(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof(bits));
  bits += 0x7fff + (bits >> 16 & 1);
  bits &= 0xffff0000;
  memcpy(&value, &bits, sizeof(bits));
  return value;
}

// A matrix of factors in bfloat16, columns as far apart as before.
template <typename T>
const T* Rounded(
    const T* data, int stride, int columns, int rows, std::vector<T>* memory) {
  memory->resize(static_cast<size_t>(stride) * columns);
  for (int j = 0; j < columns; ++j) {
    const size_t first = static_cast<size_t>(j) * stride;
    std::transform(
        data + first, data + first + rows, memory->data() + first, ToBfloat16);
  }
  return memory->data();
}

template <typename T>
void CheckedGemm(
    const GemmShape& s, T alpha, const T* A, const T* B, T beta, T* C) {
  if (s.m == 0 || s.n == 0) {
    return;
  }
  CheckMatrix(A, s.rows_a(), s.trans_a ? s.m : s.k, s.lda, "A of a GEMM");
  CheckMatrix(B, s.rows_b(), s.trans_b ? s.k : s.n, s.ldb, "B of a GEMM");
  CheckResult(C, s.m, s.n, s.ldc, beta != 0, "C of a GEMM");
  std::vector<T> rounded_a, rounded_b;
  if (in_bfloat16) {
    A = Rounded(A, s.lda, s.trans_a ? s.m : s.k, s.rows_a(), &rounded_a);
    B = Rounded(B, s.ldb, s.trans_b ? s.k : s.n, s.rows_b(), &rounded_b);
  }
  Gemm(s.trans_a, s.trans_b, s.m, s.n, s.k, alpha, A, s.lda, B, s.ldb, beta, C,
      s.ldc);
}

}  // namespace

extern "C" {

cublasStatus_t cublasCreate(cublasHandle_t* handle) {
  *handle = new EmulatedBlas();
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasDestroy(cublasHandle_t handle) {
  delete handle;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasGetStream(cublasHandle_t handle, cudaStream_t* stream) {
  *stream = handle->stream;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetStream(cublasHandle_t handle, cudaStream_t stream) {
  handle->stream = stream;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetMathMode(cublasHandle_t handle, cublasMath_t mode) {
  handle->mode = mode;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasGetMathMode(cublasHandle_t handle, cublasMath_t* mode) {
  *mode = handle->mode;
  return CUBLAS_STATUS_SUCCESS;
}

#define EMULATOR_CUBLAS(T, letter)                                             \
  cublasStatus_t cublas##letter##gemmStridedBatched(cublasHandle_t,            \
      cublasOperation_t trans_a, cublasOperation_t trans_b, int m, int n,      \
      int k, const T* alpha, const T* A, int lda, long long stride_a,          \
      const T* B, int ldb, long long stride_b, const T* beta, T* C, int ldc,   \
      long long stride_c, int count) {                                         \
    const GemmShape shape = {trans_a, trans_b, m, n, k, lda, ldb, ldc};        \
    if (!shape.legal() || count < 0) {                                         \
      return CUBLAS_STATUS_INVALID_VALUE;                                      \
    }                                                                          \
    CountGemm(shape, count, stride_a == 0, stride_b == 0, *beta);              \
    if (emulator::Profiling()) {                                               \
      return CUBLAS_STATUS_SUCCESS;                                            \
    }                                                                          \
    const emulator::DeviceAccess access;                                       \
    for (int i = 0; i < count; ++i) {                                          \
      CheckedGemm(shape, *alpha, A + i * stride_a, B + i * stride_b, *beta,    \
          C + i * stride_c);                                                   \
    }                                                                          \
    return CUBLAS_STATUS_SUCCESS;                                              \
  }                                                                            \
  cublasStatus_t cublas##letter##gemm(cublasHandle_t handle,                   \
      cublasOperation_t trans_a, cublasOperation_t trans_b, int m, int n,      \
      int k, const T* alpha, const T* A, int lda, const T* B, int ldb,         \
      const T* beta, T* C, int ldc) {                                          \
    return cublas##letter##gemmStridedBatched(handle, trans_a, trans_b, m, n,  \
        k, alpha, A, lda, 0, B, ldb, 0, beta, C, ldc, 0, 1);                   \
  }                                                                            \
  cublasStatus_t cublas##letter##gemv(cublasHandle_t, cublasOperation_t trans, \
      int m, int n, const T* alpha, const T* A, int lda, const T* x, int incx, \
      const T* beta, T* y, int incy) {                                         \
    if (m < 0 || n < 0 || lda < std::max(1, m)) {                              \
      return CUBLAS_STATUS_INVALID_VALUE;                                      \
    }                                                                          \
    const emulator::DeviceAccess access;                                       \
    CheckMatrix(A, m, n, lda, "A of a GEMV");                                  \
    CheckVector(x, trans ? m : n, incx, "x of a GEMV");                        \
    CheckVectorResult(y, trans ? n : m, incy, *beta != 0, "y of a GEMV");      \
    CountMoves("cublas" #letter "gemv",                                        \
        sizeof(T) * (size_t(m) * n + (trans ? m : n)),                         \
        sizeof(T) * (trans ? n : m));                                          \
    Gemv(trans, m, n, *alpha, A, lda, x, incx, *beta, y, incy);                \
    return CUBLAS_STATUS_SUCCESS;                                              \
  }                                                                            \
  cublasStatus_t cublas##letter##axpy(cublasHandle_t, int n, const T* alpha,   \
      const T* x, int incx, T* y, int incy) {                                  \
    const emulator::DeviceAccess access;                                       \
    CheckVector(x, n, incx, "x of an AXPY");                                   \
    CheckVectorResult(y, n, incy, true, "y of an AXPY");                       \
    CountMoves("cublas" #letter "axpy", 2 * n * sizeof(T), n * sizeof(T));     \
    Axpy(n, *alpha, x, incx, y, incy);                                         \
    return CUBLAS_STATUS_SUCCESS;                                              \
  }                                                                            \
  cublasStatus_t cublas##letter##scal(                                         \
      cublasHandle_t, int n, const T* alpha, T* x, int incx) {                 \
    const emulator::DeviceAccess access;                                       \
    CheckVectorResult(x, n, incx, true, "x of a SCAL");                        \
    CountMoves("cublas" #letter "scal", n * sizeof(T), n * sizeof(T));         \
    Scal(n, *alpha, x, incx);                                                  \
    return CUBLAS_STATUS_SUCCESS;                                              \
  }                                                                            \
  cublasStatus_t cublas##letter##copy(                                         \
      cublasHandle_t, int n, const T* x, int incx, T* y, int incy) {           \
    const emulator::DeviceAccess access;                                       \
    CheckVector(x, n, incx, "x of a COPY");                                    \
    CheckVectorResult(y, n, incy, false, "y of a COPY");                       \
    CountMoves("cublas" #letter "copy", n * sizeof(T), n * sizeof(T));         \
    for (int i = 0; i < n; ++i) {                                              \
      y[i * incy] = x[i * incx];                                               \
    }                                                                          \
    return CUBLAS_STATUS_SUCCESS;                                              \
  }                                                                            \
  cublasStatus_t cublas##letter##dot(cublasHandle_t, int n, const T* x,        \
      int incx, const T* y, int incy, T* result) {                             \
    const emulator::DeviceAccess access;                                       \
    CheckVector(x, n, incx, "x of a DOT");                                     \
    CheckVector(y, n, incy, "y of a DOT");                                     \
    CountMoves("cublas" #letter "dot", 2 * n * sizeof(T), 0);                  \
    emulator::CountCall("wait", "cublas" #letter "dot");                       \
    *result = Dot(n, x, incx, y, incy);                                        \
    return CUBLAS_STATUS_SUCCESS;                                              \
  }                                                                            \
  cublasStatus_t cublas##letter##asum(                                         \
      cublasHandle_t, int n, const T* x, int incx, T* result) {                \
    const emulator::DeviceAccess access;                                       \
    CheckVector(x, n, incx, "x of an ASUM");                                   \
    CountMoves("cublas" #letter "asum", n * sizeof(T), 0);                     \
    emulator::CountCall("wait", "cublas" #letter "asum");                      \
    *result = Asum(n, x, incx);                                                \
    return CUBLAS_STATUS_SUCCESS;                                              \
  }
EMULATOR_CUBLAS(float, S)
EMULATOR_CUBLAS(double, D)
#undef EMULATOR_CUBLAS

cublasStatus_t cublasGemmStridedBatchedEx(cublasHandle_t handle,
    cublasOperation_t trans_a, cublasOperation_t trans_b, int m, int n, int k,
    const void* alpha, const void* A, cudaDataType, int lda, long long stride_a,
    const void* B, cudaDataType, int ldb, long long stride_b, const void* beta,
    void* C, cudaDataType, int ldc, long long stride_c, int count,
    cublasComputeType_t, cublasGemmAlgo_t) {
  in_bfloat16 = true;
  const cublasStatus_t status = cublasSgemmStridedBatched(handle, trans_a,
      trans_b, m, n, k, static_cast<const float*>(alpha),
      static_cast<const float*>(A), lda, stride_a, static_cast<const float*>(B),
      ldb, stride_b, static_cast<const float*>(beta), static_cast<float*>(C),
      ldc, stride_c, count);
  in_bfloat16 = false;
  return status;
}

cublasStatus_t cublasGemmEx(cublasHandle_t handle, cublasOperation_t trans_a,
    cublasOperation_t trans_b, int m, int n, int k, const void* alpha,
    const void* A, cudaDataType type_a, int lda, const void* B,
    cudaDataType type_b, int ldb, const void* beta, void* C,
    cudaDataType type_c, int ldc, cublasComputeType_t compute,
    cublasGemmAlgo_t algorithm) {
  return cublasGemmStridedBatchedEx(handle, trans_a, trans_b, m, n, k, alpha, A,
      type_a, lda, 0, B, type_b, ldb, 0, beta, C, type_c, ldc, 0, 1, compute,
      algorithm);
}
}
