#ifndef CAFFE_APPROX_DROPOUT_UPDATE_SOLVER_STEPS_HPP_
#define CAFFE_APPROX_DROPOUT_UPDATE_SOLVER_STEPS_HPP_

#include <cmath>

#include "caffe/approx_dropout/math/host_device.hpp"
#include "caffe/approx_dropout/math/vector_target.hpp"

namespace caffe {

/**
 * What a step of each of Caffe's solvers does to one weight w, in Caffe's order
 * and rounding. From its gradient g,
 *
 *     d = (g clip) normalization
 *     d = d + decay w             L2; decay sign(w) for L1
 *     u = Update(rate, d, h)      which also changes the histories h
 *     w = w - u
 *
 * Math is the arithmetic, of a number or of a vector of them:
 *
 *     Product(a, x)        a x, rounded
 *     AddProduct(a, x, y)  a x + y, by a fused multiply-add where the machine
 *                          has it, as Caffe's BLAS does in axpy
 *     Root(x)              the square root, correctly rounded
 *     Sign(x)              1, 0 or -1
 *
 * For squares and roots Caffe calls pow(x, 2) and pow(x, 0.5), which now and
 * then round the other way.
 */
enum class SolverKind { SGD, NESTEROV, ADAGRAD, RMSPROP, ADADELTA, ADAM };

/// @brief What a step with d = 0 does. The first is always a right answer.
enum class Idle {
  MOVES_WEIGHT,    // u may not be 0
  DECAYS_HISTORY,  // h = momentum h, for each history, and u = 0
  IS_UNSEEN        // only sets h to 0, for a solver that will not read it, or
                   // changes nothing at all
};

/// @brief What stays the same from one step of a parameter to the next.
template <typename Dtype>
struct UpdateRule {
  Dtype normalization;  // 1 / iter_size
  Dtype decay;          // times the parameter's decay_mult
  bool l1;              // regularization_type: "L1"
  Dtype momentum;       // RMSProp's rms_decay
  SolverKind solver;
  Dtype momentum2;  // Adam's
  Dtype delta;      // AdaGrad's, RMSProp's, AdaDelta's and Adam's
  Idle idle;        // IdleOf(*this), or MOVES_WEIGHT
};

/// @brief What changes from one step to the next.
template <typename Dtype>
struct UpdateStep {
  Dtype rate;  // times the parameter's lr_mult and, for Adam, its correction
  // Factor of clip_gradients, 1 where it does not act. 0, by an infinite norm,
  // makes every gradient 0.
  Dtype clip;
};

/// @brief The norm of gradients whose squares sum to this. As Caffe's it is
///        infinite where a Dtype does not hold the sum.
template <typename Dtype>
CAFFE_HOST_DEVICE inline Dtype GradientNorm(double sum_squares) {
  const Dtype sum = static_cast<Dtype>(sum_squares);
  return std::isinf(sum) ? sum : static_cast<Dtype>(std::sqrt(sum_squares));
}

/// @brief Whether a step depends on the histories that it finds.
template <typename Dtype>
CAFFE_HOST_DEVICE inline bool ReadsHistory(const UpdateRule<Dtype>& rule) {
  return rule.momentum != 0 || (rule.solver != SolverKind::SGD &&
                                   rule.solver != SolverKind::NESTEROV);
}

/// @brief For finite rates.
template <typename Dtype>
inline Idle IdleOf(const UpdateRule<Dtype>& rule) {
  if (rule.decay != 0) {
    return Idle::MOVES_WEIGHT;
  }
  if (!ReadsHistory(rule)) {
    return Idle::IS_UNSEEN;
  }
  // Without delta, d = 0 may be divided by 0.
  if (!(rule.delta > 0)) {
    return Idle::MOVES_WEIGHT;
  }
  switch (rule.solver) {
    case SolverKind::ADAGRAD:
      return Idle::IS_UNSEEN;
    case SolverKind::RMSPROP:
      return Idle::DECAYS_HISTORY;
    case SolverKind::ADADELTA:
      return Idle::DECAYS_HISTORY;
    default:
      return Idle::MOVES_WEIGHT;
  }
}

// One struct for each solver: how many histories a weight has, and the update.

struct SGDStep {
  static const int kHistories = 1;

  template <typename Math, typename Dtype, typename Value>
  static CAFFE_HOST_DEVICE CAFFE_INLINE Value Update(
      const UpdateRule<Dtype>& rule, Dtype rate, Value d, Value* h) {
    h[0] = Math::AddProduct(rate, d, Math::Product(rule.momentum, h[0]));
    return h[0];
  }
};

struct NesterovStep {
  static const int kHistories = 1;

  template <typename Math, typename Dtype, typename Value>
  static CAFFE_HOST_DEVICE CAFFE_INLINE Value Update(
      const UpdateRule<Dtype>& rule, Dtype rate, Value d, Value* h) {
    const Value kept = Math::Product(rule.momentum, h[0]);
    h[0] = Math::AddProduct(rate, d, kept);
    return Math::AddProduct(1 + rule.momentum, h[0], -kept);
  }
};

struct AdaGradStep {
  static const int kHistories = 1;

  template <typename Math, typename Dtype, typename Value>
  static CAFFE_HOST_DEVICE CAFFE_INLINE Value Update(
      const UpdateRule<Dtype>& rule, Dtype rate, Value d, Value* h) {
    h[0] = Math::Product(d, d) + h[0];
    return Math::Product(rate, d / (Math::Root(h[0]) + rule.delta));
  }
};

struct RMSPropStep {
  static const int kHistories = 1;

  template <typename Math, typename Dtype, typename Value>
  static CAFFE_HOST_DEVICE CAFFE_INLINE Value Update(
      const UpdateRule<Dtype>& rule, Dtype rate, Value d, Value* h) {
    h[0] = Math::AddProduct(1 - rule.momentum, Math::Product(d, d),
        Math::Product(rule.momentum, h[0]));
    return Math::Product(rate, d / (Math::Root(h[0]) + rule.delta));
  }
};

struct AdaDeltaStep {
  static const int kHistories = 2;  // of gradients, of updates

  template <typename Math, typename Dtype, typename Value>
  static CAFFE_HOST_DEVICE CAFFE_INLINE Value Update(
      const UpdateRule<Dtype>& rule, Dtype rate, Value d, Value* h) {
    h[0] = Math::AddProduct(1 - rule.momentum, Math::Product(d, d),
        Math::Product(rule.momentum, h[0]));
    const Value u =
        Math::Product(d, Math::Root((h[1] + rule.delta) / (h[0] + rule.delta)));
    h[1] = Math::AddProduct(1 - rule.momentum, Math::Product(u, u),
        Math::Product(rule.momentum, h[1]));
    return Math::Product(rate, u);
  }
};

struct AdamStep {
  static const int kHistories = 2;  // m and v

  template <typename Math, typename Dtype, typename Value>
  static CAFFE_HOST_DEVICE CAFFE_INLINE Value Update(
      const UpdateRule<Dtype>& rule, Dtype rate, Value d, Value* h) {
    h[0] = Math::AddProduct(
        1 - rule.momentum, d, Math::Product(rule.momentum, h[0]));
    h[1] = Math::AddProduct(1 - rule.momentum2, Math::Product(d, d),
        Math::Product(rule.momentum2, h[1]));
    return Math::Product(rate, h[0] / (Math::Root(h[1]) + rule.delta));
  }
};

/// @brief Adam's factor of the rate in iteration 0, 1, 2, ...
template <typename Dtype>
inline Dtype AdamCorrection(const UpdateRule<Dtype>& rule, int iteration) {
  const int t = iteration + 1;
  return std::sqrt(Dtype(1) - std::pow(rule.momentum2, t)) /
         (Dtype(1) - std::pow(rule.momentum, t));
}

/// @brief All of a step: clipped and normalized, g is the gradient.
template <typename Step, typename Math, bool kL1, typename Dtype,
    typename Value>
CAFFE_HOST_DEVICE CAFFE_INLINE Value DoStep(
    const UpdateRule<Dtype>& rule, Dtype rate, Value g, Value* w, Value* h) {
  const Value decayed = kL1 ? Math::Sign(*w) : *w;
  const Value d = Math::AddProduct(rule.decay, decayed, g);
  const Value u = Step::template Update<Math>(rule, rate, d, h);
  *w -= u;
  return u;
}

#ifdef __CUDA_ARCH__
__device__ inline float RoundedProduct(float a, float x) {
  return __fmul_rn(a, x);
}
__device__ inline double RoundedProduct(double a, double x) {
  return __dmul_rn(a, x);
}
#endif

/// @brief The arithmetic of single numbers, with fused multiply-add.
template <typename Dtype>
struct ScalarMath {
  static CAFFE_HOST_DEVICE CAFFE_INLINE Dtype Product(Dtype a, Dtype x) {
#ifdef __CUDA_ARCH__
    return RoundedProduct(a, x);  // nvcc would fuse it with a sum
#else
    return a * x;
#endif
  }
  static CAFFE_HOST_DEVICE CAFFE_INLINE Dtype AddProduct(
      Dtype a, Dtype x, Dtype y) {
    return std::fma(a, x, y);
  }
  static CAFFE_HOST_DEVICE CAFFE_INLINE Dtype Root(Dtype x) {
    return std::sqrt(x);
  }
  static CAFFE_HOST_DEVICE CAFFE_INLINE Dtype Sign(Dtype x) {
    return Dtype((x > 0) - (x < 0));
  }
};

}  // namespace caffe

#endif  // CAFFE_APPROX_DROPOUT_UPDATE_SOLVER_STEPS_HPP_
