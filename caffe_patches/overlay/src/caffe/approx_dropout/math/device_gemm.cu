#include "caffe/approx_dropout/math/device_gemm.hpp"
#include "caffe/common.hpp"
#include "caffe/util/sgemm.hpp"

namespace caffe {

namespace {

cublasOperation_t Operation(CBLAS_TRANSPOSE trans) {
  return trans == CblasNoTrans ? CUBLAS_OP_N : CUBLAS_OP_T;
}

}  // namespace

// cuBLAS is column major: C' = op(B)' op(A)'. One product is not a batch for
// it: it may then split K among more blocks of threads.
template <>
void DeviceGemm(CBLAS_TRANSPOSE trans_a, CBLAS_TRANSPOSE trans_b, int M, int N,
    int K, float alpha, const MatrixBatch<const float>& A,
    const MatrixBatch<const float>& B, float beta, const MatrixBatch<float>& C,
    int count) {
  const cublasHandle_t handle = Caffe::cublas_handle();
  const cublasOperation_t a = Operation(trans_a);
  const cublasOperation_t b = Operation(trans_b);
  CUBLAS_CHECK(count == 1
                   ? Sgemm(handle, b, a, N, M, K, &alpha, B.data, B.stride,
                         A.data, A.stride, &beta, C.data, C.stride)
                   : SgemmStridedBatched(handle, b, a, N, M, K, &alpha, B.data,
                         B.stride, B.distance, A.data, A.stride, A.distance,
                         &beta, C.data, C.stride, C.distance, count));
}

template <>
void DeviceGemm(CBLAS_TRANSPOSE trans_a, CBLAS_TRANSPOSE trans_b, int M, int N,
    int K, double alpha, const MatrixBatch<const double>& A,
    const MatrixBatch<const double>& B, double beta,
    const MatrixBatch<double>& C, int count) {
  const cublasHandle_t handle = Caffe::cublas_handle();
  const cublasOperation_t a = Operation(trans_a);
  const cublasOperation_t b = Operation(trans_b);
  CUBLAS_CHECK(
      count == 1 ? cublasDgemm(handle, b, a, N, M, K, &alpha, B.data, B.stride,
                       A.data, A.stride, &beta, C.data, C.stride)
                 : cublasDgemmStridedBatched(handle, b, a, N, M, K, &alpha,
                       B.data, B.stride, B.distance, A.data, A.stride,
                       A.distance, &beta, C.data, C.stride, C.distance, count));
}

}  // namespace caffe
