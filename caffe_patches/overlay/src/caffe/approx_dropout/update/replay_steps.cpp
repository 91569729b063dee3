#include <cstring>

#include "caffe/approx_dropout/math/vector_math.hpp"
#include "caffe/approx_dropout/math/vector_target.hpp"
#include "caffe/approx_dropout/update/replay_steps.hpp"

#ifdef CAFFE_X86_VECTORS
// Keeps the compiler from fusing this product with the sum that it is in.
#define CAFFE_KEEP_PRODUCT(vector) asm("" : "+x"(vector))
#else
#define CAFFE_KEEP_PRODUCT(vector)
#endif

namespace caffe {

namespace {

// Steps depend on each other, so four independent vectors hide their latency.
const int kVectors = 4;

// All steps for kVectors vectors of each array. One step is DoStep of
// device_cells.hpp; DeviceCellsTest compares the two bit for bit.
template <typename Dtype, int kBytes, bool kL1>
CAFFE_INLINE void ReplayVectors(const UpdateRule<Dtype>& rule,
    const UpdateStep<Dtype>* steps, int num_steps, const Dtype* gradient,
    Dtype* data, Dtype* history) {
  typedef Dtype Vector __attribute__((vector_size(kBytes)));
  // One in memory, where nothing says that it is aligned.
  typedef Dtype Stored __attribute__((vector_size(kBytes), may_alias,
      aligned(sizeof(Dtype))));
  const Vector zero = {};
  const Vector one = zero + Dtype(1);
  Vector g[kVectors], w[kVectors], h[kVectors];
#pragma GCC unroll 4
  for (int i = 0; i < kVectors; ++i) {
    g[i] = zero;
    h[i] = zero;
    if (gradient) {
      g[i] = reinterpret_cast<const Stored*>(gradient)[i] * steps[0].clip
          * rule.normalization;
    }
    w[i] = reinterpret_cast<const Stored*>(data)[i];
    if (rule.momentum != 0) {
      h[i] = reinterpret_cast<const Stored*>(history)[i];
    }
  }
  for (int s = 0; s < num_steps; ++s) {
#pragma GCC unroll 4
    for (int i = 0; i < kVectors; ++i) {
      const Vector decayed = kL1 ? (w[i] > zero ? one : zero)
          - (w[i] < zero ? one : zero) : w[i];
      const Vector d = g[i] + rule.decay * decayed;
      Vector kept = rule.momentum * h[i];
      CAFFE_KEEP_PRODUCT(kept);
      h[i] = steps[s].rate * d + kept;
      w[i] -= h[i];
      g[i] = zero;
    }
  }
#pragma GCC unroll 4
  for (int i = 0; i < kVectors; ++i) {
    reinterpret_cast<Stored*>(data)[i] = w[i];
    if (history) { reinterpret_cast<Stored*>(history)[i] = h[i]; }
  }
}

template <typename Dtype, int kBytes, bool kL1>
CAFFE_INLINE void Replay(const UpdateRule<Dtype>& shared_rule,
    const UpdateStep<Dtype>* steps, int num_steps, int count,
    const Dtype* gradient, Dtype* data, Dtype* history) {
  const UpdateRule<Dtype> rule = shared_rule;  // a copy cannot be aliased
  const int kSize = kVectors * kBytes / sizeof(Dtype);
  int i = 0;
  for (; i + kSize <= count; i += kSize) {
    ReplayVectors<Dtype, kBytes, kL1>(rule, steps, num_steps,
        gradient ? gradient + i : NULL, data + i, history ? history + i : NULL);
  }
  if (i == count) { return; }
  Dtype g[kSize] = {}, w[kSize] = {}, h[kSize] = {};
  const size_t bytes = (count - i) * sizeof(Dtype);
  std::memcpy(w, data + i, bytes);
  if (gradient) { std::memcpy(g, gradient + i, bytes); }
  if (history) { std::memcpy(h, history + i, bytes); }
  ReplayVectors<Dtype, kBytes, kL1>(rule, steps, num_steps, gradient ? g : NULL,
      w, h);
  std::memcpy(data + i, w, bytes);
  if (history) { std::memcpy(history + i, h, bytes); }
}

template <typename Dtype, int kBytes>
CAFFE_INLINE void Replay(const UpdateRule<Dtype>& rule,
    const UpdateStep<Dtype>* steps, int num_steps, int count,
    const Dtype* gradient, Dtype* data, Dtype* history) {
  if (rule.l1) {
    Replay<Dtype, kBytes, true>(rule, steps, num_steps, count, gradient, data,
        history);
  } else {
    Replay<Dtype, kBytes, false>(rule, steps, num_steps, count, gradient,
        data, history);
  }
}

#ifdef CAFFE_X86_VECTORS
template <typename Dtype>
__attribute__((target("avx2,fma")))
void ReplayAvx2(const UpdateRule<Dtype>& rule, const UpdateStep<Dtype>* steps,
    int num_steps, int count, const Dtype* gradient, Dtype* data,
    Dtype* history) {
  Replay<Dtype, 32>(rule, steps, num_steps, count, gradient, data, history);
}
#endif

}  // namespace

template <typename Dtype>
void ReplaySteps(const UpdateRule<Dtype>& rule,
    const UpdateStep<Dtype>* steps, int num_steps, int count,
    const Dtype* gradient, Dtype* data, Dtype* history) {
  // Clipped by an infinite norm, Caffe's gradient is 0 where it is infinite,
  // too.
  if (steps[0].clip == 0) { gradient = NULL; }
#ifdef CAFFE_X86_VECTORS
  if (vector_bytes() >= 32) {
    ReplayAvx2(rule, steps, num_steps, count, gradient, data, history);
    return;
  }
#endif
  Replay<Dtype, 16>(rule, steps, num_steps, count, gradient, data, history);
}

template void ReplaySteps<float>(const UpdateRule<float>& rule,
    const UpdateStep<float>* steps, int num_steps, int count,
    const float* gradient, float* data, float* history);
template void ReplaySteps<double>(const UpdateRule<double>& rule,
    const UpdateStep<double>* steps, int num_steps, int count,
    const double* gradient, double* data, double* history);

}  // namespace caffe
