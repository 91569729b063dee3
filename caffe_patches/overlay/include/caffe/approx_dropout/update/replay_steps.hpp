#ifndef CAFFE_APPROX_DROPOUT_UPDATE_REPLAY_STEPS_HPP_
#define CAFFE_APPROX_DROPOUT_UPDATE_REPLAY_STEPS_HPP_

#include <cmath>

#include "caffe/approx_dropout/pattern/kept_cells.hpp"

namespace caffe {

/**
 * @brief The update of SGDSolver for one parameter, in one pass over it. With
 *        gradient g, a step does, in this order and with this rounding,
 *
 *            d = (g clip) normalization
 *            d = d + decay w             L2; decay sign(w) for L1
 *            h = rate d + momentum h
 *            w = w - h
 *
 * Where the machine has fused multiply-add, it is used where Caffe's BLAS uses
 * it: for decay w + d and for rate d + (momentum h).
 */
template <typename Dtype>
struct UpdateRule {
  Dtype normalization;  // 1 / iter_size
  Dtype decay;          // times the parameter's decay_mult
  bool l1;              // regularization_type: "L1"
  Dtype momentum;
};

/// @brief What changes from one step to the next.
template <typename Dtype>
struct UpdateStep {
  Dtype rate;  // times the parameter's lr_mult
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

/// @brief Does num_steps steps, at least one, on `count` elements of data and
///        history. The first step has the gradient, if it is not NULL; the
///        others have none. The result equals, bit for bit, one call per step.
///        Without momentum, history is only written, or may be NULL.
template <typename Dtype>
void ReplaySteps(const UpdateRule<Dtype>& rule,
    const UpdateStep<Dtype>* steps, int num_steps, int count,
    const Dtype* gradient, Dtype* data, Dtype* history);

}  // namespace caffe

#endif  // CAFFE_APPROX_DROPOUT_UPDATE_REPLAY_STEPS_HPP_
