#ifndef CAFFE_APPROX_DROPOUT_PRODUCT_GATHER_SCATTER_HPP_
#define CAFFE_APPROX_DROPOUT_PRODUCT_GATHER_SCATTER_HPP_

#include <limits>

#include "caffe/approx_dropout/math/parallel.hpp"
#include "caffe/approx_dropout/pattern/index_list.hpp"
#include "caffe/approx_dropout/update/lazy_parameter.hpp"
#include "caffe/blob.hpp"
#include "caffe/util/math_functions.hpp"
#ifdef __CUDACC__
#include "caffe/approx_dropout/update/device_parameter.hpp"
#endif

namespace caffe {

/// @brief Refuses elements that are too many for a blob.
inline void CheckBufferSize(size_t size) {
  CHECK_LE(size, std::numeric_limits<int>::max()) << "what all groups of "
      << "samples keep, together, is too large for one blob; use fewer groups";
}

/**
 * @brief The steps that a KeptProduct is made of, on the CPU: copies and sums
 *        over the part of a row-major matrix that two IndexLists name. Rows
 *        are shared out to OpenMP's threads.
 *
 * `stride` is the distance of the rows of the whole matrix; a part is dense
 * unless it is given as a PartView. GpuParts has the same functions.
 */
template <typename Dtype>
struct CpuParts {
  /// @brief Whether threads may do these steps at the same time, each with
  ///        buffers of its own; how many there are, and which this one is.
  static const bool kParallelBlocks = true;
  static int MaxThreads() { return caffe::MaxThreads(); }
  static int Thread() { return ThreadIndex(); }

  /// @brief What updates a parameter lazily, or NULL; how it takes a list;
  ///        whether the gradient of these tiles of it is to be overwritten.
  typedef LazyParameter<Dtype> Lazy;
  static Lazy* LazyOf(LazyParameter<Dtype>* lazy) { return lazy; }
  static const vector<int>& Cells(const IndexList& list) { return list.index; }
  // TileProduct computes lazy tiles on the CPU.
  static bool TakeTiles(Lazy* lazy, const KeptCells& tiles) { return false; }

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

#ifdef __CUDACC__
template <typename Dtype>
struct GpuParts {
  static const bool kParallelBlocks = false;
  static int MaxThreads() { return 1; }
  static int Thread() { return 0; }
  typedef DeviceParameter<Dtype> Lazy;
  static Lazy* LazyOf(LazyParameter<Dtype>* lazy) {
    return lazy ? lazy->device() : NULL;
  }
  static DeviceList Cells(const IndexList& list) {
    const DeviceList cells = { list.device, list.size(), list.first(),
        list.run, list.run_stride };
    return cells;
  }
  static bool TakeTiles(Lazy* lazy, const KeptCells& tiles) {
    return lazy && lazy->ClaimGradient(tiles) == Claim::OVERWRITE;
  }
  static Dtype* Grow(shared_ptr<Blob<Dtype> >* buffer, size_t size);
  static void SetZero(size_t count, Dtype* data);
  static void Gather(const Dtype* whole, int stride, const IndexList& rows,
      const IndexList& columns, Dtype* part);
  static void Scatter(const Dtype* part, const IndexList& rows,
      const IndexList& columns, bool accumulate, int stride, Dtype* whole);
  static void FillRows(const Dtype* values, Dtype scale,
      const IndexList& columns, int num_rows, const PartView<Dtype>& part);
  static void AddColumnSums(const PartView<const Dtype>& part, int num_rows,
      Dtype scale, const IndexList& columns, Dtype* sums);
  /// @brief whole[i][columns[j]] becomes ReLU of itself + scale *
  ///        bias[units[j]] for i < num_rows; bias: NULL for none.
  static void Rectify(const Dtype* bias, Dtype scale, const IndexList& units,
      const IndexList& columns, int num_rows, int stride, Dtype* whole);
  static void Gemm(CBLAS_TRANSPOSE trans_a, CBLAS_TRANSPOSE trans_b, int M,
      int N, int K, Dtype alpha, const Dtype* A, int lda, const Dtype* B,
      int ldb, Dtype beta, Dtype* C, int ldc);
};
#endif  // __CUDACC__

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
