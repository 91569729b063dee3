#include <vector>

#include "caffe/filler.hpp"
#include "caffe/layers/approx_dropout_inner_product_layer.hpp"

namespace caffe {

template <typename Dtype>
void ApproxDropoutInnerProductLayer<Dtype>::LayerSetUp(
    const vector<Blob<Dtype>*>& bottom, const vector<Blob<Dtype>*>& top) {
  const InnerProductParameter& param =
      this->layer_param_.inner_product_param();
  const string name = "ApproxDropoutInnerProduct layer '"
      + this->layer_param_.name() + "'";
  CHECK(!param.transpose()) << name << ": transpose: true is not supported; "
      << "store the weights as (num_output x inputs)";
  CHECK(!this->layer_param_.approx_dropout_param().recurrent()) << name
      << ": recurrent: true is for ApproxDropoutLSTM";
  CHECK(param.num_output() >= 1 && param.num_output() <= kMaxUnits)
      << name << ": num_output is " << param.num_output()
      << "; it must be from 1 to " << kMaxUnits;
  patterns_ = ApproxDropoutPatterns<Dtype>(this->layer_param_, 1,
      bottom.size());
  num_output_ = param.num_output();
  bias_term_ = param.bias_term();
  const int axis = bottom[0]->CanonicalAxisIndex(param.axis());
  const int axes = bottom[0]->num_axes();
  CHECK(!patterns_.has_input() || axis == axes - 1 || (axes == 4 && axis == 1))
      << name << ": compact_input needs an input with one axis of features, or "
      << "one of four axes, whose channels are units, with axis: 1; but its "
      << "shape is " << bottom[0]->shape_string() << " and axis: " << axis;
  num_input_ = bottom[0]->count(axis);
  input_width_ = patterns_.has_input() ? bottom[0]->count(axis + 1) : 1;
  CHECK_GE(input_width_, 1) << name << ": its input of shape "
      << bottom[0]->shape_string() << " has no values per channel";
  patterns_.CheckUnits(
      bottom, num_output_, num_input_ / input_width_, input_width_);
  if (this->blobs_.size() > 0) {
    LOG(INFO) << "Skipping parameter initialization";
  } else {
    // In the order of InnerProduct, so that a seed gives the same values.
    vector<int> shape(1, num_output_);
    shape.push_back(num_input_);
    this->blobs_.resize(bias_term_ ? 2 : 1);
    this->blobs_[0].reset(new Blob<Dtype>(shape));
    shared_ptr<Filler<Dtype> > filler(GetFiller<Dtype>(param.weight_filler()));
    filler->Fill(this->blobs_[0].get());
    if (bias_term_) {
      shape.pop_back();
      this->blobs_[1].reset(new Blob<Dtype>(shape));
      filler.reset(GetFiller<Dtype>(param.bias_filler()));
      filler->Fill(this->blobs_[1].get());
    }
  }
  this->param_propagate_down_.resize(this->blobs_.size(), true);
}

template <typename Dtype>
void ApproxDropoutInnerProductLayer<Dtype>::Reshape(
    const vector<Blob<Dtype>*>& bottom, const vector<Blob<Dtype>*>& top) {
  const int axis = bottom[0]->CanonicalAxisIndex(
      this->layer_param_.inner_product_param().axis());
  outer_ = axis > 0 ? bottom[0]->count(0, axis - 1) : 1;
  num_samples_ = axis > 0 ? bottom[0]->shape(axis - 1) : 1;
  patterns_.Read(bottom, num_samples_);
  patterns_.CheckGroups(outer_);
  product_.Keep(patterns_, this->layer_param_.approx_dropout_param(),
      num_output_, num_input_, input_width_, num_samples_);
  const string name =
      "ApproxDropoutInnerProduct layer '" + this->layer_param_.name() + "'";
  CHECK(!patterns_.has_input() || bottom[0]->count(axis + 1) == input_width_)
      << name << ": its input has " << bottom[0]->count(axis + 1)
      << " values per "
      << "channel; W takes " << input_width_;
  CHECK_EQ(bottom[0]->count(axis), product_.stored_input())
      << name << ": its input has " << bottom[0]->count(axis)
      << " features per sample; "
      << (patterns_.has_input() ? "the input's pattern keeps " : "W takes ")
      << product_.stored_input() << " of " << num_input_;
  vector<int> shape(bottom[0]->shape().begin(),
      bottom[0]->shape().begin() + axis);
  shape.push_back(product_.stored_output());
  top[0]->Reshape(shape);
}

template <typename Dtype>
void ApproxDropoutInnerProductLayer<Dtype>::Forward_cpu(
    const vector<Blob<Dtype>*>& bottom, const vector<Blob<Dtype>*>& top) {
  if (top[0]->count() == 0) { return; }  // no samples
  product_.PackWeights_cpu(CpuWeights(*this->blobs_[0], product_.lazy()));
  product_.Forward_cpu(outer_, bottom[0]->cpu_data(),
      bias_term_ ? this->blobs_[1]->cpu_data() : NULL, false,
      top[0]->mutable_cpu_data());
}

template <typename Dtype>
void ApproxDropoutInnerProductLayer<Dtype>::Backward_cpu(
    const vector<Blob<Dtype>*>& top, const vector<bool>& propagate_down,
    const vector<Blob<Dtype>*>& bottom) {
  if (top[0]->count() == 0) { return; }  // no samples
  product_.Backward_cpu(outer_, bottom[0]->cpu_data(), top[0]->cpu_diff(),
      propagate_down[0] ? bottom[0]->mutable_cpu_diff() : NULL,
      this->param_propagate_down_[0]
          ? CpuGradient(this->blobs_[0].get(), product_.lazy())
          : NULL,
      bias_term_ && this->param_propagate_down_[1]
          ? this->blobs_[1]->mutable_cpu_diff()
          : NULL);
}

#ifdef CPU_ONLY
STUB_GPU(ApproxDropoutInnerProductLayer);
#endif

INSTANTIATE_CLASS(ApproxDropoutInnerProductLayer);
REGISTER_LAYER_CLASS(ApproxDropoutInnerProduct);

}  // namespace caffe
