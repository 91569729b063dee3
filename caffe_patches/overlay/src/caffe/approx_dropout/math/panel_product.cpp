#include "caffe/approx_dropout/math/panel_product.hpp"

#include <algorithm>

#include "caffe/approx_dropout/math/micro_kernel.hpp"

namespace caffe {

namespace {

// Depth of a panel that fits in the L1 cache.
const int kPassDepth = 256;

// An Output of MicroKernel: `width` columns of C from `first` on.
template <typename Dtype>
struct RowsOutput {
  Dtype* const* C;
  int first, width;
  bool accumulate;

  CAFFE_INLINE RowsOutput OfPart(int, int) const { return *this; }
  CAFFE_INLINE void Fetch(int) const {}
  template <int kVectorBytes>
  CAFFE_INLINE void Store(int row,
      const typename Unaligned<Dtype, kVectorBytes>::Vector* sum) const {
    typedef typename Unaligned<Dtype, kVectorBytes>::Vector Vector;
    const int kWidth = Panel<Dtype>::kWidth;
    const int kVectors = kPanelBytes / kVectorBytes;
    Dtype* to = C[row] + first;
    if (width == kWidth) {
      Vector* vectors = reinterpret_cast<Vector*>(to);
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) {
        vectors[v] = accumulate ? vectors[v] + sum[v] : sum[v];
      }
      return;
    }
    Dtype values[kWidth] __attribute__((aligned(kPanelBytes)));
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      reinterpret_cast<Vector*>(values)[v] = sum[v];
    }
    for (int j = 0; j < width; ++j) {
      to[j] = accumulate ? to[j] + values[j] : values[j];
    }
  }
};

struct RowsProduct {
  template <int kVectorBytes, int kRows, typename Dtype>
  static CAFFE_INLINE void Run(int rows, int depth, int columns,
      const Factors<Dtype>& A, const Dtype* panels, bool accumulate,
      Dtype* const* C) {
    const int kWidth = Panel<Dtype>::kWidth;
    for (int k = 0; k < depth || k == 0; k += kPassDepth) {
      const DepthRange<Dtype> range = {
          0, std::min(kPassDepth, depth - k), A.data + k * A.next};
      const Depth<Dtype> part = {&range, 1, {A.row, A.next}};
      for (int j = 0; j < columns; j += kWidth) {
        const RowsOutput<Dtype> output = {
            C, j, std::min(kWidth, columns - j), accumulate || k > 0};
        MicroKernel<Dtype, kVectorBytes, kRows>::AllRows(rows, part,
            panels + static_cast<size_t>(j) * depth + k * kWidth, output);
      }
    }
  }
};

}  // namespace

template <typename Dtype>
void multiply_panels(int rows, int depth, int columns, const Factors<Dtype>& A,
    const Dtype* panels, bool accumulate, Dtype* const* C) {
  MachineRun<RowsProduct, int, int, int, const Factors<Dtype>&, const Dtype*,
      bool, Dtype* const*>::Get()(rows, depth, columns, A, panels, accumulate,
      C);
}

template void multiply_panels<float>(
    int, int, int, const Factors<float>&, const float*, bool, float* const*);
template void multiply_panels<double>(
    int, int, int, const Factors<double>&, const double*, bool, double* const*);

}  // namespace caffe
