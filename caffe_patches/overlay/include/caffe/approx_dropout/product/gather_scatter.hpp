#ifndef CAFFE_APPROX_DROPOUT_PRODUCT_GATHER_SCATTER_HPP_
#define CAFFE_APPROX_DROPOUT_PRODUCT_GATHER_SCATTER_HPP_

#include <limits>
#include <vector>

#include "caffe/approx_dropout/math/parallel.hpp"
#include "caffe/approx_dropout/pattern/index_list.hpp"
#include "caffe/approx_dropout/update/lazy_parameter.hpp"
#include "caffe/blob.hpp"
#include "caffe/util/math_functions.hpp"
#ifndef CPU_ONLY
#include "caffe/approx_dropout/update/device_parameter.hpp"
#endif

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
 * unless it is given as a PartView. GpuParts has the same functions.
 */
template <typename Dtype>
struct CpuParts {
  /// @brief Whether threads can do these steps for several blocks in parallel,
  ///        each with buffers of its own; how many threads, and which this is.
  static const bool kParallelBlocks = true;
  static int MaxThreads() { return caffe::MaxThreads(); }
  static int Thread() { return ThreadIndex(); }

  /// @brief What updates a parameter lazily, or NULL, and how it takes a list.
  typedef LazyParameter<Dtype> Lazy;
  static Lazy* LazyOf(LazyParameter<Dtype>* lazy) { return lazy; }
  static const vector<int>& Cells(const IndexList& list) { return list.index; }
  /// @brief Its CatchUp and ClaimGradient, of tiles. On the CPU lazy tiles are
  ///        TileProduct's, so there is nothing to do.
  static void CatchUpTiles(Lazy* lazy, const KeptCells& tiles) {}
  static Claim ClaimTiles(Lazy* lazy, const KeptCells& tiles) {
    return Claim::ADD;
  }
  /// @brief Makes a block's lists on the device, where they need memory. The
  ///        sides are outputs and inputs of block after block.
  static void ListOnDevice(const vector<SideLists*>& sides,
      shared_ptr<Blob<int> >* memory) {}

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

#ifndef CPU_ONLY
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
  static void CatchUpTiles(Lazy* lazy, const KeptCells& tiles) {
    if (lazy) { lazy->CatchUp(tiles); }
  }
  static Claim ClaimTiles(Lazy* lazy, const KeptCells& tiles) {
    return lazy ? lazy->ClaimGradient(tiles) : Claim::ADD;
  }
  static void ListOnDevice(const vector<SideLists*>& sides,
      shared_ptr<Blob<int> >* memory);
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
  /// @brief For all outputs of a side, in num_rows rows of y: y becomes ReLU
  ///        of y + scale * bias; bias: NULL for none.
  static void Rectify(const Dtype* bias, Dtype scale, const SideLists& outputs,
      int num_rows, int stride, Dtype* y);
  static void Gemm(CBLAS_TRANSPOSE trans_a, CBLAS_TRANSPOSE trans_b, int M,
      int N, int K, Dtype alpha, const Dtype* A, int lda, const Dtype* B,
      int ldb, Dtype beta, Dtype* C, int ldc);
};
#endif  // CPU_ONLY

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
