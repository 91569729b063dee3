#ifndef CAFFE_APPROX_DROPOUT_LSTM_LAYER_HPP_
#define CAFFE_APPROX_DROPOUT_LSTM_LAYER_HPP_

#include <string>
#include <vector>

#include "caffe/approx_dropout/math/launch_graph.hpp"
#include "caffe/approx_dropout/pattern/dropout_pattern.hpp"
#include "caffe/approx_dropout/product/kept_product.hpp"
#include "caffe/approx_dropout/product/lstm_cell.hpp"
#include "caffe/approx_dropout/product/lstm_step.hpp"
#include "caffe/approx_dropout/update/lazy_layer.hpp"
#include "caffe/blob.hpp"
#include "caffe/layer.hpp"
#include "caffe/layers/resumable_layer.hpp"
#include "caffe/proto/caffe.pb.h"

namespace caffe {

/**
 * @brief LSTM, and the dropout of its output or its weights, that computes
 *        only what a dropout pattern keeps. For t = 1 ... T, with sigma the
 *        logistic function:
 *
 *            [i' f' o' g'] = Wx x_t + b + Wh r_t
 *            i, f, o = sigma(i', f', o'),  g = tanh(g')
 *            c_t = cont_t f o c_{t-1} + i o g
 *            h_t = o o tanh(c_t)
 *
 *        and, with keep(u) = 1 for kept units, else 0, and s the pattern's
 *        scale,
 *
 *            ROW   y_t = s keep o h_t;  Wx, Wh are W_xc, W_hc;
 *                  r_t = cont_t h_{t-1}, or, if `recurrent`,
 *                  r_t = cont_t s keep o h_{t-1}
 *            TILE  y_t = h_t;  r_t = cont_t h_{t-1};
 *                  Wx = s (W_xc o tiles), Wh is W_hc, or, if `recurrent`,
 *                  s (W_hc o tiles), on its own grid with the same pattern
 *            NONE  y_t = h_t;  r_t = cont_t h_{t-1};  W_xc, W_hc
 *
 * bottom: x, (T x N x ...): T time steps of N samples, the rest are D
 *             features. With compact_input it has one feature axis, which
 *             holds the units that x's own pattern kept.
 *         cont, (T x N): 0 where a new sequence begins, else 1
 *         the output's pattern, unless NONE
 *         x's own pattern, with compact_input
 * top:    y, (T x N x H), zero where dropped; with compact_output (ROW) the
 *         kept units only.
 * blobs:  W_xc (4 H x D), b_c (4 H), W_hc (4 H x H), rows in the order i, f,
 *         o, g: those of Caffe's LSTM, in its order.
 *
 * h_T and c_T, unmasked, are h_0 and c_0 of the next pass. They are zero at
 * first, after Reset(), and when N changes. Gradients go back to the start of
 * the pass. cont and patterns get no gradient.
 *
 * Of the N samples' G equal ranges the b-th, b = 0 ... G - 1, is dropped at
 * step t as group (b + t - 1) mod G of a pattern says, h_0 as step 0 would be;
 * the recurrent product's tiles, as group b says at all steps.
 * Static input and expose_hidden are refused; debug_info, there being no
 * unrolled net, has no effect. T may change between passes.
 */
template <typename Dtype>
class ApproxDropoutLSTMLayer : public Layer<Dtype>,
    public LazyLayer<Dtype>, public ResumableLayer {
 public:
  explicit ApproxDropoutLSTMLayer(const LayerParameter& param)
      : Layer<Dtype>(param) {}
  virtual void LayerSetUp(const vector<Blob<Dtype>*>& bottom,
      const vector<Blob<Dtype>*>& top);
  virtual void Reshape(const vector<Blob<Dtype>*>& bottom,
      const vector<Blob<Dtype>*>& top);
  /// @brief Sets hidden and cell state to zero.
  virtual void Reset();
  virtual void SaveState(LayerState* state) const;
  virtual void RestoreState(const LayerState& state);

  virtual inline const char* type() const { return "ApproxDropoutLSTM"; }
  virtual inline int MinBottomBlobs() const { return 2; }
  virtual inline int ExactNumTopBlobs() const { return 1; }
  virtual inline bool AllowForceBackward(const int bottom_index) const {
    return bottom_index == 0;
  }

  virtual bool CanBeLazy(int param_id) const {
    const ApproxDropoutParameter& param =
        this->layer_param_.approx_dropout_param();
    return param_id != 1 && this->blobs_[param_id]->num_axes() == 2 &&
           (!tiles() || (param_id == 0 ? CanTilesBeLazy(param) : !recurrent()));
  }
  virtual void SetLazy(int param_id, LazyParameter<Dtype>* lazy) {
    (param_id == 0 ? input_product_ : recurrent_product_).SetLazy(lazy);
  }
  virtual bool PatternsChooseCells() const { return true; }

 protected:
  virtual void Forward_cpu(const vector<Blob<Dtype>*>& bottom,
      const vector<Blob<Dtype>*>& top);
  virtual void Forward_gpu(const vector<Blob<Dtype>*>& bottom,
      const vector<Blob<Dtype>*>& top);
  virtual void Backward_cpu(const vector<Blob<Dtype>*>& top,
      const vector<bool>& propagate_down, const vector<Blob<Dtype>*>& bottom);
  virtual void Backward_gpu(const vector<Blob<Dtype>*>& top,
      const vector<bool>& propagate_down, const vector<Blob<Dtype>*>& bottom);

  string Name() const;
  void CheckBottoms(const vector<Blob<Dtype>*>& bottom) const;
  void FillParameters();
  /// @brief Says what the two products keep in this pass.
  void KeepProducts();
  /// @brief Makes compact_index_ from the output's pattern.
  void IndexOutputs();
  /// @brief Step t's; t = G - 1 is also right for the step before the first.
  HiddenDropout<Dtype> Dropout(int t, const int* compact_index) const;
  void ForwardStep_cpu(int t, const Dtype* cont, Dtype* output);
  void BackwardStep_cpu(int t, const Dtype* cont, const Dtype* output_diff);
#ifndef CPU_ONLY
  void IndexOutputs_gpu(const vector<KeptCells>& kept, bool compact);
  /// @brief Whether lstm_step has the product of the time steps, too.
  bool fuses_steps() const { return !recurrent() && N_ <= kMaxStepSamples; }
  LSTMSteps<Dtype> Steps_gpu(bool backward);
#endif

  bool rows() const {
    return this->layer_param_.approx_dropout_param().pattern()
        == ApproxDropoutParameter_Pattern_ROW;
  }
  bool tiles() const {
    return this->layer_param_.approx_dropout_param().pattern()
        == ApproxDropoutParameter_Pattern_TILE;
  }
  bool recurrent() const {
    return this->layer_param_.approx_dropout_param().recurrent();
  }

  int T_, N_;
  int num_input_;   // D
  int num_output_;  // H
  int stored_;      // units of a sample in the top
  ApproxDropoutPatterns<Dtype> patterns_;
  KeptProduct<Dtype> input_product_;
  KeptProduct<Dtype> recurrent_product_;
  Blob<int> compact_index_;  // HiddenDropout's, (G x H)

  // h_t, c_t of the last step computed, (N x H). Their gradients in a
  // backward pass: hidden_'s is that of r_t, cell_'s that of c_t.
  Blob<Dtype> hidden_;
  Blob<Dtype> cell_;
  Blob<Dtype> hidden_diff_;  // of h_t, (N x H)
  Blob<Dtype> gates_;        // activated, (T x N x 4 H); diff: before that
  Blob<Dtype> recurrent_input_;  // r_t, (T x N x H)
  Blob<Dtype> cells_;        // c_0 ... c_T, (T + 1 x N x H)

#ifndef CPU_ONLY
  // On the GPU only. Steps read cont here, as a data layer hands out its blobs
  // in turn; so that what they work on stays where it is.
  Blob<Dtype> cont_;            // (T x N)
  Blob<Dtype> hidden_states_;   // h_t, (T x N x H); diff: through the output
  Blob<Dtype> recurrent_diff_;  // parts of r_t's, (parts x N x H)
  Blob<Dtype> step_diff_;       // of two steps' gates
  Blob<int> arrivals_;          // see LSTMSteps
  RepeatedLaunches<LSTMSteps<Dtype> > forward_steps_;
  RepeatedLaunches<LSTMSteps<Dtype> > backward_steps_;
#endif
};

}  // namespace caffe

#endif  // CAFFE_APPROX_DROPOUT_LSTM_LAYER_HPP_
