#ifndef CAFFE_APPROX_DROPOUT_INNER_PRODUCT_LAYER_HPP_
#define CAFFE_APPROX_DROPOUT_INNER_PRODUCT_LAYER_HPP_

#include <vector>

#include "caffe/approx_dropout/pattern/dropout_pattern.hpp"
#include "caffe/approx_dropout/product/kept_product.hpp"
#include "caffe/approx_dropout/update/lazy_layer.hpp"
#include "caffe/blob.hpp"
#include "caffe/layer.hpp"
#include "caffe/proto/caffe.pb.h"

namespace caffe {

/**
 * @brief InnerProduct that computes, forward and backward, only what a
 *        dropout pattern keeps. With keep(u) = 1 for kept units, else 0, and
 *        s the pattern's scale:
 *
 *            ROW   y = s keep o (x W' + b), InnerProduct and Dropout in one
 *            TILE  y = s x (W o tiles)' + b; tile (r, c) of W, counted from
 *                  0, is kept if (r + c) mod period is in R
 *            NONE  y = x W' + b
 *
 * bottom: x, (... x I): axes before inner_product_param.axis are samples, the
 *             rest are features. With compact_input it has one feature axis,
 *             which holds the units that x's own pattern kept; or it has four
 *             axes, and those units are channels, entries of axis 1, each with
 *             all that lies in the axes behind it.
 *         the output's pattern, unless NONE
 *         x's own pattern, with compact_input
 * top:    y, (... x O): num_output units, zero where dropped; with
 *         compact_output (ROW) the kept units only.
 * blobs:  W, (num_output x all inputs), and b, (num_output), unless bias_term
 *         is false: those of InnerProduct.
 *
 * Groups are of the last sample axis; along those before it, time steps, its
 * samples go on from group to group (GroupRows). Then both patterns need as
 * many groups, or one of them 1. Patterns get no gradient. `transpose` is
 * refused.
 */
template <typename Dtype>
class ApproxDropoutInnerProductLayer
    : public Layer<Dtype>, public LazyLayer<Dtype> {
 public:
  explicit ApproxDropoutInnerProductLayer(const LayerParameter& param)
      : Layer<Dtype>(param), rectifies_(false) {}
  virtual void LayerSetUp(const vector<Blob<Dtype>*>& bottom,
      const vector<Blob<Dtype>*>& top);
  virtual void Reshape(const vector<Blob<Dtype>*>& bottom,
      const vector<Blob<Dtype>*>& top);

  virtual inline const char* type() const {
    return "ApproxDropoutInnerProduct";
  }
  virtual inline int MinBottomBlobs() const { return 1; }
  virtual inline int MaxBottomBlobs() const { return 3; }
  virtual inline int ExactNumTopBlobs() const { return 1; }
  virtual inline bool AllowForceBackward(const int bottom_index) const {
    return bottom_index == 0;
  }

  virtual bool CanBeLazy(int param_id) const {
    // Old snapshots may give W four axes.
    const ApproxDropoutParameter& param =
        this->layer_param_.approx_dropout_param();
    return param_id == 0 && this->blobs_[0]->num_axes() == 2 &&
           (param.pattern() != ApproxDropoutParameter_Pattern_TILE ||
               CanTilesBeLazy(param));
  }
  virtual void SetLazy(int param_id, LazyParameter<Dtype>* lazy) {
    product_.SetLazy(lazy);
  }
  virtual bool PatternsChooseCells() const { return true; }

  /// @brief Whether it puts out ReLU of y on the GPU (solver/fuse_relu.hpp).
  bool rectifies() const { return rectifies_; }
  void set_rectifies(bool rectifies) { rectifies_ = rectifies; }

 protected:
  virtual void Forward_cpu(const vector<Blob<Dtype>*>& bottom,
      const vector<Blob<Dtype>*>& top);
  virtual void Forward_gpu(const vector<Blob<Dtype>*>& bottom,
      const vector<Blob<Dtype>*>& top);
  virtual void Backward_cpu(const vector<Blob<Dtype>*>& top,
      const vector<bool>& propagate_down, const vector<Blob<Dtype>*>& bottom);
  virtual void Backward_gpu(const vector<Blob<Dtype>*>& top,
      const vector<bool>& propagate_down, const vector<Blob<Dtype>*>& bottom);

  int num_output_;
  int num_input_;  // columns of W
  int input_width_;  // of them, for a unit of x's pattern
  int outer_;      // samples are outer_ x num_samples_
  int num_samples_;
  bool bias_term_;
  bool rectifies_;
  ApproxDropoutPatterns<Dtype> patterns_;
  KeptProduct<Dtype> product_;
};

}  // namespace caffe

#endif  // CAFFE_APPROX_DROPOUT_INNER_PRODUCT_LAYER_HPP_
