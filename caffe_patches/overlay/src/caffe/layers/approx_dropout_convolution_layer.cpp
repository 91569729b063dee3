#include "caffe/layers/approx_dropout_convolution_layer.hpp"

#include <climits>
#include <string>
#include <vector>

namespace caffe {

namespace {

// Sizes that are not numbers of pixels, or do not fit into an int.
void CheckAxis(const ConvolutionAxis& axis, const string& layer) {
  CHECK(axis.stride >= 1 && axis.dilation >= 1)
      << layer << "stride and dilation are " << axis.stride << " and "
      << axis.dilation << "; they must be 1 or more";
  const int64_t padded = axis.input + 2 * int64_t(axis.pad);
  CHECK(axis.pad >= 0 && padded <= INT_MAX)
      << layer << "pad is " << static_cast<unsigned>(axis.pad)
      << "; its input of " << axis.input << " leaves room for 0 to "
      << (INT_MAX - axis.input) / 2;
}

}  // namespace

template <typename Dtype>
void ApproxDropoutConvolutionLayer<Dtype>::LayerSetUp(
    const vector<Blob<Dtype>*>& bottom, const vector<Blob<Dtype>*>& top) {
  const ApproxDropoutParameter& param =
      this->layer_param_.approx_dropout_param();
  const string name =
      "ApproxDropoutConvolution layer '" + this->layer_param_.name() + "'";
  CHECK_NE(param.pattern(), ApproxDropoutParameter_Pattern_TILE)
      << name << ": pattern: TILE is for inner products; ROW drops channels";
  CHECK(!param.recurrent())
      << name << ": recurrent: true is for ApproxDropoutLSTM";
  CHECK(bottom[0]->num_axes() == 4 &&
        bottom[0]->CanonicalAxisIndex(
            this->layer_param_.convolution_param().axis()) == 1)
      << name
      << ": convolves images, (images x channels x height x width) with axis: "
      << "1, but its input has shape " << bottom[0]->shape_string()
      << " and axis: " << this->layer_param_.convolution_param().axis();
  const int group = this->layer_param_.convolution_param().group();
  CHECK_GE(group, 1) << name
                     << ": group must be from 1 to the number of channels";
  patterns_ =
      ApproxDropoutPatterns<Dtype>(this->layer_param_, 1, bottom.size());
  BaseConvolutionLayer<Dtype>::LayerSetUp(
      vector<Blob<Dtype>*>(1, bottom[0]), top);
  patterns_.CheckUnits(bottom, this->num_output_, this->channels_);
  // Patterns that are not drawn yet are as long as N.
  if (patterns_.has_output()) {
    CheckConvolutionGroups(
        bottom[1]->shape(1) - 2, "output", this->num_output_);
  }
  if (patterns_.has_input()) {
    CheckConvolutionGroups(
        bottom.back()->shape(1) - 2, "input", this->channels_);
  }
}

template <typename Dtype>
void ApproxDropoutConvolutionLayer<Dtype>::CheckConvolutionGroups(
    int period, const string& side, int channels) {
  CHECK(this->group_ == 1 || channels / this->group_ % period == 0)
      << "ApproxDropoutConvolution layer '" << this->layer_param_.name()
      << "': with group: " << this->group_ << " each group of its " << side
      << " has " << channels / this->group_
      << " channels, which the pattern's period, " << period
      << ", must divide, so that every group keeps equally many. RESIDUE's is "
      << "N, PERIOD's any number up to N";
}

template <typename Dtype>
ConvolutionShape ApproxDropoutConvolutionLayer<Dtype>::ShapeOf(
    const Blob<Dtype>& x) {
  const string name =
      "ApproxDropoutConvolution layer '" + this->layer_param_.name() + "': ";
  ConvolutionAxis axes[2];
  for (int i = 0; i < 2; ++i) {
    const ConvolutionAxis axis = {x.shape(2 + i),
        this->kernel_shape_.cpu_data()[i], this->pad_.cpu_data()[i],
        this->stride_.cpu_data()[i], this->dilation_.cpu_data()[i]};
    axes[i] = axis;
    CheckAxis(axis, name);
    CHECK_GE(axis.input + 2 * axis.pad,
        int64_t(axis.dilation) * (axis.kernel - 1) + 1)
        << name << "the kernel, dilation included, is larger than its input "
        << "of shape " << x.shape_string() << " with its padding";
  }
  const ConvolutionShape shape = {axes[0], axes[1]};
  return shape;
}

template <typename Dtype>
void ApproxDropoutConvolutionLayer<Dtype>::Reshape(
    const vector<Blob<Dtype>*>& bottom, const vector<Blob<Dtype>*>& top) {
  const ConvolutionShape shape = ShapeOf(*bottom[0]);
  patterns_.Read(bottom, bottom[0]->shape(0));
  CheckConvolutionGroups(
      patterns_.output().groups[0].period, "output", this->num_output_);
  CheckConvolutionGroups(
      patterns_.input().groups[0].period, "input", this->channels_);
  product_.SetShape(shape, this->group_);
  product_.Keep(patterns_, this->layer_param_.approx_dropout_param(),
      this->num_output_, this->channels_, bottom[0]->shape(0));
  CHECK_EQ(bottom[0]->shape(1), product_.stored_input())
      << "ApproxDropoutConvolution layer '" << this->layer_param_.name()
      << "': its input has " << bottom[0]->shape(1) << " channels; "
      << (patterns_.has_input() ? "the input's pattern keeps " : "W takes ")
      << product_.stored_input() << " of " << this->channels_;
  vector<int> top_shape = bottom[0]->shape();
  top_shape[1] = product_.stored_output();
  top_shape[2] = shape.height.output();
  top_shape[3] = shape.width.output();
  top[0]->Reshape(top_shape);
}

template <typename Dtype>
void ApproxDropoutConvolutionLayer<Dtype>::Forward_cpu(
    const vector<Blob<Dtype>*>& bottom, const vector<Blob<Dtype>*>& top) {
  if (top[0]->count() == 0) { return; }  // no samples
  product_.PackWeights_cpu(CpuWeights(*this->blobs_[0], product_.lazy()));
  product_.Forward_cpu(bottom[0]->cpu_data(),
      this->bias_term_ ? this->blobs_[1]->cpu_data() : NULL,
      top[0]->mutable_cpu_data());
}

template <typename Dtype>
void ApproxDropoutConvolutionLayer<Dtype>::Backward_cpu(
    const vector<Blob<Dtype>*>& top, const vector<bool>& propagate_down,
    const vector<Blob<Dtype>*>& bottom) {
  if (top[0]->count() == 0) { return; }  // no samples
  product_.Backward_cpu(bottom[0]->cpu_data(), top[0]->cpu_diff(),
      propagate_down[0] ? bottom[0]->mutable_cpu_diff() : NULL,
      this->param_propagate_down_[0]
          ? CpuGradient(this->blobs_[0].get(), product_.lazy())
          : NULL,
      this->bias_term_ && this->param_propagate_down_[1]
          ? this->blobs_[1]->mutable_cpu_diff()
          : NULL);
}

#ifdef CPU_ONLY
STUB_GPU(ApproxDropoutConvolutionLayer);
#endif

INSTANTIATE_CLASS(ApproxDropoutConvolutionLayer);
REGISTER_LAYER_CLASS(ApproxDropoutConvolution);

}  // namespace caffe
