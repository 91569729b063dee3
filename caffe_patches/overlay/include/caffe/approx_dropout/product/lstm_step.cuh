#ifndef CAFFE_APPROX_DROPOUT_PRODUCT_LSTM_STEP_CUH_
#define CAFFE_APPROX_DROPOUT_PRODUCT_LSTM_STEP_CUH_

#include "caffe/approx_dropout/product/lstm_step.hpp"
#include "caffe/common.hpp"

namespace caffe {

// The kernels of an LSTM's time steps. Legal are all sizes above 0; what
// belongs to which block, warp and lane is in lstm_step.hpp.

const int kCellThreads = 128;
const int kForwardThreads = 32 * kForwardWarps;
const int kGradientThreads = 32 * kGradientWarps;
// Samples whose sums a block adds up at a time.
const int kRoundSamples = 4;
static_assert(kSmallTile % kRoundSamples == 0 &&
                  kMiddleTile % kRoundSamples == 0 &&
                  kLargeTile % kRoundSamples == 0,
    "whole rounds");

template <typename Dtype>
__device__ inline Dtype Sigmoid(Dtype x) {
  return 1 / (1 + exp(-x));
}

// One unit of a sample at step t: from its gates before activation its gates,
// c_t, h_t and, unless this is the last step, its r_{t+1}.
template <typename Dtype>
__device__ void ForwardUnit(const LSTMSteps<Dtype>& steps, int t,
    const HiddenDropout<Dtype>& dropout, int sample, int unit,
    const Dtype* sums) {
  const int units = steps.units;
  const size_t k =
      t * steps.size() + static_cast<size_t>(sample) * units + unit;
  const Dtype i = Sigmoid(sums[0]);
  const Dtype f = Sigmoid(sums[1]);
  const Dtype o = Sigmoid(sums[2]);
  const Dtype g = tanh(sums[3]);
  Dtype* gates = steps.gates + steps.gate(t, sample, unit);
  gates[0] = i;
  gates[units] = f;
  gates[2 * units] = o;
  gates[3 * units] = g;
  const Dtype* cont = steps.cont + t * steps.samples + sample;
  const Dtype kept_cell =
      cont[0] == 0 ? Dtype(0) : cont[0] * f * steps.cells[k];
  const Dtype c = kept_cell + i * g;
  const Dtype h = o * tanh(c);
  steps.cells[k + steps.size()] = c;
  steps.hidden[k] = h;
  if (t + 1 < steps.steps) {
    steps.recurrent_input[k + steps.size()] =
        dropout.Recurrent(sample, unit, h, cont[steps.samples]);
  }
}

// The cell of step t, one thread per unit and sample.
template <typename Dtype>
__global__ void __launch_bounds__(kCellThreads) ForwardCellKernel(
    LSTMSteps<Dtype> steps, int t, HiddenDropout<Dtype> dropout) {
  const int k = blockIdx.x * kCellThreads + threadIdx.x;
  if (k >= steps.size()) {
    return;
  }
  const int sample = k / steps.units;
  const int unit = k % steps.units;
  const Dtype* gates = steps.gates + steps.gate(t, sample, unit);
  const Dtype sums[4] = {gates[0], gates[steps.units], gates[2 * steps.units],
      gates[3 * steps.units]};
  ForwardUnit(steps, t, dropout, sample, unit, sums);
}

// The block's samples of kStageColumns columns of r_t on their way to shared
// memory, (kTile x kStageColumns): each thread has every kForwardThreads-th run
// of kWidth. What lies beyond the last column is left alone; beyond the last
// sample is that again.
template <typename Dtype, int kWidth, int kTile>
class InputStage {
 public:
  __device__ InputStage(
      const LSTMSteps<Dtype>& steps, int t, const ForwardCut& cut)
      : input_(steps.recurrent_input + t * steps.size()),
        units_(steps.units),
        first_(cut.first_sample(blockIdx.x)),
        last_(steps.samples - 1) {}

  __device__ void Load(int first_column) {
#pragma unroll
    for (int i = 0; i < kRuns; ++i) {
      const int column = first_column + own_column(i);
      if (own_sample(i) < kTile && column < units_) {
        const int n = min(first_ + own_sample(i), last_);
        runs_[i] = *VectorAt<Dtype, kWidth>(
            input_, static_cast<size_t>(n) * units_ + column);
      }
    }
  }

  __device__ void Store(int first_column, Dtype* staged) const {
#pragma unroll
    for (int i = 0; i < kRuns; ++i) {
      if (own_sample(i) < kTile && first_column + own_column(i) < units_) {
        *VectorAt<Dtype, kWidth>(
            staged, own_sample(i) * kStageColumns + own_column(i)) = runs_[i];
      }
    }
  }

 private:
  static const int kRowRuns = kStageColumns / kWidth;
  static const int kRuns = (kTile * kRowRuns - 1) / kForwardThreads + 1;

  __device__ int own_sample(int i) const {
    return (threadIdx.x + i * kForwardThreads) / kRowRuns;
  }
  __device__ int own_column(int i) const {
    return (threadIdx.x + i * kForwardThreads) % kRowRuns * kWidth;
  }

  const Dtype* const input_;
  const int units_, first_, last_;
  AlignedVector<Dtype, kWidth> runs_[kRuns];
};

// A lane's share of the columns of its rows: where it begins, and each time as
// far on as all shares reach.
template <typename Dtype>
struct LaneColumns {
  const Dtype* unit[kWarpUnits];  // rows of the first gate
  size_t gate_stride;             // to those of the next one
  int first, stride;              // columns
};

// sum (kWarpRows x kTile / 2) += the products of `count` staged columns, or of
// the lane's among them, with the lane's rows and samples. staged: those of the
// lane's first sample.
template <typename Dtype, int kWidth, int kTile>
__device__ void MultiplyStage(const LaneColumns<Dtype>& lane, int first_column,
    int count, const Dtype* staged, Dtype* sum) {
  const int kLaneSamples = kTile / 2;
  for (int c = lane.first; c < count; c += lane.stride) {
    AlignedVector<Dtype, kWidth> w[kWarpRows];
#pragma unroll
    for (int i = 0; i < kWarpRows; ++i) {
      w[i] = *VectorAt<Dtype, kWidth>(lane.unit[i % kWarpUnits],
          i / kWarpUnits * lane.gate_stride + first_column + c);
    }
#pragma unroll
    for (int s = 0; s < kLaneSamples; ++s) {
      const AlignedVector<Dtype, kWidth> r =
          *VectorAt<Dtype, kWidth>(staged, s * kStageColumns + c);
#pragma unroll
      for (int i = 0; i < kWarpRows; ++i) {
#pragma unroll
        for (int k = 0; k < kWidth; ++k) {
          sum[i * kLaneSamples + s] += w[i].value[k] * r.value[k];
        }
      }
    }
  }
}

// sum = all of the lane's columns' part. While columns are multiplied the next
// are loaded; `staged` has room for both.
template <typename Dtype, int kWidth, int kTile>
__device__ void MultiplyColumns(const LSTMSteps<Dtype>& steps, int t,
    const ForwardCut& cut, int warp, int lane,
    Dtype (*staged)[kTile * kStageColumns], Dtype* sum) {
#pragma unroll
  for (int i = 0; i < kWarpRows * kTile / 2; ++i) {
    sum[i] = 0;
  }
  const int units = steps.units;
  LaneColumns<Dtype> columns;
#pragma unroll
  for (int u = 0; u < kWarpUnits; ++u) {
    const size_t row = cut.row(blockIdx.x, warp, u);
    columns.unit[u] = steps.weight + row * units;
  }
  columns.gate_stride = static_cast<size_t>(units) * units;
  columns.first = cut.first_column(warp, lane);
  columns.stride = cut.column_stride();
  const int first_sample = cut.tile_sample(lane, 0, kTile) * kStageColumns;
  InputStage<Dtype, kWidth, kTile> stage(steps, t, cut);
  stage.Load(0);
  int buffer = 0;
  for (int column = 0; column < units; column += kStageColumns) {
    stage.Store(column, staged[buffer]);
    // The other one has been read by all.
    __syncthreads();
    stage.Load(column + kStageColumns);
    MultiplyStage<Dtype, kWidth, kTile>(columns, column,
        min(kStageColumns, units - column), staged[buffer] + first_sample, sum);
    buffer = 1 - buffer;
  }
}

// Adds up the kCount sums of kRowLanes lanes: in turn each lane gives half of
// its sums to another and takes the other half of that one's. In the end its
// first kCount / kRowLanes are totals, those from (lane % kRowLanes) times as
// many on.
template <typename Dtype, int kCount>
__device__ void DealTotals(int lane, Dtype* sum) {
#pragma unroll
  for (int step = 1; step < kRowLanes; step *= 2) {
    const int half = kCount / (2 * step);
    const int distance = kRowLanes / (2 * step);
    const bool upper = lane & distance;
#pragma unroll
    for (int i = 0; i < half; ++i) {
      const Dtype given = upper ? sum[i] : sum[half + i];
      const Dtype kept = upper ? sum[half + i] : sum[i];
      sum[i] = kept + __shfl_xor_sync(0xffffffff, given, distance);
    }
  }
}

// Step t: the product with W_hc, and the cell behind it. One block as
// ForwardCut says; kWidth neighbours of a row at once, all rows aligned to
// them; kTile samples a pass. All of the step's gates, c_t, h_t and r_{t+1} are
// written.
template <typename Dtype, int kWidth, int kTile>
__global__ void __launch_bounds__(kForwardThreads)
    ForwardStepKernel(LSTMSteps<Dtype> steps, int t, ForwardCut cut) {
  // First for r_t, then for totals (warps x rows x samples).
  alignas(16) __shared__ Dtype staged[2][kTile * kStageColumns];
  Dtype(*totals)[kWarpRows][kTile] =
      reinterpret_cast<Dtype(*)[kWarpRows][kTile]>(staged);
  const int warp = threadIdx.x / 32;
  const int lane = threadIdx.x % 32;
  Dtype sum[kWarpRows * kTile / 2];
  MultiplyColumns<Dtype, kWidth, kTile>(steps, t, cut, warp, lane, staged, sum);
  DealTotals<Dtype, kWarpRows * kTile / 2>(lane, sum);
  __syncthreads();
#pragma unroll
  for (int i = 0; i < kTile / 4; ++i) {
    totals[warp][cut.dealt_row(lane)][cut.dealt_sample(lane, i, kTile)] =
        sum[i];
  }
  __syncthreads();
  const GroupRows all = {steps.samples, steps.samples, true};
  const HiddenDropout<Dtype> none = {
      NULL, steps.units, steps.units, all, t, 1, false};
  const int block_units = cut.block_units();
  for (int k = threadIdx.x; k < block_units * kTile; k += kForwardThreads) {
    const int u = k % block_units;
    const int n = k / block_units;
    const int unit = cut.first_unit(blockIdx.x) + u;
    const int sample = cut.first_sample(blockIdx.x) + n;
    if (unit >= steps.units || sample >= steps.samples) {
      continue;
    }
    const int first_warp = u / kWarpUnits * cut.splits;
    Dtype sums[4];
#pragma unroll
    for (int gate = 0; gate < 4; ++gate) {
      sums[gate] =
          steps.gates[steps.gate(t, sample, unit) + gate * steps.units];
      for (int split = 0; split < cut.splits; ++split) {
        sums[gate] +=
            totals[first_warp + split][gate * kWarpUnits + u % kWarpUnits][n];
      }
    }
    ForwardUnit(steps, t, none, sample, unit, sums);
  }
}

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
      steps.step_diff[cut.four(sample, row / 4) + row % 4] = d[gate];
    }
  }
}

// The gradients of step t's gates before activation, one thread per unit and
// sample; cell_diff becomes that of c_{t-1}. The gradient of r_{t+1} is in as
// many parts as `cut` has; the last step has none.
template <typename Dtype>
__global__ void __launch_bounds__(kCellThreads)
    BackwardCellKernel(LSTMSteps<Dtype> steps, int t, GradientCut cut,
        HiddenDropout<Dtype> dropout) {
  const int k = blockIdx.x * kCellThreads + threadIdx.x;
  if (k >= steps.size()) {
    return;
  }
  const int units = steps.units;
  const int sample = k / units;
  const int unit = k % units;
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

// sum (kTile) = the warp's rows' part of W_hc' dgates_t in the lane's columns;
// of samples that do not exist, anything.
template <typename Dtype, int kWidth, int kTile>
__device__ void MultiplyRows(const LSTMSteps<Dtype>& steps,
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
    const Dtype* diff = steps.step_diff + cut.four(first_sample, four);
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

// recurrent_diff = W_hc' step_diff, in parts. One block as GradientCut says;
// kWidth and kTile as in ForwardStepKernel. Its warps' sums are added up,
// always in the same order. Writes all of its columns and samples of its part.
template <typename Dtype, int kWidth, int kTile>
__global__ void __launch_bounds__(kGradientThreads)
    HiddenGradientKernel(LSTMSteps<Dtype> steps, GradientCut cut) {
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
  MultiplyRows<Dtype, kWidth, kTile>(steps, cut, warp, column, sum);
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

}  // namespace caffe

#endif  // CAFFE_APPROX_DROPOUT_PRODUCT_LSTM_STEP_CUH_
