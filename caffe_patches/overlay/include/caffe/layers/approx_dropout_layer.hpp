#ifndef CAFFE_APPROX_DROPOUT_LAYER_HPP_
#define CAFFE_APPROX_DROPOUT_LAYER_HPP_

#include <vector>

#include "caffe/approx_dropout/pattern/dropout_pattern.hpp"
#include "caffe/blob.hpp"
#include "caffe/layer.hpp"
#include "caffe/proto/caffe.pb.h"

namespace caffe {

/**
 * @brief Drops units of any layer's output by a pattern: y = s keep o x over
 *        one axis of x, for an embedding or a pooling, say. Of a blob of
 *        four axes it drops channels, axis 1, else entries of the last axis;
 *        approx_dropout_param.unit_axis chooses another.
 *
 * bottom: x, (... x units x ...); the pattern
 * top:    y, (... x units x ...), zero where dropped; with compact_output
 *         (... x kept units x ...). Not in place.
 *
 * Of approx_dropout_param it takes compact_output and unit_axis only. Groups
 * are of the axis before the units; along those before it, time steps, its
 * samples go on from group to group (GroupRows). The pattern gets no gradient.
 */
template <typename Dtype>
class ApproxDropoutLayer : public Layer<Dtype> {
 public:
  explicit ApproxDropoutLayer(const LayerParameter& param)
      : Layer<Dtype>(param) {}
  virtual void LayerSetUp(const vector<Blob<Dtype>*>& bottom,
      const vector<Blob<Dtype>*>& top);
  virtual void Reshape(const vector<Blob<Dtype>*>& bottom,
      const vector<Blob<Dtype>*>& top);

  virtual inline const char* type() const { return "ApproxDropout"; }
  virtual inline int ExactNumBottomBlobs() const { return 2; }
  virtual inline int ExactNumTopBlobs() const { return 1; }
  virtual inline bool AllowForceBackward(const int bottom_index) const {
    return bottom_index == 0;
  }

 protected:
  virtual void Forward_cpu(const vector<Blob<Dtype>*>& bottom,
      const vector<Blob<Dtype>*>& top);
  virtual void Forward_gpu(const vector<Blob<Dtype>*>& bottom,
      const vector<Blob<Dtype>*>& top);
  virtual void Backward_cpu(const vector<Blob<Dtype>*>& top,
      const vector<bool>& propagate_down, const vector<Blob<Dtype>*>& bottom);
  virtual void Backward_gpu(const vector<Blob<Dtype>*>& top,
      const vector<bool>& propagate_down, const vector<Blob<Dtype>*>& bottom);

  /// @brief Which axis of x holds the units.
  int Axis(const Blob<Dtype>& x) const;

  int units_;
  int stored_;  // units of a sample in the top
  int width_;   // values of a unit
  int num_rows_;     // samples of all steps
  int num_samples_;  // of one step
  ApproxDropoutPatterns<Dtype> patterns_;
};

}  // namespace caffe

#endif  // CAFFE_APPROX_DROPOUT_LAYER_HPP_
