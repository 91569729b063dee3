#ifndef CAFFE_APPROX_DROPOUT_UPDATE_REPLAY_STEPS_HPP_
#define CAFFE_APPROX_DROPOUT_UPDATE_REPLAY_STEPS_HPP_

#include <cstddef>

#include "caffe/approx_dropout/update/solver_steps.hpp"

namespace caffe {

/// @brief A parameter's values, or some of them, in memory.
template <typename Dtype>
struct WeightArrays {
  Dtype* gradient;
  Dtype* data;
  Dtype* history[2];  // as many as the solver has; the other is NULL
  Dtype* update;      // what the last step subtracted

  /// @brief From an offset on. What is NULL stays NULL.
  WeightArrays From(size_t offset) const {
    const WeightArrays arrays = {gradient ? gradient + offset : NULL,
        data + offset,
        {history[0] ? history[0] + offset : NULL,
            history[1] ? history[1] + offset : NULL},
        update ? update + offset : NULL};
    return arrays;
  }
};

/// @brief Does num_steps steps, at least one, on `count` weights, in one pass
///        over them. The first step has the gradient, if it is not NULL; the
///        others have none. The result equals, bit for bit, one call per step.
///
/// Data is overwritten. History is, too, but if the rule does not read it, it
/// is only written, or may be NULL. The update is written unless it is NULL; it
/// may be where the gradient is.
template <typename Dtype>
void ReplaySteps(const UpdateRule<Dtype>& rule, const UpdateStep<Dtype>* steps,
    int num_steps, int count, const WeightArrays<Dtype>& arrays);

/// @brief Weights side by side, from the begin-th of a row on, and the steps
///        that they must do, at least one.
template <typename Dtype>
struct Stretch {
  int begin, count;
  const UpdateStep<Dtype>* steps;
  int num_steps;
  bool has_gradient;
};

/// @brief ReplaySteps for some of a row's weights, which are too few in a tile
///        to be worth a call for each. If `ahead` is not 0, fetches the weights
///        so far behind them, too.
template <typename Dtype>
void ReplayStretches(const UpdateRule<Dtype>& rule,
    const Stretch<Dtype>* stretches, int num_stretches, int ahead,
    const WeightArrays<Dtype>& row);

}  // namespace caffe

#endif  // CAFFE_APPROX_DROPOUT_UPDATE_REPLAY_STEPS_HPP_
