#ifndef CAFFE_APPROX_DROPOUT_CONVOLUTION_LAYER_HPP_
#define CAFFE_APPROX_DROPOUT_CONVOLUTION_LAYER_HPP_

#include <vector>

#include "caffe/approx_dropout/pattern/dropout_pattern.hpp"
#include "caffe/approx_dropout/product/convolution_product.hpp"
#include "caffe/approx_dropout/update/lazy_layer.hpp"
#include "caffe/blob.hpp"
#include "caffe/common.hpp"
#include "caffe/layers/base_conv_layer.hpp"
#include "caffe/proto/caffe.pb.h"

namespace caffe {

/**
 * @brief Convolution of images that computes, forward and backward, only the
 *        channels that a dropout pattern keeps. With keep(c) = 1 for kept
 *        channels, else 0, and s the pattern's scale:
 *
 *            ROW   y = s keep o (W * x + b), Convolution and the dropout of
 *                  whole feature maps in one
 *            NONE  y = W * x + b
 *
 * bottom: x, (images x I x height x width); with compact_input, I is the
 *             channels that x's own pattern kept.
 *         the output's pattern, unless NONE
 *         x's own pattern, with compact_input
 * top:    y, (images x O x output height x output width): num_output channels,
 *         zero where dropped; with compact_output (ROW) the kept ones only.
 * blobs:  W, (num_output x all inputs / group x kernel height x width), and b,
 *         (num_output), unless bias_term is false: those of Convolution.
 *
 * All fields of convolution_param are Convolution's, `engine` aside. Groups
 * of the patterns are of the images. Where `group` is above 1, a pattern's
 * period must divide the channels of each of the convolution's groups. TILE
 * and other than 2-D convolutions are refused. Patterns get no gradient.
 */
template <typename Dtype>
class ApproxDropoutConvolutionLayer : public BaseConvolutionLayer<Dtype>,
                                      public LazyLayer<Dtype> {
 public:
  explicit ApproxDropoutConvolutionLayer(const LayerParameter& param)
      : BaseConvolutionLayer<Dtype>(param) {}
  virtual void LayerSetUp(
      const vector<Blob<Dtype>*>& bottom, const vector<Blob<Dtype>*>& top);
  virtual void Reshape(
      const vector<Blob<Dtype>*>& bottom, const vector<Blob<Dtype>*>& top);

  virtual inline const char* type() const { return "ApproxDropoutConvolution"; }
  virtual inline int MaxBottomBlobs() const { return 3; }
  virtual inline int ExactNumTopBlobs() const { return 1; }
  virtual inline bool EqualNumBottomTopBlobs() const { return false; }
  virtual inline bool AllowForceBackward(const int bottom_index) const {
    return bottom_index == 0;
  }

  /// @brief On the CPU. The GPU's kernels update all of W in one pass.
  virtual bool CanBeLazy(int param_id) const {
    return param_id == 0 && Caffe::mode() == Caffe::CPU;
  }
  virtual void SetLazy(int param_id, LazyParameter<Dtype>* lazy) {
    product_.SetLazy(lazy);
  }
  virtual bool PatternsChooseCells() const { return true; }

 protected:
  virtual void Forward_cpu(
      const vector<Blob<Dtype>*>& bottom, const vector<Blob<Dtype>*>& top);
  virtual void Forward_gpu(
      const vector<Blob<Dtype>*>& bottom, const vector<Blob<Dtype>*>& top);
  virtual void Backward_cpu(const vector<Blob<Dtype>*>& top,
      const vector<bool>& propagate_down, const vector<Blob<Dtype>*>& bottom);
  virtual void Backward_gpu(const vector<Blob<Dtype>*>& top,
      const vector<bool>& propagate_down, const vector<Blob<Dtype>*>& bottom);
  virtual bool reverse_dimensions() { return false; }
  virtual void compute_output_shape() {}

  ConvolutionShape ShapeOf(const Blob<Dtype>& x);
  /// @brief That each of the convolution's groups keeps equally many of a
  ///        side's channels, by a pattern of this period.
  void CheckConvolutionGroups(int period, const string& side, int channels);

  ApproxDropoutPatterns<Dtype> patterns_;
  ConvolutionProduct<Dtype> product_;
};

}  // namespace caffe

#endif  // CAFFE_APPROX_DROPOUT_CONVOLUTION_LAYER_HPP_
