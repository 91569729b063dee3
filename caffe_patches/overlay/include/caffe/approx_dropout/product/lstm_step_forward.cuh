#ifndef CAFFE_APPROX_DROPOUT_PRODUCT_LSTM_STEP_FORWARD_CUH_
#define CAFFE_APPROX_DROPOUT_PRODUCT_LSTM_STEP_FORWARD_CUH_

#include "caffe/approx_dropout/product/lstm_step.hpp"
#include "caffe/common.hpp"

namespace caffe {

// The forward kernels of an LSTM's time steps. Legal are all sizes above 0; what
// belongs to which block, warp and lane is in lstm_step.hpp.

const int kForwardThreads = 32 * kForwardWarps;
static_assert(kForwardWarps * kWarpRows <= 2 * kStageColumns,
    "totals fit where columns were");

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

}  // namespace caffe

#endif  // CAFFE_APPROX_DROPOUT_PRODUCT_LSTM_STEP_FORWARD_CUH_
