#include <vector>

#include "caffe/layers/approx_dropout_layer.hpp"

namespace caffe {

namespace {

// The samples of one group: sample i % num_samples of row i is one of `size`
// from `first` on.
struct Group {
  KeptCells cells;
  int first, size, num_samples;
};

// y (rows x stored) from x (rows x units), a thread for each element of y
// that belongs to the group's rows; all of those are written, dropped ones
// with zero. compact: y holds the kept units only.
template <typename Dtype>
__global__ void KeepKernel(Group group, Dtype scale, int num_rows, int units,
    int stored, bool compact, const Dtype* x, Dtype* y) {
  const int count = num_rows / group.num_samples * group.size * stored;
  CUDA_KERNEL_LOOP(i, count) {
    const int row_of_group = i / stored;
    const int row = row_of_group / group.size * group.num_samples
        + group.first + row_of_group % group.size;
    const int place = i % stored;
    const int unit = compact ? group.cells.cell(place) : place;
    y[static_cast<size_t>(row) * stored + place] =
        compact || group.cells.has(unit) ?
        scale * x[static_cast<size_t>(row) * units + unit] : Dtype(0);
  }
}

// dx (rows x units) from dy (rows x stored), a thread for each element of dx
// that belongs to the group's rows; all of those are written.
template <typename Dtype>
__global__ void KeepGradientKernel(Group group, Dtype scale, int num_rows,
    int units, int stored, bool compact, const Dtype* dy, Dtype* dx) {
  const int count = num_rows / group.num_samples * group.size * units;
  CUDA_KERNEL_LOOP(i, count) {
    const int row_of_group = i / units;
    const int row = row_of_group / group.size * group.num_samples
        + group.first + row_of_group % group.size;
    const int unit = i % units;
    const int place = compact ? group.cells.count(unit) : unit;
    dx[static_cast<size_t>(row) * units + unit] = group.cells.has(unit) ?
        scale * dy[static_cast<size_t>(row) * stored + place] : Dtype(0);
  }
}

}  // namespace

template <typename Dtype>
void ApproxDropoutLayer<Dtype>::Forward_gpu(const vector<Blob<Dtype>*>& bottom,
    const vector<Blob<Dtype>*>& top) {
  const DropoutPattern<Dtype>& pattern = patterns_.output();
  const int rows = bottom[0]->count() / units_;
  const int size = num_samples_ / pattern.groups.size();
  for (int g = 0; g < pattern.groups.size(); ++g) {
    const Group group = { pattern.groups[g], g * size, size, num_samples_ };
    // NOLINT_NEXT_LINE(whitespace/operators)
    KeepKernel<Dtype><<<CAFFE_GET_BLOCKS(top[0]->count()),
        CAFFE_CUDA_NUM_THREADS>>>(group, pattern.scale, rows, units_, stored_,
        stored_ < units_, bottom[0]->gpu_data(), top[0]->mutable_gpu_data());
    CUDA_POST_KERNEL_CHECK;
  }
}

template <typename Dtype>
void ApproxDropoutLayer<Dtype>::Backward_gpu(const vector<Blob<Dtype>*>& top,
    const vector<bool>& propagate_down, const vector<Blob<Dtype>*>& bottom) {
  if (!propagate_down[0]) { return; }
  const DropoutPattern<Dtype>& pattern = patterns_.output();
  const int rows = bottom[0]->count() / units_;
  const int size = num_samples_ / pattern.groups.size();
  for (int g = 0; g < pattern.groups.size(); ++g) {
    const Group group = { pattern.groups[g], g * size, size, num_samples_ };
    // NOLINT_NEXT_LINE(whitespace/operators)
    KeepGradientKernel<Dtype><<<CAFFE_GET_BLOCKS(bottom[0]->count()),
        CAFFE_CUDA_NUM_THREADS>>>(group, pattern.scale, rows, units_, stored_,
        stored_ < units_, top[0]->gpu_diff(), bottom[0]->mutable_gpu_diff());
    CUDA_POST_KERNEL_CHECK;
  }
}

INSTANTIATE_LAYER_GPU_FUNCS(ApproxDropoutLayer);

}  // namespace caffe
