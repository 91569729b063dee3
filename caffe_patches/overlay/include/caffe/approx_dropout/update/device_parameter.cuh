#ifndef CAFFE_APPROX_DROPOUT_UPDATE_DEVICE_PARAMETER_CUH_
#define CAFFE_APPROX_DROPOUT_UPDATE_DEVICE_PARAMETER_CUH_

#include "caffe/approx_dropout/update/device_cells.hpp"
#include "caffe/common.hpp"

namespace caffe {

// The kernels of DeviceParameter and DeviceSteps. A parameter is (rows x
// columns), row major, and cut into cells by p.grid; legal are all sizes.

const int kThreads = 256;

// The block's sum, in thread 0, always added up in the same order. All
// kThreads threads must call it.
__device__ inline double SumOfBlock(double value) {
  __shared__ double sums[kThreads];
  sums[threadIdx.x] = value;
  __syncthreads();
  for (int half = kThreads / 2; half > 0; half /= 2) {
    if (threadIdx.x < half) { sums[threadIdx.x] += sums[threadIdx.x + half]; }
    __syncthreads();
  }
  return sums[0];
}

// Brings cells up to date: data and, where needed, history of a listed cell
// are overwritten, all of it; its gradient is read, if there is one, and
// for_all overwritten with what the last step subtracted. Step is the solver's.
// One block per cell, its threads side by side along the cell's rows, kWidth
// values each; kWidth > 1 where the rows of every cell are aligned to 16 bytes.
// A block has no update to do if its cell is up to date, is not there, or is a
// word that occurs twice and another block came first. After the update, if
// part is not NULL and cells are rows,
//   part[i][j] = data[cells(i)][columns(j)],
// part being dense and, for kWidth > 1, aligned to 16 bytes.
template <typename Step, typename Dtype, int kWidth>
__global__ void CatchUpKernel(ParameterView<Dtype> p, CellList<Dtype> cells,
    bool for_all, DeviceList columns, Dtype* part) {
  __shared__ int done, gradient_step;
  const int cell = cells(blockIdx.x);
  if (cell < 0) { return; }
  if (threadIdx.x == 0) {
    done = atomicExch(p.done + cell, p.num_steps);
    gradient_step = p.gradient_step[cell];
  }
  __syncthreads();
  ReplayCell<Step, Dtype, kWidth>(p, cell,
      ReplayOf(p, done, gradient_step, for_all), threadIdx.x, blockDim.x);
  if (!part) { return; }
  __syncthreads();
  const Dtype* from = p.data + p.grid.offset(cell);
  Dtype* to = part + static_cast<size_t>(blockIdx.x) * columns.size;
  if (columns.size == p.grid.columns) {
    GatherRow<Dtype, kWidth>(from, columns, to, threadIdx.x, blockDim.x);
  } else {
    GatherRow<Dtype, 1>(from, columns, to, threadIdx.x, blockDim.x);
  }
}

// Marks the gradients of the listed cells as this iteration's. One thread per
// cell of the list, whatever its size.
template <typename Dtype>
__global__ void StampKernel(ParameterView<Dtype> p, CellList<Dtype> cells) {
  CUDA_KERNEL_LOOP(i, cells.size) {
    const int cell = cells(i);
    if (cell >= 0) { p.gradient_step[cell] = p.num_steps; }
  }
}

// Overwrites the gradient of those of the listed cells that have none of this
// iteration with zeros, and stamps them. Blocks and kWidth as in CatchUpKernel;
// if a word occurs twice, its first block does the work.
template <typename Dtype, int kWidth>
__global__ void ClearKernel(ParameterView<Dtype> p, CellList<Dtype> cells) {
  __shared__ int before;
  const int cell = cells(blockIdx.x);
  if (cell < 0) { return; }
  if (threadIdx.x == 0) {
    before = atomicExch(p.gradient_step + cell, p.num_steps);
  }
  __syncthreads();
  if (before == p.num_steps) {
    return;
  }
  ClearCell<Dtype, kWidth>(p, cell, threadIdx.x, blockDim.x);
}

// gradient[rows(i)][columns(j)] += part[i][j], cells being rows and part
// dense, in rows that have a gradient of this iteration; rows without one are
// overwritten, all of them, with zeros in other columns. Stamps the rows. One
// block per row, each listed once; kWidth > 1 where all columns are listed and
// the rows of both are aligned to 16 bytes.
template <typename Dtype, int kWidth>
__global__ void AddGradientKernel(ParameterView<Dtype> p, DeviceList rows,
    DeviceList columns, const Dtype* part) {
  __shared__ int before;
  const int row = rows(blockIdx.x);
  if (threadIdx.x == 0) {
    before = p.gradient_step[row];
    p.gradient_step[row] = p.num_steps;
  }
  __syncthreads();
  const bool accumulate = before == p.num_steps;
  const Dtype* from = part + static_cast<size_t>(blockIdx.x) * columns.size;
  Dtype* to = p.gradient + p.grid.offset(row);
  if (columns.size == p.grid.columns) {
    AddRow<Dtype, kWidth>(
        from, p.grid.columns, accumulate, to, threadIdx.x, blockDim.x);
  } else {
    AddColumns(
        from, columns, p.grid.columns, accumulate, to, threadIdx.x, blockDim.x);
  }
}

// sums[b] = the sum of squares over strips b, b + gridDim.x, ...; see
// SumSquaresOfStrip. kThreads threads per block; every one of the grid's sums
// is written.
template <typename Dtype, int kWidth>
__global__ void SumSquaresKernel(
    ParameterView<Dtype> p, CellGrid strips, bool whole, double* sums) {
  double sum = 0;
  const int count = strips.count();
  for (int strip = blockIdx.x; strip < count; strip += gridDim.x) {
    sum += SumSquaresOfStrip<Dtype, kWidth>(
        p, strips, strip, whole, threadIdx.x, blockDim.x);
  }
  sum = SumOfBlock(sum);
  if (threadIdx.x == 0) { sums[blockIdx.x] = sum; }
}

// step = {rate, clip_gradients / norm, or 1 where the norm, the root of all
// sums, is not above it or clip_gradients is below 0}. One block of kThreads.
template <typename Dtype>
__global__ void AppendStepKernel(const double* sums, int num_sums,
    Dtype clip_gradients, Dtype rate, UpdateStep<Dtype>* step) {
  double sum = 0;
  for (int i = threadIdx.x; i < num_sums; i += blockDim.x) { sum += sums[i]; }
  sum = SumOfBlock(sum);
  if (threadIdx.x > 0) { return; }
  const Dtype norm = GradientNorm<Dtype>(sum);
  step->rate = rate;
  step->clip = clip_gradients >= 0 && norm > clip_gradients ?
      clip_gradients / norm : Dtype(1);
}

// Does the last of p.num_steps steps on a whole parameter of `count` values:
// data, histories and gradient are overwritten, all of them; the gradient with
// zeros or, if writes_update, with what was subtracted. A thread takes kWidth
// values at a time; what is left of `count`, less than kWidth values, goes one
// by one to the first threads.
template <typename Step, typename Dtype, int kWidth>
__global__ void UpdateKernel(
    ParameterView<Dtype> p, int count, bool writes_update) {
  const Replay replay = {p.num_steps - 1, 1, true, true, writes_update};
  const AlignedVector<Dtype, kWidth> zeros = {};
  const int vectors = count / kWidth;
  CUDA_KERNEL_LOOP(i, vectors) {
    const size_t at = static_cast<size_t>(i) * kWidth;
    ReplayVector<Step, Dtype, kWidth>(p, at, replay);
    if (!writes_update) {
      *VectorAt<Dtype, kWidth>(p.gradient, at) = zeros;
    }
  }
  const size_t rest = static_cast<size_t>(vectors) * kWidth
      + blockIdx.x * blockDim.x + threadIdx.x;
  if (rest < static_cast<size_t>(count)) {
    ReplayVector<Step, Dtype, 1>(p, rest, replay);
    if (!writes_update) {
      p.gradient[rest] = 0;
    }
  }
}

}  // namespace caffe

#endif  // CAFFE_APPROX_DROPOUT_UPDATE_DEVICE_PARAMETER_CUH_
