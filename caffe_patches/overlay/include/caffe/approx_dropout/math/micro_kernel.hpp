#ifndef CAFFE_APPROX_DROPOUT_MATH_MICRO_KERNEL_HPP_
#define CAFFE_APPROX_DROPOUT_MATH_MICRO_KERNEL_HPP_

#include <stddef.h>

#include "caffe/approx_dropout/math/panels.hpp"
#include "caffe/approx_dropout/math/vector_math.hpp"
#include "caffe/approx_dropout/math/vector_target.hpp"

namespace caffe {

// The register micro-kernel of our products on the CPU: rows of factors times
// a packed panel, the sums in registers until they are complete.

/// @brief Rows begin, ..., end - 1 of a panel and what they are multiplied by:
///        the r-th sum takes row begin + k times
///        factors[r * strides.row + k * strides.next].
template <typename Dtype>
struct DepthRange {
  int begin, end;
  const Dtype* factors;
};

struct Strides {
  size_t row, next;
};

/// @brief All that one sum runs over.
template <typename Dtype>
struct Depth {
  const DepthRange<Dtype>* ranges;
  size_t num_ranges;
  Strides strides;
};

/// @brief A vector in memory, where nothing says that it is aligned. Not to be
///        a template argument: GCC would forget that.
template <typename Dtype, int kVectorBytes>
struct Unaligned {
  typedef Dtype Vector __attribute__((vector_size(kVectorBytes), may_alias,
      aligned(sizeof(Dtype))));
};

/**
 * @brief Sums of kRows rows at a time. Output says what becomes of them:
 *
 *            Output OfPart(int part, int parts) const
 *                the output for one of several parts that the rows are cut into
 *            void Fetch(int k, const Dtype* factors) const
 *                called at the k-th row of a range, with the first of its
 *                factors, to prefetch
 *            void Store<kVectorBytes>(int row,
 *                const typename Unaligned<Dtype, kVectorBytes>::Vector* sum)
 *                takes a row's sums, a panel's width of them
 */
template <typename Dtype, int kVectorBytes, int kRows>
struct MicroKernel {
  typedef typename Unaligned<Dtype, kVectorBytes>::Vector Vector;
  static const int kVectors = kPanelBytes / kVectorBytes;

  /// @brief Any number of rows, about equally many at a time.
  template <typename Output>
  static CAFFE_INLINE void AllRows(int rows, const Depth<Dtype>& depth,
      const Dtype* panel, const Output& output) {
    const int parts = (rows + kRows - 1) / kRows;
    for (int part = 0; part < parts; ++part) {
      const int first = part * rows / parts;
      Rows((part + 1) * rows / parts - first, first, depth, panel,
          output.OfPart(part, parts));
    }
  }

  /// @brief rows <= kRows of them, from the first.
  template <typename Output>
  static CAFFE_INLINE void Rows(int rows, int first, const Depth<Dtype>& depth,
      const Dtype* panel, const Output& output) {
    if (rows == kRows) {
      Sum(first, depth, panel, output);
    } else {
      MicroKernel<Dtype, kVectorBytes, kRows - 1>::Rows(rows, first, depth,
          panel, output);
    }
  }

  template <typename Output>
  static CAFFE_INLINE void Sum(int first, const Depth<Dtype>& depth,
      const Dtype* panel, const Output& output) {
    const Strides strides = depth.strides;
    Vector sum[kRows][kVectors] = {};
    for (size_t i = 0; i < depth.num_ranges; ++i) {
      const DepthRange<Dtype> range = depth.ranges[i];
      const int size = range.end - range.begin;
      if (size == 0) {
        continue;  // there may be no factors
      }
      const Dtype* a = range.factors + first * strides.row;
      const Vector* b =
          reinterpret_cast<const Vector*>(panel) + range.begin * kVectors;
      for (int k = 0; k < size; ++k) {
        output.Fetch(k, a);
#pragma GCC unroll 16
        for (int r = 0; r < kRows; ++r) {
          const Dtype factor = a[r * strides.row];
#pragma GCC unroll 4
          for (int v = 0; v < kVectors; ++v) { sum[r][v] += factor * b[v]; }
        }
        a += strides.next;
        b += kVectors;
      }
    }
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      output.template Store<kVectorBytes>(first + r, sum[r]);
    }
  }
};

template <typename Dtype, int kVectorBytes>
struct MicroKernel<Dtype, kVectorBytes, 0> {
  template <typename Output>
  static CAFFE_INLINE void Rows(int, int, const Depth<Dtype>&, const Dtype*,
      const Output&) {}
};

#ifdef CAFFE_X86_VECTORS
template <typename Work, typename... Arguments>
__attribute__((target("avx512f,avx512dq")))
void RunAvx512(Arguments... arguments) {
  Work::template Run<64, 12>(arguments...);
}

template <typename Work, typename... Arguments>
__attribute__((target("avx2,fma")))
void RunAvx2(Arguments... arguments) {
  Work::template Run<32, 6>(arguments...);
}
#endif

template <typename Work, typename... Arguments>
void RunSse2(Arguments... arguments) {
  Work::template Run<16, 3>(arguments...);
}

/// @brief Work::Run<kVectorBytes, kRows>, with the machine's vectors and as
///        many rows as fit into its registers.
template <typename Work, typename... Arguments>
struct MachineRun {
  typedef void (*Function)(Arguments...);

  static Function Get() {
#ifdef CAFFE_X86_VECTORS
    if (vector_bytes() == 64) { return RunAvx512<Work, Arguments...>; }
    if (vector_bytes() == 32) { return RunAvx2<Work, Arguments...>; }
#endif
    return RunSse2<Work, Arguments...>;
  }
};

}  // namespace caffe

#endif  // CAFFE_APPROX_DROPOUT_MATH_MICRO_KERNEL_HPP_
