#include <vector>

#include "caffe/layers/approx_dropout_layer.hpp"
#include "caffe/util/update_cells.hpp"

namespace caffe {

namespace {

// The samples of one group: sample i % num_samples of row i is one of `size`
// from `first` on. Any KeptCells; num_samples divides the rows.
struct Group {
  KeptCells cells;
  int first, size, num_samples;

  __device__ size_t row(int row_of_group) const {
    return static_cast<size_t>(row_of_group) / size * num_samples + first
        + row_of_group % size;
  }
};

// to = scale keep o from, both (rows x units), for the group's rows: a thread
// for kWidth neighbours, `count` threads; all elements of those rows are
// overwritten, dropped ones with zero, whatever `from` holds there. kWidth > 1
// where it divides units and both begin at whole 16 bytes.
template <typename Dtype, int kWidth>
__global__ void MaskKernel(int count, Group group, Dtype scale, int units,
    Dtype* from, Dtype* to) {
  const int across = units / kWidth;
  CUDA_KERNEL_LOOP(i, count) {
    const int unit = i % across * kWidth;
    const size_t at = group.row(i / across) * units + unit;
    Chunk<Dtype, kWidth> values = *ChunkAt<Dtype, kWidth>(from, at);
    for (int k = 0; k < kWidth; ++k) {
      values.value[k] = group.cells.has(unit + k) ? scale * values.value[k]
          : Dtype(0);
    }
    *ChunkAt<Dtype, kWidth>(to, at) = values;
  }
}

// y (rows x stored), which holds the kept units only, from x (rows x units):
// a thread for each element of y that belongs to the group's rows, `count` of
// them; all of those are overwritten.
template <typename Dtype>
__global__ void KeepKernel(int count, Group group, Dtype scale, int units,
    int stored, const Dtype* x, Dtype* y) {
  CUDA_KERNEL_LOOP(i, count) {
    const size_t row = group.row(i / stored);
    y[row * stored + i % stored] =
        scale * x[row * units + group.cells.cell(i % stored)];
  }
}

// dx (rows x units) from dy (rows x stored), which holds the kept units only:
// a thread for each element of dx that belongs to the group's rows, `count`
// of them; all of those are overwritten.
template <typename Dtype>
__global__ void KeepGradientKernel(int count, Group group, Dtype scale,
    int units, int stored, const Dtype* dy, Dtype* dx) {
  CUDA_KERNEL_LOOP(i, count) {
    const size_t row = group.row(i / units);
    const int unit = i % units;
    dx[row * units + unit] = group.cells.has(unit) ?
        scale * dy[row * stored + group.cells.count(unit)] : Dtype(0);
  }
}

// MaskKernel for the `rows` rows of one group.
template <typename Dtype>
void Mask(const Group& group, Dtype scale, int rows, int units,
    const Dtype* from, Dtype* to) {
  const int kWidth = 16 / sizeof(Dtype);
  const size_t pointers = reinterpret_cast<size_t>(from)
      | reinterpret_cast<size_t>(to);
  Dtype* source = const_cast<Dtype*>(from);  // chunks go by their address
  if (units % kWidth == 0 && pointers % 16 == 0) {
    const int count = rows * (units / kWidth);
    // NOLINT_NEXT_LINE(whitespace/operators)
    MaskKernel<Dtype, kWidth><<<CAFFE_GET_BLOCKS(count),
        CAFFE_CUDA_NUM_THREADS>>>(count, group, scale, units, source, to);
  } else {
    const int count = rows * units;
    // NOLINT_NEXT_LINE(whitespace/operators)
    MaskKernel<Dtype, 1><<<CAFFE_GET_BLOCKS(count),
        CAFFE_CUDA_NUM_THREADS>>>(count, group, scale, units, source, to);
  }
  CUDA_POST_KERNEL_CHECK;
}

}  // namespace

template <typename Dtype>
void ApproxDropoutLayer<Dtype>::Forward_gpu(const vector<Blob<Dtype>*>& bottom,
    const vector<Blob<Dtype>*>& top) {
  const DropoutPattern<Dtype>& pattern = patterns_.output();
  const int num_groups = pattern.groups.size();
  const int rows = bottom[0]->count() / units_ / num_groups;
  const int size = num_samples_ / num_groups;
  const Dtype* x = bottom[0]->gpu_data();
  Dtype* y = top[0]->mutable_gpu_data();
  for (int g = 0; g < num_groups; ++g) {
    const Group group = { pattern.groups[g], g * size, size, num_samples_ };
    if (stored_ == units_) {
      Mask(group, pattern.scale, rows, units_, x, y);
      continue;
    }
    // NOLINT_NEXT_LINE(whitespace/operators)
    KeepKernel<Dtype><<<CAFFE_GET_BLOCKS(rows * stored_),
        CAFFE_CUDA_NUM_THREADS>>>(rows * stored_, group, pattern.scale, units_,
        stored_, x, y);
    CUDA_POST_KERNEL_CHECK;
  }
}

template <typename Dtype>
void ApproxDropoutLayer<Dtype>::Backward_gpu(const vector<Blob<Dtype>*>& top,
    const vector<bool>& propagate_down, const vector<Blob<Dtype>*>& bottom) {
  if (!propagate_down[0]) { return; }
  const DropoutPattern<Dtype>& pattern = patterns_.output();
  const int num_groups = pattern.groups.size();
  const int rows = bottom[0]->count() / units_ / num_groups;
  const int size = num_samples_ / num_groups;
  const Dtype* dy = top[0]->gpu_diff();
  Dtype* dx = bottom[0]->mutable_gpu_diff();
  for (int g = 0; g < num_groups; ++g) {
    const Group group = { pattern.groups[g], g * size, size, num_samples_ };
    if (stored_ == units_) {
      Mask(group, pattern.scale, rows, units_, dy, dx);
      continue;
    }
    // NOLINT_NEXT_LINE(whitespace/operators)
    KeepGradientKernel<Dtype><<<CAFFE_GET_BLOCKS(rows * units_),
        CAFFE_CUDA_NUM_THREADS>>>(rows * units_, group, pattern.scale, units_,
        stored_, dy, dx);
    CUDA_POST_KERNEL_CHECK;
  }
}

INSTANTIATE_LAYER_GPU_FUNCS(ApproxDropoutLayer);

}  // namespace caffe
