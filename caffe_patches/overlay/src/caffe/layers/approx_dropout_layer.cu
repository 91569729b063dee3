#include <vector>

#include "caffe/approx_dropout/math/wide_access.hpp"
#include "caffe/approx_dropout/pattern/sample_groups.hpp"
#include "caffe/layers/approx_dropout_layer.hpp"

namespace caffe {

namespace {

// In all kernels grid y is one of `groups`; `rows` says which rows of the
// matrices are its. Any KeptGroups.

// The pattern of this block's group, for all of its threads.
__device__ const KeptCells& Cells(const KeptGroups& groups) {
  __shared__ KeptCells cells;
  groups.Get(blockIdx.y, &cells, threadIdx.x, blockDim.x);
  __syncthreads();
  return cells;
}

// to = scale keep o from, both (rows x units). One thread per kWidth
// neighbours, `count` threads per group. All elements of the groups' rows are
// overwritten, dropped ones with zero, whatever `from` holds there. kWidth > 1
// where it divides units and both are aligned to 16 bytes.
template <typename Dtype, int kWidth>
__global__ void MaskKernel(int count, KeptGroups groups, GroupRows rows,
    Dtype scale, int units, const Dtype* from, Dtype* to) {
  const KeptCells& cells = Cells(groups);
  const int across = units / kWidth;
  CUDA_KERNEL_LOOP(i, count) {
    const int unit = i % across * kWidth;
    const size_t row = rows(groups.first + blockIdx.y, i / across);
    const size_t at = row * units + unit;
    AlignedVector<Dtype, kWidth> values = *VectorAt<Dtype, kWidth>(from, at);
    for (int k = 0; k < kWidth; ++k) {
      values.value[k] = cells.has(unit + k) ? scale * values.value[k]
          : Dtype(0);
    }
    *VectorAt<Dtype, kWidth>(to, at) = values;
  }
}

// y (rows x stored), which holds the kept units only, from x (rows x units):
// one thread per element of y in a group's rows, `count` of them; all of those
// are overwritten.
template <typename Dtype>
__global__ void KeepKernel(int count, KeptGroups groups, GroupRows rows,
    Dtype scale, int units, int stored, const Dtype* x, Dtype* y) {
  const KeptCells& cells = Cells(groups);
  CUDA_KERNEL_LOOP(i, count) {
    const size_t row = rows(groups.first + blockIdx.y, i / stored);
    y[row * stored + i % stored] =
        scale * x[row * units + cells.cell(i % stored)];
  }
}

// dx (rows x units) from dy (rows x stored), which holds the kept units only:
// one thread per element of dx in a group's rows, `count` of them; all of those
// are overwritten.
template <typename Dtype>
__global__ void KeepGradientKernel(int count, KeptGroups groups,
    GroupRows rows, Dtype scale, int units, int stored, const Dtype* dy,
    Dtype* dx) {
  const KeptCells& cells = Cells(groups);
  CUDA_KERNEL_LOOP(i, count) {
    const size_t row = rows(groups.first + blockIdx.y, i / units);
    const int unit = i % units;
    dx[row * units + unit] = cells.has(unit) ?
        scale * dy[row * stored + cells.count(unit)] : Dtype(0);
  }
}

// MaskKernel, for num_rows rows per group.
template <typename Dtype>
void Mask(const KeptGroups& groups, const GroupRows& rows, Dtype scale,
    int num_rows, int units, const Dtype* from, Dtype* to) {
  const int kWidth = Aligned16<Dtype>::kWidth;
  if (IsAligned16(from, units) && IsAligned16(to, units)) {
    const int count = num_rows * (units / kWidth);
    const dim3 grid(CAFFE_GET_BLOCKS(count), groups.count);
    // NOLINT_NEXT_LINE(whitespace/operators)
    MaskKernel<Dtype, kWidth><<<grid, CAFFE_CUDA_NUM_THREADS>>>(count, groups,
        rows, scale, units, from, to);
  } else {
    const int count = num_rows * units;
    const dim3 grid(CAFFE_GET_BLOCKS(count), groups.count);
    // NOLINT_NEXT_LINE(whitespace/operators)
    MaskKernel<Dtype, 1><<<grid, CAFFE_CUDA_NUM_THREADS>>>(count, groups,
        rows, scale, units, from, to);
  }
  CUDA_POST_KERNEL_CHECK;
}

}  // namespace

template <typename Dtype>
void ApproxDropoutLayer<Dtype>::Forward_gpu(const vector<Blob<Dtype>*>& bottom,
    const vector<Blob<Dtype>*>& top) {
  const DropoutPattern<Dtype>& pattern = patterns_.output();
  const int num_groups = pattern.groups.size();
  const int num_rows = bottom[0]->count() / units_ / num_groups;
  const GroupRows rows = { num_samples_ / num_groups, num_samples_, true };
  const Dtype* x = bottom[0]->gpu_data();
  Dtype* y = top[0]->mutable_gpu_data();
  const int at_once = MaxGroups(pattern.groups[0]);
  for (int first = 0; first < num_groups; first += at_once) {
    const KeptGroups groups = GroupsFrom(pattern.groups, first, at_once);
    if (stored_ == units_) {
      Mask(groups, rows, pattern.scale, num_rows, units_, x, y);
      continue;
    }
    const int count = num_rows * stored_;
    const dim3 grid(CAFFE_GET_BLOCKS(count), groups.count);
    // NOLINT_NEXT_LINE(whitespace/operators)
    KeepKernel<Dtype><<<grid, CAFFE_CUDA_NUM_THREADS>>>(count, groups, rows,
        pattern.scale, units_, stored_, x, y);
    CUDA_POST_KERNEL_CHECK;
  }
}

template <typename Dtype>
void ApproxDropoutLayer<Dtype>::Backward_gpu(const vector<Blob<Dtype>*>& top,
    const vector<bool>& propagate_down, const vector<Blob<Dtype>*>& bottom) {
  if (!propagate_down[0]) { return; }
  const DropoutPattern<Dtype>& pattern = patterns_.output();
  const int num_groups = pattern.groups.size();
  const int num_rows = bottom[0]->count() / units_ / num_groups;
  const GroupRows rows = { num_samples_ / num_groups, num_samples_, true };
  const Dtype* dy = top[0]->gpu_diff();
  Dtype* dx = bottom[0]->mutable_gpu_diff();
  const int at_once = MaxGroups(pattern.groups[0]);
  for (int first = 0; first < num_groups; first += at_once) {
    const KeptGroups groups = GroupsFrom(pattern.groups, first, at_once);
    if (stored_ == units_) {
      Mask(groups, rows, pattern.scale, num_rows, units_, dy, dx);
      continue;
    }
    const int count = num_rows * units_;
    const dim3 grid(CAFFE_GET_BLOCKS(count), groups.count);
    // NOLINT_NEXT_LINE(whitespace/operators)
    KeepGradientKernel<Dtype><<<grid, CAFFE_CUDA_NUM_THREADS>>>(count, groups,
        rows, pattern.scale, units_, stored_, dy, dx);
    CUDA_POST_KERNEL_CHECK;
  }
}

INSTANTIATE_LAYER_GPU_FUNCS(ApproxDropoutLayer);

}  // namespace caffe
