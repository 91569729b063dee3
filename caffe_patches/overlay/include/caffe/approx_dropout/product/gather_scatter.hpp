#ifndef CAFFE_APPROX_DROPOUT_PRODUCT_GATHER_SCATTER_HPP_
#define CAFFE_APPROX_DROPOUT_PRODUCT_GATHER_SCATTER_HPP_

#include <limits>
#include <vector>

#include "caffe/approx_dropout/math/parallel.hpp"
#include "caffe/approx_dropout/pattern/index_list.hpp"
#include "caffe/approx_dropout/update/lazy_parameter.hpp"
#include "caffe/blob.hpp"
#include "caffe/util/math_functions.hpp"

namespace caffe {

/// @brief Refuses elements that are too many for a blob.
inline void CheckBufferSize(size_t size) {
  CHECK_LE(size, std::numeric_limits<int>::max())
      << "the parts of a product "
      << "that patterns keep have " << size << " elements together, too many "
      << "for one blob; use fewer samples or groups, for TILE also a smaller "
      << "max_period";
}

/**
 * @brief The steps that a GatheredProduct is made of, on the CPU: copies and
 *        sums over the part of a row-major matrix that two IndexLists name.
 *        OpenMP's threads share the rows.
 *
 * `stride` is the distance of the rows of the whole matrix; a part is dense
 * unless it is given as a PartView.
 */
template <typename Dtype>
struct CpuParts {
  /// @brief A buffer's memory, made larger if needed; never smaller.
  static Dtype* Grow(shared_ptr<Blob<Dtype> >* buffer, size_t size);

  static void SetZero(size_t count, Dtype* data);

  /// @brief part[i][j] = whole[rows[i]][columns[j]]; overwrites part.
  static void Gather(const Dtype* whole, int stride, const IndexList& rows,
      const IndexList& columns, Dtype* part);

  /// @brief whole[rows[i]][columns[j]] = part[i][j], or += it. Elements that
  ///        the lists do not name are left alone.
  static void Scatter(const Dtype* part, const IndexList& rows,
      const IndexList& columns, bool accumulate, int stride, Dtype* whole);

  /// @brief part[i][j] = scale * values[columns[j]] for i < num_rows.
  static void FillRows(const Dtype* values, Dtype scale,
      const IndexList& columns, int num_rows, const PartView<Dtype>& part);

  /// @brief sums[columns[j]] += scale * (the sum of part[i][j] over i).
  static void AddColumnSums(const PartView<const Dtype>& part, int num_rows,
      Dtype scale, const IndexList& columns, Dtype* sums);

  /// @brief C = alpha op(A) op(B) + beta C with leading dimensions; K may be
  ///        0.
  static void Gemm(CBLAS_TRANSPOSE trans_a, CBLAS_TRANSPOSE trans_b, int M,
      int N, int K, Dtype alpha, const Dtype* A, int lda, const Dtype* B,
      int ldb, Dtype beta, Dtype* C, int ldc);
};

/// @brief The part in place, if it is a strided view of the whole, else
///        gathered into the buffer.
template <typename Parts, typename Dtype>
PartView<const Dtype> ViewPart(const Dtype* whole, int stride,
    const IndexList& rows, const IndexList& columns,
    shared_ptr<Blob<Dtype> >* buffer) {
  if (rows.stride > 0 && columns.contiguous()) {
    const PartView<const Dtype> view = { whole + columns.first()
        + static_cast<size_t>(rows.first()) * stride, rows.stride * stride };
    return view;
  }
  Dtype* part = Parts::Grow(buffer,
      static_cast<size_t>(rows.size()) * columns.size());
  Parts::Gather(whole, stride, rows, columns, part);
  const PartView<const Dtype> view = { part, columns.size() };
  return view;
}

}  // namespace caffe

#endif  // CAFFE_APPROX_DROPOUT_PRODUCT_GATHER_SCATTER_HPP_
