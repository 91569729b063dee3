#include <stdint.h>

#include <algorithm>
#include <vector>

#include "caffe/approx_dropout/math/packed_gemm.hpp"
#include "caffe/approx_dropout/math/panels.hpp"
#include "caffe/approx_dropout/math/vector_math.hpp"
#include "caffe/approx_dropout/math/vector_target.hpp"

namespace caffe {

namespace {

// Depth of a panel that fits in the L1 cache.
const int kPanelDepth = 256;
// Below this many multiplications a product is not worth waking threads for.
const int64_t kParallelProducts = 1 << 16;

// Panels begin with a cache line.
template <typename Pointer>
Pointer Align(Pointer buffer) {
  const uintptr_t at = reinterpret_cast<uintptr_t>(buffer) + kPanelBytes - 1;
  return reinterpret_cast<Pointer>(at - at % kPanelBytes);
}

// The part of a product that one panel takes part in: width columns of C,
// depth rows of the panel, and the part that is needed next.
template <typename Dtype>
struct Slice {
  int width, depth;
  const Dtype* panel;
  const Dtype* ahead;
  int ahead_step;  // elements to fetch into the cache for each row used
};

// Operands as those of packed_gemm, from the slice's first column on.
template <typename Dtype>
struct Operands {
  Dtype alpha;
  const Dtype* A;
  int lda;
  bool accumulate;
  Dtype* C;
  int ldc;
};

// kRows rows of C. With kRows times panel width in registers.
template <typename Dtype, int kVectorBytes, int kRows>
CAFFE_INLINE void Tile(const Slice<Dtype>& slice, const Operands<Dtype>& x) {
  typedef Dtype Vector __attribute__((vector_size(kVectorBytes), may_alias));
  const int kWidth = Panel<Dtype>::kWidth;
  const int kVectors = kPanelBytes / kVectorBytes;
  const Dtype* A = x.A;
  const size_t lda = x.lda;
  const Dtype* panel = slice.panel;
  const Dtype* ahead = slice.ahead;
  const int ahead_step = slice.ahead_step;
  Vector sum[kRows][kVectors] = {};
  for (int k = 0; k < slice.depth; ++k) {
    const Vector* b = reinterpret_cast<const Vector*>(panel + k * kWidth);
    __builtin_prefetch(ahead + k * ahead_step);
#pragma GCC unroll 12
    for (int r = 0; r < kRows; ++r) {
      const Dtype a = A[r * lda + k];
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) { sum[r][v] += a * b[v]; }
    }
  }
#pragma GCC unroll 12
  for (int r = 0; r < kRows; ++r) {
    Dtype row[kWidth] __attribute__((aligned(kPanelBytes)));
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      reinterpret_cast<Vector*>(row)[v] = x.alpha * sum[r][v];
    }
    Dtype* c = x.C + static_cast<size_t>(r) * x.ldc;
    if (x.accumulate) {
      for (int j = 0; j < slice.width; ++j) { c[j] += row[j]; }
    } else {
      for (int j = 0; j < slice.width; ++j) { c[j] = row[j]; }
    }
  }
}

template <typename Dtype, int kVectorBytes, int kRows>
struct Rows {
  // rows <= kRows of them.
  static CAFFE_INLINE void Run(int rows, const Slice<Dtype>& slice,
      const Operands<Dtype>& x) {
    if (rows == kRows) {
      Tile<Dtype, kVectorBytes, kRows>(slice, x);
    } else {
      Rows<Dtype, kVectorBytes, kRows - 1>::Run(rows, slice, x);
    }
  }
};

template <typename Dtype, int kVectorBytes>
struct Rows<Dtype, kVectorBytes, 0> {
  static CAFFE_INLINE void Run(int, const Slice<Dtype>&,
      const Operands<Dtype>&) {}
};

// M rows with one panel of K rows; at most kRows at a time, about equally
// many. Each of these parts fetches its share of what is needed next.
template <typename Dtype, int kVectorBytes, int kRows>
CAFFE_INLINE void PanelProduct(int M, int width, int K, const Dtype* panel,
    const Operands<Dtype>& all) {
  const int kWidth = Panel<Dtype>::kWidth;
  const int parts = (M + kRows - 1) / kRows;
  for (int k = 0; k < K || k == 0; k += kPanelDepth) {
    const int depth = std::min(kPanelDepth, K - k);
    const Dtype* next = panel + (k + depth) * kWidth;
    for (int part = 0; part < parts; ++part) {
      const int begin = part * M / parts;
      const int end = (part + 1) * M / parts;
      const Slice<Dtype> slice = { width, depth, panel + k * kWidth,
          next + part * (depth / parts) * kWidth, kWidth / parts };
      const Operands<Dtype> x = { all.alpha,
          all.A + static_cast<size_t>(begin) * all.lda + k, all.lda,
          all.accumulate || k > 0,
          all.C + static_cast<size_t>(begin) * all.ldc, all.ldc };
      Rows<Dtype, kVectorBytes, kRows>::Run(end - begin, slice, x);
    }
  }
}

#ifdef CAFFE_X86_VECTORS
template <typename Dtype>
__attribute__((target("avx512f,avx512dq")))
void PanelProduct64(int M, int width, int K, const Dtype* panel,
    const Operands<Dtype>& x) {
  PanelProduct<Dtype, 64, 12>(M, width, K, panel, x);
}

template <typename Dtype>
__attribute__((target("avx2,fma")))
void PanelProduct32(int M, int width, int K, const Dtype* panel,
    const Operands<Dtype>& x) {
  PanelProduct<Dtype, 32, 6>(M, width, K, panel, x);
}
#endif

template <typename Dtype>
void PanelProduct16(int M, int width, int K, const Dtype* panel,
    const Operands<Dtype>& x) {
  PanelProduct<Dtype, 16, 3>(M, width, K, panel, x);
}

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
  Dtype* panels = Align(buffer);
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
  const Dtype* panels = Align(buffer);
  void (*product)(int, int, int, const Dtype*, const Operands<Dtype>&) =
      PanelProduct16<Dtype>;
#ifdef CAFFE_X86_VECTORS
  if (vector_bytes() == 64) { product = PanelProduct64<Dtype>; }
  if (vector_bytes() == 32) { product = PanelProduct32<Dtype>; }
#endif
#pragma omp parallel for \
    if (static_cast<int64_t>(M) * N * K > kParallelProducts)
  for (int begin = 0; begin < N; begin += kWidth) {
    const Operands<Dtype> x = { alpha, A, lda, accumulate, C + begin, ldc };
    product(M, std::min(kWidth, N - begin), K,
        panels + static_cast<size_t>(begin) * K, x);
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
