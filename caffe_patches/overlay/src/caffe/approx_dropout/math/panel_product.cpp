#include "caffe/approx_dropout/math/panel_product.hpp"

#include <algorithm>

#include "caffe/approx_dropout/math/micro_kernel.hpp"

namespace caffe {

namespace {

// Depth of a panel that fits in the L1 cache.
const int kPassDepth = 256;

// An Output of MicroKernel: `width` columns of C from `first` on. Meanwhile it
// fetches the panel that comes next, which may be far away; each part of the
// rows fetches its share.
template <typename Dtype>
struct RowsOutput {
  Dtype* const* C;
  int first, width;
  bool accumulate;
  const Dtype* ahead;
  int depth;          // of the panel
  int block, blocks;  // which of them these rows are
  int ahead_step;     // elements to fetch for each row of the panel

  CAFFE_INLINE RowsOutput OfPart(int part, int parts) const {
    const int kWidth = Panel<Dtype>::kWidth;
    const int shares = blocks * parts;
    RowsOutput output = *this;
    output.ahead += (block * parts + part) * (depth / shares) * kWidth;
    output.ahead_step = kWidth / shares;
    return output;
  }
  CAFFE_INLINE void Fetch(int row, const Dtype*) const {
    __builtin_prefetch(ahead + row * ahead_step);
  }
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
      const int size = std::min(kPassDepth, depth - k);
      for (int j = 0; j < columns; j += kWidth) {
        const Dtype* panel =
            panels + static_cast<size_t>(j) * depth + k * kWidth;
        const bool is_last = j + kWidth >= columns;
        const Dtype* ahead = is_last
                                 ? panels + (k + size) * kWidth
                                 : panel + static_cast<size_t>(depth) * kWidth;
        const RowsOutput<Dtype> output = {C, j, std::min(kWidth, columns - j),
            accumulate || k > 0, ahead, size};
        Blocks<kVectorBytes, kRows>(rows, A, k, panel, output);
      }
    }
  }

  // All rows with `output.depth` rows of a panel, which are A's from k on.
  template <int kVectorBytes, int kRows, typename Dtype>
  static CAFFE_INLINE void Blocks(int rows, const Factors<Dtype>& A, int k,
      const Dtype* panel, const RowsOutput<Dtype>& all) {
    const int block_rows = A.block_rows ? A.block_rows : std::max(rows, 1);
    RowsOutput<Dtype> output = all;
    output.blocks = (rows + block_rows - 1) / block_rows;
    for (int b = 0; b < output.blocks; ++b) {
      const DepthRange<Dtype> range = {
          0, all.depth, A.data + b * A.block + k * A.next};
      const Depth<Dtype> part = {&range, 1, {A.row, A.next}};
      output.C = all.C + b * block_rows;
      output.block = b;
      MicroKernel<Dtype, kVectorBytes, kRows>::AllRows(
          std::min(block_rows, rows - b * block_rows), part, panel, output);
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
