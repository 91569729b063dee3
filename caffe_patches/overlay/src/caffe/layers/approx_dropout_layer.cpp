#include <vector>

#include "caffe/approx_dropout/math/parallel.hpp"
#include "caffe/approx_dropout/pattern/index_list.hpp"
#include "caffe/approx_dropout/pattern/sample_groups.hpp"
#include "caffe/layers/approx_dropout_layer.hpp"
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
      << "compact_output and unit_axis only";
  CHECK_NE(bottom[0], top[0]) << "ApproxDropout layer '"
      << this->layer_param_.name() << "': cannot work in place; give its top "
      << "another name than its bottom";
  patterns_ = ApproxDropoutPatterns<Dtype>(this->layer_param_, 1,
      bottom.size());
  CHECK_GE(bottom[0]->num_axes(), 1) << "ApproxDropout layer '"
      << this->layer_param_.name() << "': its input has no axis";
  patterns_.CheckUnits(bottom, bottom[0]->shape(Axis(*bottom[0])), 0);
}

template <typename Dtype>
int ApproxDropoutLayer<Dtype>::Axis(const Blob<Dtype>& x) const {
  const ApproxDropoutParameter& param =
      this->layer_param_.approx_dropout_param();
  const int axes = x.num_axes();
  if (!param.has_unit_axis()) {
    return axes == 4 ? 1 : axes - 1;
  }
  CHECK(param.unit_axis() >= -axes && param.unit_axis() < axes)
      << "ApproxDropout layer '" << this->layer_param_.name()
      << "': unit_axis is " << param.unit_axis() << "; its input of shape "
      << x.shape_string() << " has axes " << -axes << " to " << axes - 1;
  return x.CanonicalAxisIndex(param.unit_axis());
}

template <typename Dtype>
void ApproxDropoutLayer<Dtype>::Reshape(const vector<Blob<Dtype>*>& bottom,
    const vector<Blob<Dtype>*>& top) {
  const int axis = Axis(*bottom[0]);
  num_samples_ = axis > 0 ? bottom[0]->shape(axis - 1) : 1;
  num_rows_ = bottom[0]->count(0, axis);
  patterns_.Read(bottom, num_samples_);
  units_ = bottom[0]->shape(axis);
  width_ = bottom[0]->count(axis + 1);
  stored_ = this->layer_param_.approx_dropout_param().compact_output() ?
      patterns_.output().groups[0].count(units_) : units_;
  vector<int> shape = bottom[0]->shape();
  shape[axis] = stored_;
  top[0]->Reshape(shape);
}

namespace {

// What is copied: rows of units of `width` values, all of them or those that
// are stored in the top.
struct UnitRows {
  int num_rows, num_samples, units, stored, width;
};

// Copies the kept units of every sample of one group between whole storage
// (rows x units x width) and the top's (rows x stored x width), scaled.
template <typename Dtype>
void CopyKept(const DropoutPattern<Dtype>& pattern, int group,
    const UnitRows& size, bool to_top, const Dtype* from, Dtype* to) {
  IndexList whole, top;
  ListUnits(UnitsOf(pattern.groups[group], size.units * size.width, size.width),
      size.stored < size.units, &whole, &top);
  const int* read = (to_top ? whole : top).index.data();
  const int* write = (to_top ? top : whole).index.data();
  const size_t read_stride = (to_top ? size.units : size.stored) * size.width;
  const size_t write_stride = (to_top ? size.stored : size.units) * size.width;
  const int num_groups = pattern.groups.size();
  const GroupRows rows = {
      size.num_samples / num_groups, size.num_samples, true};
  const int kept = whole.size();
  const int group_rows = size.num_rows / num_groups;
#pragma omp parallel for if (group_rows * kept > kParallelElements)
  for (int i = 0; i < group_rows; ++i) {
    const int row = rows(group, i);
    const Dtype* x = from + row * read_stride;
    Dtype* y = to + row * write_stride;
    for (int j = 0; j < kept; ++j) { y[write[j]] = pattern.scale * x[read[j]]; }
  }
}

}  // namespace

template <typename Dtype>
void ApproxDropoutLayer<Dtype>::Forward_cpu(const vector<Blob<Dtype>*>& bottom,
    const vector<Blob<Dtype>*>& top) {
  if (top[0]->count() == 0) { return; }  // no samples
  const DropoutPattern<Dtype>& pattern = patterns_.output();
  Dtype* y = top[0]->mutable_cpu_data();
  if (stored_ == units_) { caffe_set(top[0]->count(), Dtype(0), y); }
  const UnitRows size = {num_rows_, num_samples_, units_, stored_, width_};
  for (int g = 0; g < pattern.groups.size(); ++g) {
    CopyKept(pattern, g, size, true, bottom[0]->cpu_data(), y);
  }
}

template <typename Dtype>
void ApproxDropoutLayer<Dtype>::Backward_cpu(const vector<Blob<Dtype>*>& top,
    const vector<bool>& propagate_down, const vector<Blob<Dtype>*>& bottom) {
  if (!propagate_down[0] || top[0]->count() == 0) { return; }
  const DropoutPattern<Dtype>& pattern = patterns_.output();
  Dtype* dx = bottom[0]->mutable_cpu_diff();
  caffe_set(bottom[0]->count(), Dtype(0), dx);
  const UnitRows size = {num_rows_, num_samples_, units_, stored_, width_};
  for (int g = 0; g < pattern.groups.size(); ++g) {
    CopyKept(pattern, g, size, false, top[0]->cpu_diff(), dx);
  }
}

#ifdef CPU_ONLY
STUB_GPU(ApproxDropoutLayer);
#endif

INSTANTIATE_CLASS(ApproxDropoutLayer);
REGISTER_LAYER_CLASS(ApproxDropout);

}  // namespace caffe
