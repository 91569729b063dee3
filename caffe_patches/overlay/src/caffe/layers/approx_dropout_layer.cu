#include <vector>

#include "caffe/approx_dropout/math/wide_access.hpp"
#include "caffe/approx_dropout/pattern/sample_groups.hpp"
#include "caffe/layers/approx_dropout_layer.hpp"

namespace caffe {

namespace {

// In all kernels grid y is one of `groups`; `rows` says which rows of the
// matrices are its. A unit is `width` neighbours in a row. Any KeptGroups.

// What the matrices hold: all units, and those in the compact one, if there is
// one.
struct UnitSizes {
  int units, stored, width;
};

// The pattern of this block's group, for all of its threads.
__device__ const KeptCells& Cells(const KeptGroups& groups) {
  __shared__ KeptCells cells;
  groups.Get(blockIdx.y, &cells, threadIdx.x, blockDim.x);
  __syncthreads();
  return cells;
}

// to = scale keep o from, both (rows x units x width). One thread per kWidth
// neighbours, `count` threads per group. All elements of the groups' rows are
// overwritten, dropped ones with zero, whatever `from` holds there. kWidth > 1
// where it divides a row and both are aligned to 16 bytes.
template <typename Dtype, int kWidth>
__global__ void MaskKernel(int count, KeptGroups groups, GroupRows rows,
    Dtype scale, UnitSizes size, const Dtype* from, Dtype* to) {
  const KeptCells& cells = Cells(groups);
  const int across = size.units * size.width / kWidth;
  CUDA_KERNEL_LOOP(i, count) {
    const int first = i % across * kWidth;
    const size_t row = rows(groups.first + blockIdx.y, i / across);
    const size_t at = row * size.units * size.width + first;
    AlignedVector<Dtype, kWidth> values = *VectorAt<Dtype, kWidth>(from, at);
    for (int k = 0; k < kWidth; ++k) {
      values.value[k] = cells.has((first + k) / size.width)
                            ? scale * values.value[k]
                            : Dtype(0);
    }
    *VectorAt<Dtype, kWidth>(to, at) = values;
  }
}

// y (rows x stored x width), which holds the kept units only, from x
// (rows x units x width): one thread per element of y in a group's rows,
// `count` of them; all of those are overwritten.
template <typename Dtype>
__global__ void KeepKernel(int count, KeptGroups groups, GroupRows rows,
    Dtype scale, UnitSizes size, const Dtype* x, Dtype* y) {
  const KeptCells& cells = Cells(groups);
  const int across = size.stored * size.width;
  CUDA_KERNEL_LOOP(i, count) {
    const size_t row = rows(groups.first + blockIdx.y, i / across);
    const int at = i % across;
    const int unit = cells.cell(at / size.width);
    y[row * across + at] =
        scale * x[(row * size.units + unit) * size.width + at % size.width];
  }
}

// dx (rows x units x width) from dy (rows x stored x width), which holds the
// kept units only: one thread per element of dx in a group's rows, `count` of
// them; all of those are overwritten.
template <typename Dtype>
__global__ void KeepGradientKernel(int count, KeptGroups groups, GroupRows rows,
    Dtype scale, UnitSizes size, const Dtype* dy, Dtype* dx) {
  const KeptCells& cells = Cells(groups);
  const int across = size.units * size.width;
  CUDA_KERNEL_LOOP(i, count) {
    const size_t row = rows(groups.first + blockIdx.y, i / across);
    const int at = i % across;
    const int unit = at / size.width;
    dx[row * across + at] =
        cells.has(unit)
            ? scale * dy[(row * size.stored + cells.count(unit)) * size.width +
                          at % size.width]
            : Dtype(0);
  }
}

// MaskKernel, for num_rows rows per group.
template <typename Dtype>
void Mask(const KeptGroups& groups, const GroupRows& rows, Dtype scale,
    int num_rows, const UnitSizes& size, const Dtype* from, Dtype* to) {
  const int kWidth = Aligned16<Dtype>::kWidth;
  const int row = size.units * size.width;
  if (IsAligned16(from, row) && IsAligned16(to, row)) {
    const int count = num_rows * (row / kWidth);
    const dim3 grid(CAFFE_GET_BLOCKS(count), groups.count);
    // NOLINT_NEXT_LINE(whitespace/operators)
    MaskKernel<Dtype, kWidth><<<grid, CAFFE_CUDA_NUM_THREADS>>>(
        count, groups, rows, scale, size, from, to);
  } else {
    const int count = num_rows * row;
    const dim3 grid(CAFFE_GET_BLOCKS(count), groups.count);
    // NOLINT_NEXT_LINE(whitespace/operators)
    MaskKernel<Dtype, 1><<<grid, CAFFE_CUDA_NUM_THREADS>>>(
        count, groups, rows, scale, size, from, to);
  }
  CUDA_POST_KERNEL_CHECK;
}

}  // namespace

template <typename Dtype>
void ApproxDropoutLayer<Dtype>::Forward_gpu(const vector<Blob<Dtype>*>& bottom,
    const vector<Blob<Dtype>*>& top) {
  if (top[0]->count() == 0) { return; }  // no samples
  const DropoutPattern<Dtype>& pattern = patterns_.output();
  const int num_groups = pattern.groups.size();
  const int num_rows = num_rows_ / num_groups;
  const UnitSizes size = {units_, stored_, width_};
  const GroupRows rows = { num_samples_ / num_groups, num_samples_, true };
  const Dtype* x = bottom[0]->gpu_data();
  Dtype* y = top[0]->mutable_gpu_data();
  const int at_once = MaxGroups(pattern.groups[0]);
  for (int first = 0; first < num_groups; first += at_once) {
    const KeptGroups groups = GroupsFrom(pattern.groups, first, at_once);
    if (stored_ == units_) {
      Mask(groups, rows, pattern.scale, num_rows, size, x, y);
      continue;
    }
    const int count = num_rows * stored_ * width_;
    const dim3 grid(CAFFE_GET_BLOCKS(count), groups.count);
    // NOLINT_NEXT_LINE(whitespace/operators)
    KeepKernel<Dtype><<<grid, CAFFE_CUDA_NUM_THREADS>>>(
        count, groups, rows, pattern.scale, size, x, y);
    CUDA_POST_KERNEL_CHECK;
  }
}

template <typename Dtype>
void ApproxDropoutLayer<Dtype>::Backward_gpu(const vector<Blob<Dtype>*>& top,
    const vector<bool>& propagate_down, const vector<Blob<Dtype>*>& bottom) {
  if (!propagate_down[0] || top[0]->count() == 0) { return; }
  const DropoutPattern<Dtype>& pattern = patterns_.output();
  const int num_groups = pattern.groups.size();
  const int num_rows = num_rows_ / num_groups;
  const UnitSizes size = {units_, stored_, width_};
  const GroupRows rows = { num_samples_ / num_groups, num_samples_, true };
  const Dtype* dy = top[0]->gpu_diff();
  Dtype* dx = bottom[0]->mutable_gpu_diff();
  const int at_once = MaxGroups(pattern.groups[0]);
  for (int first = 0; first < num_groups; first += at_once) {
    const KeptGroups groups = GroupsFrom(pattern.groups, first, at_once);
    if (stored_ == units_) {
      Mask(groups, rows, pattern.scale, num_rows, size, dy, dx);
      continue;
    }
    const int count = num_rows * units_ * width_;
    const dim3 grid(CAFFE_GET_BLOCKS(count), groups.count);
    // NOLINT_NEXT_LINE(whitespace/operators)
    KeepGradientKernel<Dtype><<<grid, CAFFE_CUDA_NUM_THREADS>>>(
        count, groups, rows, pattern.scale, size, dy, dx);
    CUDA_POST_KERNEL_CHECK;
  }
}

INSTANTIATE_LAYER_GPU_FUNCS(ApproxDropoutLayer);

}  // namespace caffe
