// All that takes or returns a vector is inlined.
#ifdef __GNUC__
#pragma GCC diagnostic ignored "-Wpsabi"
#endif

#include "caffe/approx_dropout/update/replay_steps.hpp"

#include <cmath>
#include <cstring>

#include "caffe/approx_dropout/math/vector_math.hpp"
#include "caffe/approx_dropout/math/vector_target.hpp"

namespace caffe {

namespace {

template <typename Dtype, int kBytes>
struct VectorMath {
  typedef Dtype Vector __attribute__((vector_size(kBytes)));
  // One in memory, where nothing says that it is aligned.
  typedef Dtype Stored __attribute__((vector_size(kBytes), may_alias,
      aligned(sizeof(Dtype))));
  static const int kSize = kBytes / sizeof(Dtype);

  static CAFFE_INLINE Vector Load(const Dtype* from) {
    return *reinterpret_cast<const Stored*>(from);
  }
  static CAFFE_INLINE void Store(const Vector& values, Dtype* to) {
    *reinterpret_cast<Stored*>(to) = values;
  }

  template <typename Factor>
  static CAFFE_INLINE Vector Product(const Factor& a, Vector x) {
    Vector product = a * x;
#ifdef CAFFE_X86_VECTORS
    // Keeps the compiler from fusing it with a sum that it is in.
    asm("" : "+x"(product));
#endif
    return product;
  }
  static CAFFE_INLINE Vector AddProduct(Dtype a, const Vector& x, Vector y) {
    return a * x + y;
  }
  static CAFFE_INLINE Vector Root(Vector x) {
    for (int i = 0; i < kSize; ++i) {
      x[i] = std::sqrt(x[i]);
    }
    return x;
  }
  static CAFFE_INLINE Vector Sign(const Vector& x) {
    const Vector zero = {};
    const Vector one = Dtype(1) - zero;
    return (x > zero ? one : zero) - (x < zero ? one : zero);
  }
};

#ifdef CAFFE_X86_VECTORS
// A compiler fuses products and sums as it likes, now here, now there, and does
// not make one instruction of a vector's roots.
#define CAFFE_VECTOR_ROOT(Dtype, kBytes, instruction) \
  template <>                                         \
  CAFFE_INLINE VectorMath<Dtype, kBytes>::Vector      \
  VectorMath<Dtype, kBytes>::Root(Vector x) {         \
    Vector root;                                      \
    asm(instruction " %1, %0" : "=x"(root) : "x"(x)); \
    return root;                                      \
  }
#define CAFFE_VECTOR_ADD_PRODUCT(Dtype, kBytes, instruction)                  \
  template <>                                                                 \
  CAFFE_INLINE VectorMath<Dtype, kBytes>::Vector                              \
  VectorMath<Dtype, kBytes>::AddProduct(Dtype a, const Vector& x, Vector y) { \
    const Vector zero = {};                                                   \
    asm(instruction " %2, %1, %0" : "+x"(y) : "x"(a - zero), "x"(x));         \
    return y;                                                                 \
  }
CAFFE_VECTOR_ROOT(float, 16, "sqrtps")
CAFFE_VECTOR_ROOT(double, 16, "sqrtpd")
CAFFE_VECTOR_ROOT(float, 32, "vsqrtps")
CAFFE_VECTOR_ROOT(double, 32, "vsqrtpd")
CAFFE_VECTOR_ADD_PRODUCT(float, 32, "vfmadd231ps")
CAFFE_VECTOR_ADD_PRODUCT(double, 32, "vfmadd231pd")
#endif

// So many weights that their vectors hide each other's latency and fit into the
// registers.
template <typename Step, typename Dtype, int kBytes, bool kL1>
struct Block {
  typedef VectorMath<Dtype, kBytes> Math;
  typedef typename Math::Vector Vector;
  static const int kHistories = Step::kHistories;
  static const int kVectors = 4 / kHistories;
  static const int kSize = kVectors * Math::kSize;

  Vector g[kVectors], w[kVectors], h[kVectors][kHistories];

  CAFFE_INLINE void Load(const UpdateRule<Dtype>& rule, Dtype clip,
      const WeightArrays<Dtype>& arrays) {
    const Vector zero = {};
    const bool reads_history = ReadsHistory(rule);
#pragma GCC unroll 4
    for (int i = 0; i < kVectors; ++i) {
      const int at = i * Math::kSize;
      g[i] = zero;
      if (arrays.gradient) {
        g[i] = Math::Product(
            rule.normalization, clip * Math::Load(arrays.gradient + at));
      }
      w[i] = Math::Load(arrays.data + at);
#pragma GCC unroll 2
      for (int k = 0; k < kHistories; ++k) {
        h[i][k] = zero;
        if (reads_history) {
          h[i][k] = Math::Load(arrays.history[k] + at);
        }
      }
    }
  }

  CAFFE_INLINE void Store(const WeightArrays<Dtype>& arrays) const {
#pragma GCC unroll 4
    for (int i = 0; i < kVectors; ++i) {
      const int at = i * Math::kSize;
      Math::Store(w[i], arrays.data + at);
#pragma GCC unroll 2
      for (int k = 0; k < kHistories; ++k) {
        if (arrays.history[k]) {
          Math::Store(h[i][k], arrays.history[k] + at);
        }
      }
    }
  }

  // A step with the gradient; what it subtracts goes to `update`, if not NULL.
  CAFFE_INLINE void Move(
      const UpdateRule<Dtype>& rule, Dtype rate, Dtype* update) {
    const Vector zero = {};
#pragma GCC unroll 4
    for (int i = 0; i < kVectors; ++i) {
      const Vector u = DoStep<Step, Math, kL1>(rule, rate, g[i], &w[i], h[i]);
      g[i] = zero;
      if (update) {
        Math::Store(u, update + i * Math::kSize);
      }
    }
  }

  // A step that only decays the histories.
  CAFFE_INLINE void Decay(const UpdateRule<Dtype>& rule, Dtype* update) {
    const Vector zero = {};
#pragma GCC unroll 4
    for (int i = 0; i < kVectors; ++i) {
#pragma GCC unroll 2
      for (int k = 0; k < kHistories; ++k) {
        h[i][k] *= rule.momentum;
      }
      if (update) {
        Math::Store(zero, update + i * Math::kSize);
      }
    }
  }

  static CAFFE_INLINE void Replay(const UpdateRule<Dtype>& rule,
      const UpdateStep<Dtype>* steps, int num_steps,
      const WeightArrays<Dtype>& arrays) {
    Block block;
    block.Load(rule, steps[0].clip, arrays);
    // How many of the steps may move the weights.
    const int num_moves =
        rule.idle == Idle::DECAYS_HISTORY ? arrays.gradient != NULL : num_steps;
    for (int s = 0; s < num_moves; ++s) {
      block.Move(
          rule, steps[s].rate, s + 1 == num_steps ? arrays.update : NULL);
    }
    for (int s = num_moves; s < num_steps; ++s) {
      block.Decay(rule, s + 1 == num_steps ? arrays.update : NULL);
    }
    block.Store(arrays);
  }
};

// The last weights, fewer than a block, in a block of their own.
template <typename Block, typename Dtype>
CAFFE_INLINE void ReplayRest(const UpdateRule<Dtype>& rule,
    const UpdateStep<Dtype>* steps, int num_steps, int count,
    const WeightArrays<Dtype>& arrays) {
  Dtype values[5][Block::kSize] = {};
  const WeightArrays<Dtype> copies = {arrays.gradient ? values[0] : NULL,
      values[1], {values[2], values[3]}, values[4]};
  const size_t bytes = count * sizeof(Dtype);
  if (arrays.gradient) {
    std::memcpy(values[0], arrays.gradient, bytes);
  }
  std::memcpy(values[1], arrays.data, bytes);
  for (int k = 0; k < 2; ++k) {
    if (arrays.history[k]) {
      std::memcpy(values[2 + k], arrays.history[k], bytes);
    }
  }
  Block::Replay(rule, steps, num_steps, copies);
  std::memcpy(arrays.data, values[1], bytes);
  for (int k = 0; k < 2; ++k) {
    if (arrays.history[k]) {
      std::memcpy(arrays.history[k], values[2 + k], bytes);
    }
  }
  if (arrays.update) {
    std::memcpy(arrays.update, values[4], bytes);
  }
}

// What is at arrays, for the next row; the hardware misses that of tiles.
template <typename Dtype>
CAFFE_INLINE void Prefetch(const WeightArrays<Dtype>& arrays, int count) {
  for (int i = 0; i < count; i += 64 / sizeof(Dtype)) {
    __builtin_prefetch(arrays.data + i, 1);
    __builtin_prefetch(arrays.gradient + i);
    for (int k = 0; k < 2; ++k) {
      if (arrays.history[k]) {
        __builtin_prefetch(arrays.history[k] + i, 1);
      }
    }
  }
}

template <typename Block, typename Dtype>
CAFFE_INLINE void ReplayBlocks(const UpdateRule<Dtype>& shared_rule,
    const Stretch<Dtype>* stretches, int num_stretches, int ahead,
    const WeightArrays<Dtype>& row) {
  const UpdateRule<Dtype> rule = shared_rule;  // a copy cannot be aliased
  for (int s = 0; s < num_stretches; ++s) {
    const Stretch<Dtype> stretch = stretches[s];
    WeightArrays<Dtype> arrays = row.From(stretch.begin);
    // Clipped by an infinite norm, Caffe's gradient is 0 where it is infinite,
    // too.
    if (!stretch.has_gradient || stretch.steps[0].clip == 0) {
      arrays.gradient = NULL;
    }
    int i = 0;
    for (; i + Block::kSize <= stretch.count; i += Block::kSize) {
      if (ahead > 0) {
        Prefetch(row.From(stretch.begin + i + ahead), Block::kSize);
      }
      Block::Replay(rule, stretch.steps, stretch.num_steps, arrays.From(i));
    }
    if (i < stretch.count) {
      ReplayRest<Block>(rule, stretch.steps, stretch.num_steps,
          stretch.count - i, arrays.From(i));
    }
  }
}

#ifdef CAFFE_X86_VECTORS
template <typename Step, bool kL1, typename Dtype>
__attribute__((target("avx2,fma"))) void ReplayAvx2(
    const UpdateRule<Dtype>& rule, const Stretch<Dtype>* stretches,
    int num_stretches, int ahead, const WeightArrays<Dtype>& row) {
  ReplayBlocks<Block<Step, Dtype, 32, kL1> >(
      rule, stretches, num_stretches, ahead, row);
}
#endif

template <typename Step, bool kL1, typename Dtype>
void ReplayKind(const UpdateRule<Dtype>& rule, const Stretch<Dtype>* stretches,
    int num_stretches, int ahead, const WeightArrays<Dtype>& row) {
#ifdef CAFFE_X86_VECTORS
  if (vector_bytes() >= 32) {
    return ReplayAvx2<Step, kL1>(rule, stretches, num_stretches, ahead, row);
  }
#endif
  ReplayBlocks<Block<Step, Dtype, 16, kL1> >(
      rule, stretches, num_stretches, ahead, row);
}

template <typename Step, typename Dtype>
void ReplaySolver(const UpdateRule<Dtype>& rule,
    const Stretch<Dtype>* stretches, int num_stretches, int ahead,
    const WeightArrays<Dtype>& row) {
  if (rule.l1) {
    ReplayKind<Step, true>(rule, stretches, num_stretches, ahead, row);
  } else {
    ReplayKind<Step, false>(rule, stretches, num_stretches, ahead, row);
  }
}

}  // namespace

template <typename Dtype>
void ReplaySteps(const UpdateRule<Dtype>& rule, const UpdateStep<Dtype>* steps,
    int num_steps, int count, const WeightArrays<Dtype>& arrays) {
  const Stretch<Dtype> all = {
      0, count, steps, num_steps, arrays.gradient != NULL};
  ReplayStretches(rule, &all, 1, 0, arrays);
}

template <typename Dtype>
void ReplayStretches(const UpdateRule<Dtype>& rule,
    const Stretch<Dtype>* stretches, int num_stretches, int ahead,
    const WeightArrays<Dtype>& row) {
  switch (rule.solver) {
#define CAFFE_REPLAY(kind, Step) \
  case SolverKind::kind:         \
    return ReplaySolver<Step>(rule, stretches, num_stretches, ahead, row)
    CAFFE_REPLAY(SGD, SGDStep);
    CAFFE_REPLAY(NESTEROV, NesterovStep);
    CAFFE_REPLAY(ADAGRAD, AdaGradStep);
    CAFFE_REPLAY(RMSPROP, RMSPropStep);
    CAFFE_REPLAY(ADADELTA, AdaDeltaStep);
    CAFFE_REPLAY(ADAM, AdamStep);
#undef CAFFE_REPLAY
  }
}

#define INSTANTIATE_REPLAY(Dtype)                                      \
  template void ReplaySteps<Dtype>(const UpdateRule<Dtype>&,           \
      const UpdateStep<Dtype>*, int, int, const WeightArrays<Dtype>&); \
  template void ReplayStretches<Dtype>(const UpdateRule<Dtype>&,       \
      const Stretch<Dtype>*, int, int, const WeightArrays<Dtype>&)

INSTANTIATE_REPLAY(float);
INSTANTIATE_REPLAY(double);

}  // namespace caffe
