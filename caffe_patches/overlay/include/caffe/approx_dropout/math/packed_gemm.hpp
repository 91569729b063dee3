#ifndef CAFFE_APPROX_DROPOUT_MATH_PACKED_GEMM_HPP_
#define CAFFE_APPROX_DROPOUT_MATH_PACKED_GEMM_HPP_

#include <stddef.h>

#include <vector>

namespace caffe {

/**
 * Packed GEMM: products with few rows each and the same right side B, as in
 * the time steps of a recurrent layer. B is packed once. A BLAS packs it in
 * every call, which at 20 rows takes as long as the product. With many rows
 * the BLAS is faster.
 *
 * B (K x N) is packed into panels of 64 bytes of columns, panel after panel,
 * in each of them row after row; the last is filled up with zeros.
 */

/// @brief Elements of a buffer that holds a packed (K x N) matrix, wherever
///        the buffer begins.
template <typename Dtype>
size_t packed_size(int N, int K);

/// @brief Packs B[k][n] = from[ks[k]][ns[n]] or, if `transposed`,
///        from[ns[n]][ks[k]]; the rows of `from` are `stride` apart.
template <typename Dtype>
void pack_matrix(const Dtype* from, int stride, bool transposed,
    const std::vector<int>& ns, const std::vector<int>& ks, Dtype* buffer);

/// @brief C = alpha A B, or C += it, on the CPU, with OpenMP's threads.
///        A (M x K) and C (M x N) have rows lda and ldc apart.
template <typename Dtype>
void packed_gemm(int M, int N, int K, Dtype alpha, const Dtype* A, int lda,
    const Dtype* buffer, bool accumulate, Dtype* C, int ldc);

}  // namespace caffe

#endif  // CAFFE_APPROX_DROPOUT_MATH_PACKED_GEMM_HPP_
