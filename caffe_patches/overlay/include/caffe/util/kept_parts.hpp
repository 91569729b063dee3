#ifndef CAFFE_UTIL_KEPT_PARTS_HPP_
#define CAFFE_UTIL_KEPT_PARTS_HPP_

#include "caffe/util/kept_product.hpp"
#include "caffe/util/math_functions.hpp"

namespace caffe {

/**
 * Copies and sums over the part of a row-major matrix that two IndexLists
 * name, on the CPU. Rows are shared out to OpenMP's threads.
 */

/// @brief A matrix in memory whose rows are `stride` elements apart.
template <typename Dtype>
struct PartView {
  Dtype* data;
  int stride;
};

/// @brief A buffer's memory, made larger if needed; never smaller.
template <typename Dtype>
Dtype* GrowBuffer(shared_ptr<Blob<Dtype> >* buffer, size_t size);

/// @brief part[i][j] = whole[rows[i]][columns[j]]; overwrites part, which is
///        dense. `stride` is that of the whole matrix, here and below.
template <typename Dtype>
void GatherPart(const Dtype* whole, int stride, const IndexList& rows,
    const IndexList& columns, Dtype* part);

/// @brief The part in place, if it is a strided view of the whole, else
///        gathered into the buffer.
template <typename Dtype>
PartView<Dtype> ViewPart(const Dtype* whole, int stride,
    const IndexList& rows, const IndexList& columns,
    shared_ptr<Blob<Dtype> >* buffer);

/// @brief whole[rows[i]][columns[j]] = part[i][j], or += it. Elements that
///        the lists do not name are left alone.
template <typename Dtype>
void ScatterPart(const Dtype* part, const IndexList& rows,
    const IndexList& columns, bool accumulate, int stride, Dtype* whole);

/// @brief part[i][j] = scale * values[columns[j]] for i < num_rows.
template <typename Dtype>
void FillRows(const Dtype* values, Dtype scale, const IndexList& columns,
    int num_rows, const PartView<Dtype>& part);

/// @brief sums[columns[j]] += scale * (the sum of part[i][j] over i).
template <typename Dtype>
void AddColumnSums(const PartView<Dtype>& part, int num_rows, Dtype scale,
    const IndexList& columns, Dtype* sums);

/// @brief C = alpha op(A) op(B) + beta C with leading dimensions; K may be 0.
template <typename Dtype>
void cpu_gemm_strided(CBLAS_TRANSPOSE trans_a, CBLAS_TRANSPOSE trans_b,
    int M, int N, int K, Dtype alpha, const Dtype* A, int lda,
    const Dtype* B, int ldb, Dtype beta, Dtype* C, int ldc);

}  // namespace caffe

#endif  // CAFFE_UTIL_KEPT_PARTS_HPP_
