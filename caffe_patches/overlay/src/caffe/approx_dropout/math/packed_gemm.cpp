#include <stdint.h>

#include <algorithm>
#include <vector>

#include "caffe/approx_dropout/math/micro_kernel.hpp"
#include "caffe/approx_dropout/math/packed_gemm.hpp"
#include "caffe/approx_dropout/math/panels.hpp"

namespace caffe {

namespace {

// Depth of a panel that fits in the L1 cache.
const int kPanelDepth = 256;
// Below this many multiplications a product is not worth waking threads for.
const int64_t kParallelProducts = 1 << 16;

// An Output of MicroKernel: width columns of C = alpha sums, or C += them.
// Meanwhile it fetches the part of the panels that is needed next; each part of
// the rows fetches its share.
template <typename Dtype>
struct Output {
  Dtype alpha;
  bool accumulate;
  Dtype* C;
  size_t ldc;
  int width, depth;
  const Dtype* ahead;
  int ahead_step;  // elements to fetch for each row of the panel

  CAFFE_INLINE Output OfPart(int part, int parts) const {
    const int kWidth = Panel<Dtype>::kWidth;
    Output output = *this;
    output.ahead = ahead + part * (depth / parts) * kWidth;
    output.ahead_step = kWidth / parts;
    return output;
  }
  CAFFE_INLINE void Fetch(int k, const Dtype*) const {
    __builtin_prefetch(ahead + k * ahead_step);
  }
  template <int kVectorBytes>
  CAFFE_INLINE void Store(int row,
      const typename Unaligned<Dtype, kVectorBytes>::Vector* sum) const {
    typedef typename Unaligned<Dtype, kVectorBytes>::Vector Vector;
    Dtype values[Panel<Dtype>::kWidth] __attribute__((aligned(kPanelBytes)));
#pragma GCC unroll 4
    for (int v = 0; v < kPanelBytes / kVectorBytes; ++v) {
      reinterpret_cast<Vector*>(values)[v] = alpha * sum[v];
    }
    Dtype* c = C + row * ldc;
    if (accumulate) {
      for (int j = 0; j < width; ++j) { c[j] += values[j]; }
    } else {
      for (int j = 0; j < width; ++j) { c[j] = values[j]; }
    }
  }
};

// M rows of A with one panel of K rows, at most kRows at a time.
struct PanelProduct {
  template <int kVectorBytes, int kRows, typename Dtype>
  static CAFFE_INLINE void Run(int M, int K, const Dtype* A, int lda,
      const Dtype* panel, const Output<Dtype>& all) {
    const int kWidth = Panel<Dtype>::kWidth;
    for (int k = 0; k < K || k == 0; k += kPanelDepth) {
      const int end = std::min(k + kPanelDepth, K);
      const DepthRange<Dtype> range = { k, end, A + k };
      const Depth<Dtype> depth = { &range, 1,
          { static_cast<size_t>(lda), 1 } };
      Output<Dtype> output = all;
      output.accumulate = all.accumulate || k > 0;
      output.depth = end - k;
      output.ahead = panel + end * kWidth;
      MicroKernel<Dtype, kVectorBytes, kRows>::AllRows(M, depth, panel,
          output);
    }
  }
};

}  // namespace

template <typename Dtype>
size_t packed_size(int N, int K) {
  const int kWidth = Panel<Dtype>::kWidth;
  return static_cast<size_t>(N + kWidth - 1) / kWidth * kWidth * K + kWidth;
}

template <typename Dtype>
void pack_matrix(const Dtype* from, int stride, bool transposed,
    const std::vector<int>& ns, const std::vector<int>& ks, Dtype* buffer) {
  const int kWidth = Panel<Dtype>::kWidth;
  const int N = ns.size();
  const int K = ks.size();
  const size_t n_stride = transposed ? stride : 1;
  const size_t k_stride = transposed ? 1 : stride;
  Dtype* panels = AlignPanels(buffer);
  // Several panels at a time where they are neighbours in memory.
  const int step = transposed ? kWidth : 4 * kWidth;
#pragma omp parallel for if (static_cast<int64_t>(N) * K > kParallelProducts)
  for (int begin = 0; begin < N; begin += step) {
    for (int k = 0; k < K; ++k) {
      const Dtype* row = from + ks[k] * k_stride;
      for (int n = begin; n < std::min(begin + step, N); n += kWidth) {
        Dtype* to = panels + static_cast<size_t>(n) * K + k * kWidth;
        const int width = std::min(kWidth, N - n);
        for (int j = 0; j < width; ++j) { to[j] = row[ns[n + j] * n_stride]; }
        std::fill(to + width, to + kWidth, Dtype(0));
      }
    }
  }
}

template <typename Dtype>
void packed_gemm(int M, int N, int K, Dtype alpha, const Dtype* A, int lda,
    const Dtype* buffer, bool accumulate, Dtype* C, int ldc) {
  const int kWidth = Panel<Dtype>::kWidth;
  const Dtype* panels = AlignPanels(buffer);
  const auto product = MachineRun<PanelProduct, int, int, const Dtype*, int,
      const Dtype*, const Output<Dtype>&>::Get();
#pragma omp parallel for \
    if (static_cast<int64_t>(M) * N * K > kParallelProducts)
  for (int begin = 0; begin < N; begin += kWidth) {
    Output<Dtype> output = Output<Dtype>();
    output.alpha = alpha;
    output.accumulate = accumulate;
    output.C = C + begin;
    output.ldc = ldc;
    output.width = std::min(kWidth, N - begin);
    product(M, K, A, lda, panels + static_cast<size_t>(begin) * K, output);
  }
}

#define INSTANTIATE_PACKED_GEMM(Dtype) \
  template size_t packed_size<Dtype>(int, int); \
  template void pack_matrix<Dtype>(const Dtype*, int, bool, \
      const std::vector<int>&, const std::vector<int>&, Dtype*); \
  template void packed_gemm<Dtype>(int, int, int, Dtype, const Dtype*, int, \
      const Dtype*, bool, Dtype*, int)

INSTANTIATE_PACKED_GEMM(float);
INSTANTIATE_PACKED_GEMM(double);

}  // namespace caffe
