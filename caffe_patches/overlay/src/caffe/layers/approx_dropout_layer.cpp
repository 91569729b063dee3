#include <vector>

#include "caffe/layers/approx_dropout_layer.hpp"
#include "caffe/util/kept_product.hpp"
#include "caffe/util/math_functions.hpp"

namespace caffe {

template <typename Dtype>
void ApproxDropoutLayer<Dtype>::LayerSetUp(const vector<Blob<Dtype>*>& bottom,
    const vector<Blob<Dtype>*>& top) {
  const ApproxDropoutParameter& param =
      this->layer_param_.approx_dropout_param();
  CHECK(param.pattern() == ApproxDropoutParameter_Pattern_ROW &&
      !param.compact_input() && !param.recurrent())
      << "ApproxDropout layer '" << this->layer_param_.name()
      << "': drops units of its input; of approx_dropout_param it takes "
      << "compact_output only";
  CHECK_NE(bottom[0], top[0]) << "ApproxDropout layer '"
      << this->layer_param_.name() << "': cannot work in place; give its top "
      << "another name than its bottom";
  patterns_ = ApproxDropoutPatterns<Dtype>(this->layer_param_, 1,
      bottom.size());
  CHECK_GE(bottom[0]->num_axes(), 1) << "ApproxDropout layer '"
      << this->layer_param_.name() << "': its input has no axis";
  patterns_.CheckUnits(bottom, bottom[0]->shape(-1), 0);
}

template <typename Dtype>
void ApproxDropoutLayer<Dtype>::Reshape(const vector<Blob<Dtype>*>& bottom,
    const vector<Blob<Dtype>*>& top) {
  const int axes = bottom[0]->num_axes();
  num_samples_ = axes > 1 ? bottom[0]->shape(-2) : 1;
  patterns_.Read(bottom, num_samples_);
  units_ = bottom[0]->shape(-1);
  stored_ = this->layer_param_.approx_dropout_param().compact_output() ?
      patterns_.output().groups[0].count(units_) : units_;
  vector<int> shape = bottom[0]->shape();
  shape[axes - 1] = stored_;
  top[0]->Reshape(shape);
}

template <typename Dtype>
void ApproxDropoutLayer<Dtype>::Forward_cpu(const vector<Blob<Dtype>*>& bottom,
    const vector<Blob<Dtype>*>& top) {
  const DropoutPattern<Dtype>& pattern = patterns_.output();
  const bool compact = stored_ < units_;
  const int rows = bottom[0]->count() / units_;
  const Dtype* x = bottom[0]->cpu_data();
  Dtype* y = top[0]->mutable_cpu_data();
  caffe_set(compact ? 0 : top[0]->count(), Dtype(0), y);
  for (int g = 0; g < pattern.groups.size(); ++g) {
    IndexList kept, stored;
    ListUnits(UnitsOf(pattern.groups[g], units_), compact, &kept, &stored);
    const int size = num_samples_ / pattern.groups.size();
#pragma omp parallel for if (top[0]->count() > 16384)
    for (int row = 0; row < rows; ++row) {
      if (row % num_samples_ / size != g) { continue; }
      for (int j = 0; j < kept.size(); ++j) {
        y[row * stored_ + stored.index[j]] =
            pattern.scale * x[row * units_ + kept.index[j]];
      }
    }
  }
}

template <typename Dtype>
void ApproxDropoutLayer<Dtype>::Backward_cpu(const vector<Blob<Dtype>*>& top,
    const vector<bool>& propagate_down, const vector<Blob<Dtype>*>& bottom) {
  if (!propagate_down[0]) { return; }
  const DropoutPattern<Dtype>& pattern = patterns_.output();
  const bool compact = stored_ < units_;
  const int rows = bottom[0]->count() / units_;
  const Dtype* dy = top[0]->cpu_diff();
  Dtype* dx = bottom[0]->mutable_cpu_diff();
  caffe_set(bottom[0]->count(), Dtype(0), dx);
  for (int g = 0; g < pattern.groups.size(); ++g) {
    IndexList kept, stored;
    ListUnits(UnitsOf(pattern.groups[g], units_), compact, &kept, &stored);
    const int size = num_samples_ / pattern.groups.size();
#pragma omp parallel for if (bottom[0]->count() > 16384)
    for (int row = 0; row < rows; ++row) {
      if (row % num_samples_ / size != g) { continue; }
      for (int j = 0; j < kept.size(); ++j) {
        dx[row * units_ + kept.index[j]] =
            pattern.scale * dy[row * stored_ + stored.index[j]];
      }
    }
  }
}

#ifdef CPU_ONLY
STUB_GPU(ApproxDropoutLayer);
#endif

INSTANTIATE_CLASS(ApproxDropoutLayer);
REGISTER_LAYER_CLASS(ApproxDropout);

}  // namespace caffe
