#ifndef CAFFE_APPROX_DROPOUT_PRODUCT_LSTM_CELL_HPP_
#define CAFFE_APPROX_DROPOUT_PRODUCT_LSTM_CELL_HPP_

#include "caffe/approx_dropout/pattern/sample_groups.hpp"

namespace caffe {

/**
 * The element-wise part of an LSTM's time step, for host and device alike.
 * With i, f, o, g the activated gates, which lie in this order in a sample's
 * 4 H gates, and cont of the step (0 starts a new sequence):
 *
 *            c_t = cont_t f c_{t-1} + i g,    h_t = o tanh(c_t)
 *
 * cont = 0 does not read c_{t-1} and h_{t-1} at all, be they NaN.
 */

/**
 * @brief Dropout of h_t on its two ways out. The layer's output is d o h_t.
 *        The recurrent input of the next step is r_{t+1} = cont_{t+1} h_t, or,
 *        if `recurrent`, cont_{t+1} d o h_t. d is `scale` for kept units, else
 *        0.
 */
template <typename Dtype>
struct HiddenDropout {
  const int* compact_index;  // (groups x units): index in the output, or -1
  int units;         // H
  int stored;        // units of a sample in the output: H, or those kept
  GroupRows groups;
  int step;
  Dtype scale;
  bool recurrent;

  CAFFE_HOST_DEVICE int index_of(int sample, int unit) const {
    return compact_index[groups.group(step, sample) * units + unit];
  }

  /// @brief Writes unit's value of a sample to the output of the step.
  CAFFE_HOST_DEVICE void Output(int sample, int unit, Dtype h,
      Dtype* output) const {
    const int p = index_of(sample, unit);
    if (p >= 0) {
      output[sample * stored + p] = scale * h;
    } else if (stored == units) {
      output[sample * stored + unit] = 0;
    }
  }

  /// @brief The gradient of h from that of the step's output.
  CAFFE_HOST_DEVICE Dtype OutputGradient(
      int sample, int unit, const Dtype* output_diff) const {
    const int p = index_of(sample, unit);
    return p >= 0 ? scale * output_diff[sample * stored + p] : Dtype(0);
  }

  /// @brief What h is multiplied by in the next recurrent input: 0 where it
  ///        has no influence, be it NaN.
  CAFFE_HOST_DEVICE Dtype RecurrentFactor(
      int sample, int unit, Dtype cont) const {
    if (cont == 0 || !recurrent) {
      return cont;
    }
    return index_of(sample, unit) >= 0 ? cont * scale : Dtype(0);
  }

  /// @brief The unit's value of the next recurrent input.
  CAFFE_HOST_DEVICE Dtype Recurrent(int sample, int unit, Dtype h,
      Dtype cont) const {
    const Dtype factor = RecurrentFactor(sample, unit, cont);
    return factor == 0 ? Dtype(0) : factor * h;
  }

  /// @brief The gradient of h from those of the output and of the next
  ///        recurrent input. recurrent_diff is not read where h had no
  ///        influence: cont = 0, or dropped units if `recurrent`.
  CAFFE_HOST_DEVICE Dtype Gradient(int sample, int unit,
      const Dtype* output_diff, const Dtype* recurrent_diff,
      Dtype cont) const {
    Dtype diff = OutputGradient(sample, unit, output_diff);
    const Dtype factor = RecurrentFactor(sample, unit, cont);
    if (factor != 0) {
      diff += factor * recurrent_diff[sample * units + unit];
    }
    return diff;
  }
};

/// @brief What one unit's gates were, or their gradients.
template <typename Dtype>
struct LSTMGates {
  Dtype i, f, o, g;
};

/// @brief The gradients of the gates before their activation, for one unit. dh
///        and *dc are those of h_t and c_t; *dc becomes that of c_{t-1}.
template <typename Dtype>
CAFFE_HOST_DEVICE inline LSTMGates<Dtype> LSTMCellGradient(
    const LSTMGates<Dtype>& gates, Dtype tanh_c, Dtype c_prev, Dtype cont,
    Dtype dh, Dtype* dc) {
  const Dtype i = gates.i, f = gates.f, o = gates.o, g = gates.g;
  const Dtype dc_all = *dc + dh * o * (1 - tanh_c * tanh_c);
  LSTMGates<Dtype> diff;
  diff.i = dc_all * g * i * (1 - i);
  diff.f = dc_all * cont * c_prev * f * (1 - f);
  diff.o = dh * tanh_c * o * (1 - o);
  diff.g = dc_all * i * (1 - g * g);
  *dc = dc_all * cont * f;
  return diff;
}

/// @brief One sample of one step, on the CPU: activates `gates` (4 x units)
///        in place, from it and c_prev makes c and h.
template <typename Dtype>
void lstm_cell_forward(int units, Dtype cont, const Dtype* c_prev,
    Dtype* gates, Dtype* c, Dtype* h);

/// @brief Its gradients: from dh and, in dc, that of c_t, the gradients of the
///        gates before activation, and in dc that of c_{t-1}. `gates` is
///        activated.
template <typename Dtype>
void lstm_cell_backward(int units, Dtype cont, const Dtype* c_prev,
    const Dtype* gates, const Dtype* c, const Dtype* dh, Dtype* dc,
    Dtype* gates_diff);

}  // namespace caffe

#endif  // CAFFE_APPROX_DROPOUT_PRODUCT_LSTM_CELL_HPP_
