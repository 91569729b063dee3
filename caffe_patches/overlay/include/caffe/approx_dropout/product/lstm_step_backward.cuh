#ifndef CAFFE_APPROX_DROPOUT_PRODUCT_LSTM_STEP_BACKWARD_CUH_
#define CAFFE_APPROX_DROPOUT_PRODUCT_LSTM_STEP_BACKWARD_CUH_

#include "caffe/approx_dropout/product/lstm_step.hpp"
#include "caffe/common.hpp"

namespace caffe {

// The backward kernels of an LSTM's time steps. Legal are all sizes above 0;
// what belongs to which block, warp and lane is in lstm_step.hpp.

const int kGradientThreads = 32 * kGradientWarps;
// Samples whose sums a block adds up at a time.
const int kRoundSamples = 4;
static_assert(kSmallTile % kRoundSamples == 0 &&
                  kMiddleTile % kRoundSamples == 0 &&
                  kLargeTile % kRoundSamples == 0,
    "whole rounds");

// A unit's gradients before activation, to where all steps have them and,
// unless that is NULL, to step_diff.
template <typename Dtype>
__device__ void WriteGateGradients(const LSTMSteps<Dtype>& steps, int t,
    const GradientCut& cut, int sample, int unit,
    const LSTMGates<Dtype>& diff) {
  const Dtype d[4] = {diff.i, diff.f, diff.o, diff.g};
#pragma unroll
  for (int gate = 0; gate < 4; ++gate) {
    const int row = gate * steps.units + unit;
    steps.gates_diff[steps.gate(t, sample, row)] = d[gate];
    if (steps.step_diff) {
      steps.step_diff[cut.four(t, sample, row / 4) + row % 4] = d[gate];
    }
  }
}

// The gradients of the four gates of a unit and sample at step t before
// activation; cell_diff becomes that of c_{t-1}. The gradient of r_{t+1} is in
// as many parts as `cut` has; the last step has none.
template <typename Dtype>
__device__ void CellGradient(const LSTMSteps<Dtype>& steps, int t,
    const GradientCut& cut, const HiddenDropout<Dtype>& dropout, int sample,
    int unit) {
  const int units = steps.units;
  const size_t k = static_cast<size_t>(sample) * units + unit;
  const size_t here = t * steps.size() + k;
  const Dtype* cont = steps.cont + t * steps.samples + sample;
  Dtype dh = steps.hidden_diff[here];
  Dtype dc = 0;
  if (t + 1 < steps.steps) {
    dc = steps.cell_diff[k];
    const Dtype factor =
        dropout.RecurrentFactor(sample, unit, cont[steps.samples]);
    if (factor != 0) {
      Dtype dr = 0;
      for (int part = 0; part < cut.parts; ++part) {
        dr += steps.recurrent_diff[part * steps.size() + k];
      }
      dh += factor * dr;
    }
  }
  const Dtype* a = steps.gates + steps.gate(t, sample, unit);
  const LSTMGates<Dtype> gates = {a[0], a[units], a[2 * units], a[3 * units]};
  const Dtype before = cont[0] == 0 ? Dtype(0) : steps.cells[here];
  const LSTMGates<Dtype> diff = LSTMCellGradient<Dtype>(
      gates, tanh(steps.cells[here + steps.size()]), before, cont[0], dh, &dc);
  WriteGateGradients(steps, t, cut, sample, unit, diff);
  steps.cell_diff[k] = dc;
}

// CellGradient, one thread per unit and sample.
template <typename Dtype>
__global__ void __launch_bounds__(kCellThreads)
    BackwardCellKernel(LSTMSteps<Dtype> steps, int t, GradientCut cut,
        HiddenDropout<Dtype> dropout) {
  const int k = blockIdx.x * kCellThreads + threadIdx.x;
  if (k < steps.size()) {
    CellGradient(steps, t, cut, dropout, k / steps.units, k % steps.units);
  }
}

// sum (kTile) = the warp's rows' part of W_hc' dgates_t in the lane's columns;
// of samples that do not exist, anything.
template <typename Dtype, int kWidth, int kTile>
__device__ void MultiplyRows(const LSTMSteps<Dtype>& steps, int t,
    const GradientCut& cut, int warp, int column,
    AlignedVector<Dtype, kWidth>* sum) {
  const int kChunk = Aligned16<Dtype>::kWidth;
  const int first_sample = cut.first_sample(blockIdx.x);
#pragma unroll
  for (int s = 0; s < kTile; ++s) {
#pragma unroll
    for (int k = 0; k < kWidth; ++k) {
      sum[s].value[k] = 0;
    }
  }
  for (int four = cut.first_four(blockIdx.x) + warp;
       four < cut.end_four(blockIdx.x); four += kGradientWarps) {
    const Dtype* diff = steps.step_diff + cut.four(t, first_sample, four);
    AlignedVector<Dtype, kWidth> w[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      w[i] = *VectorAt<Dtype, kWidth>(steps.weight,
          (static_cast<size_t>(four) * 4 + i) * steps.units + column);
    }
#pragma unroll
    for (int s = 0; s < kTile; ++s) {
#pragma unroll
      for (int i = 0; i < 4; i += kChunk) {
        const AlignedVector<Dtype, kChunk> d =
            *VectorAt<Dtype, kChunk>(diff, 4 * s + i);
#pragma unroll
        for (int j = 0; j < kChunk; ++j) {
#pragma unroll
          for (int k = 0; k < kWidth; ++k) {
            sum[s].value[k] += d.value[j] * w[i + j].value[k];
          }
        }
      }
    }
  }
}

// recurrent_diff = W_hc' step_diff, in parts: writes all of the block's columns
// and samples of its part. The sums of its warps are added up, always in the
// same order.
template <typename Dtype, int kWidth, int kTile>
__device__ void WritePart(
    const LSTMSteps<Dtype>& steps, int t, const GradientCut& cut) {
  const int kColumns = 32 * kWidth;
  __shared__ AlignedVector<Dtype, kWidth> sums[kGradientWarps][kRoundSamples]
                                              [32];
  const int warp = threadIdx.x / 32;
  const int lane = threadIdx.x % 32;
  const int first_column = cut.first_column(blockIdx.x);
  const int first_sample = cut.first_sample(blockIdx.x);
  // Where there are no more columns, the last again.
  const int column = min(first_column + lane * kWidth, steps.units - kWidth);
  AlignedVector<Dtype, kWidth> sum[kTile];
  MultiplyRows<Dtype, kWidth, kTile>(steps, t, cut, warp, column, sum);
  Dtype* part = steps.recurrent_diff + cut.part(blockIdx.x) * steps.size();
#pragma unroll
  for (int first = 0; first < kTile; first += kRoundSamples) {
#pragma unroll
    for (int s = 0; s < kRoundSamples; ++s) {
      sums[warp][s][lane] = sum[first + s];
    }
    __syncthreads();
    for (int k = threadIdx.x; k < kRoundSamples * kColumns;
         k += kGradientThreads) {
      const int s = k / kColumns;
      const int c = k % kColumns;
      const int sample = first_sample + first + s;
      if (sample >= steps.samples || first_column + c >= steps.units) {
        continue;
      }
      Dtype total = 0;
#pragma unroll
      for (int w = 0; w < kGradientWarps; ++w) {
        total += sums[w][s][c / kWidth].value[c % kWidth];
      }
      part[static_cast<size_t>(sample) * steps.units + first_column + c] =
          total;
    }
    __syncthreads();
  }
}

// Whether this block is the last that has written its part of its columns and
// samples; then it sees all of them. To be called behind a barrier.
template <typename Dtype>
__device__ bool ArrivesLast(
    const LSTMSteps<Dtype>& steps, const GradientCut& cut) {
  __shared__ bool last;
  if (threadIdx.x == 0) {
    int* arrivals = steps.arrivals + cut.arrival(blockIdx.x);
    __threadfence();
    last = atomicAdd(arrivals, 1) == cut.parts - 1;
    __threadfence();
    if (last) {
      atomicExch(arrivals, 0);  // for the next launch
    }
  }
  __syncthreads();
  return last;
}

// The gradient of r_t, t > 0, from those of step t's gates, and from it those
// of the gates of step t - 1. One block as GradientCut says; kWidth and kTile
// as in ForwardStepKernel.
template <typename Dtype, int kWidth, int kTile>
__global__ void __launch_bounds__(kGradientThreads)
    BackwardStepKernel(LSTMSteps<Dtype> steps, int t, GradientCut cut,
        HiddenDropout<Dtype> dropout) {
  const int kColumns = 32 * kWidth;
  WritePart<Dtype, kWidth, kTile>(steps, t, cut);
  if (!ArrivesLast(steps, cut)) {
    return;
  }
  for (int k = threadIdx.x; k < kTile * kColumns; k += kGradientThreads) {
    const int sample = cut.first_sample(blockIdx.x) + k / kColumns;
    const int unit = cut.first_column(blockIdx.x) + k % kColumns;
    if (sample < steps.samples && unit < steps.units) {
      CellGradient(steps, t - 1, cut, dropout, sample, unit);
    }
  }
}

}  // namespace caffe

#endif  // CAFFE_APPROX_DROPOUT_PRODUCT_LSTM_STEP_BACKWARD_CUH_
