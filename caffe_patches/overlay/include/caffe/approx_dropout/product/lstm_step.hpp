#ifndef CAFFE_APPROX_DROPOUT_PRODUCT_LSTM_STEP_HPP_
#define CAFFE_APPROX_DROPOUT_PRODUCT_LSTM_STEP_HPP_

#include <algorithm>

#include "caffe/approx_dropout/math/host_device.hpp"
#include "caffe/approx_dropout/math/wide_access.hpp"
#include "caffe/approx_dropout/product/lstm_cell.hpp"
#ifndef CPU_ONLY
#include "caffe/util/device_alternate.hpp"
#endif

namespace caffe {

/**
 * The time steps of an LSTM on the GPU. For few samples a step's product with
 * W_hc is a matter of reading W_hc, so that its kernels read each weight once,
 * 16 bytes at a time where rows are aligned to that, and keep the sums of all
 * samples in registers:
 *
 *     forward   gates += r_t W_hc', and the cell behind it
 *     backward  W_hc' dgates_t, in parts; the block that is the last to have
 *               done its part of some units adds theirs up, and goes on to the
 *               gradient of their cells in the step before
 *
 * Sums are always taken in the same order.
 */

/// Up to this many samples a step is ours, in at most two passes over W_hc, the
/// second of them out of the L2 cache. A third would take as long as cuBLAS,
/// whose blocks of 64 samples are full by then.
const int kMaxStepSamples = 40;

/// @brief What the steps of a pass work on, in the device's memory.
template <typename Dtype>
struct LSTMSteps {
  int steps, samples, units;  // T, N, H
  const Dtype* weight;        // W_hc, (4 H x H)
  const Dtype* cont;          // (T x N)
  Dtype* recurrent_input;     // r_t, (T x N x H)
  Dtype* gates;               // (T x N x 4 H): x_t's part, then activated
  Dtype* cells;               // c_0 ... c_T, (T + 1 x N x H)
  Dtype* hidden;              // h_t, (T x N x H)
  // For the gradients; else NULL.
  const Dtype* hidden_diff;  // of h_t through the output, (T x N x H)
  Dtype* gates_diff;         // before activation, (T x N x 4 H)
  Dtype* cell_diff;          // of c_t, then of c_{t-1}, (N x H)
  Dtype* recurrent_diff;     // parts of r_t's, (parts x N x H)
  Dtype* step_diff;          // of the gates of this step and of the one
                             // before, as GradientCut has them
  int* arrivals;             // see GradientCut; 0 between launches

  /// @brief Values of a step: of its hidden units, and of its gates.
  CAFFE_HOST_DEVICE size_t size() const {
    return static_cast<size_t>(samples) * units;
  }
  CAFFE_HOST_DEVICE size_t gates_size() const { return 4 * size(); }
  /// @brief The first of a sample's four gates of a unit at step t; the others
  ///        follow `units` apart.
  CAFFE_HOST_DEVICE size_t gate(int t, int sample, int unit) const {
    return t * gates_size() + static_cast<size_t>(sample) * 4 * units + unit;
  }

  bool operator==(const LSTMSteps& other) const {
    return steps == other.steps && samples == other.samples &&
           units == other.units && weight == other.weight &&
           cont == other.cont && recurrent_input == other.recurrent_input &&
           gates == other.gates && cells == other.cells &&
           hidden == other.hidden && hidden_diff == other.hidden_diff &&
           gates_diff == other.gates_diff && cell_diff == other.cell_diff &&
           recurrent_diff == other.recurrent_diff &&
           step_diff == other.step_diff && arrivals == other.arrivals;
  }
};

/// Samples that are taken at a time: as many sums as registers hold.
const int kSmallTile = 8;
const int kMiddleTile = 16;
const int kLargeTile = 20;
/// @brief A double takes two registers.
template <typename Dtype>
struct SampleTile {
  static const int kMax = kLargeTile;
};
template <>
struct SampleTile<double> {
  static const int kMax = kSmallTile;
};

/// @brief The samples, in passes over equal tiles.
struct SamplePasses {
  int samples, tile, count;

  CAFFE_HOST_DEVICE int first(int pass) const { return pass * tile; }
};

inline SamplePasses CutSamples(int samples, int max_tile) {
  SamplePasses passes = {samples, kSmallTile, (samples - 1) / max_tile + 1};
  const int needed = (samples - 1) / passes.count + 1;
  if (needed > kSmallTile) {
    passes.tile = kMiddleTile;
  }
  if (needed > kMiddleTile) {
    passes.tile = kLargeTile;
  }
  return passes;
}

/// What H100 and H200 have of multiprocessors; work is cut to fill as many, on
/// other cards too.
const int kMultiprocessors = 132;

/// A block of the forward kernel: warps, units of each, rows of those units.
const int kForwardWarps = 12;
const int kWarpUnits = 2;
const int kWarpRows = 4 * kWarpUnits;
/// Lanes side by side along a row of W_hc. The two halves of a warp take the
/// same weights for different samples.
const int kRowLanes = 16;
/// Columns of r_t that a block has in shared memory at a time.
const int kStageColumns = 256;
static_assert(kStageColumns % (4 * kRowLanes * 4) == 0, "whole runs of lanes");

/// @brief How the forward kernel cuts r_t W_hc'. A block is some units, all
///        four rows of each, and one pass of samples. `splits` of its warps
///        share the columns of a pair of units. A lane has every (splits *
///        kRowLanes)-th run of `width` columns for half of the samples. The
///        lanes' sums are then added up and dealt to them.
struct ForwardCut {
  int units;
  int width;
  int splits;
  SamplePasses passes;

  CAFFE_HOST_DEVICE int block_units() const {
    return kForwardWarps / splits * kWarpUnits;
  }
  CAFFE_HOST_DEVICE int blocks() const {
    return ((units - 1) / block_units() + 1) * passes.count;
  }
  /// @brief Of a multiprocessor.
  int most_units() const {
    return ((blocks() - 1) / kMultiprocessors + 1) * block_units();
  }
  CAFFE_HOST_DEVICE int first_unit(int block) const {
    return block / passes.count * block_units();
  }
  CAFFE_HOST_DEVICE int first_sample(int block) const {
    return passes.first(block % passes.count);
  }
  /// @brief A warp's i-th row of W_hc: its units' four gates. Where there are
  ///        no more units, one of the last again.
  CAFFE_HOST_DEVICE int row(int block, int warp, int i) const {
    const int unit =
        first_unit(block) + warp / splits * kWarpUnits + i % kWarpUnits;
    return i / kWarpUnits * units + (unit < units ? unit : units - 1);
  }
  CAFFE_HOST_DEVICE int first_column(int warp, int lane) const {
    return (warp % splits * kRowLanes + lane % kRowLanes) * width;
  }
  CAFFE_HOST_DEVICE int column_stride() const {
    return splits * kRowLanes * width;
  }
  /// @brief A lane's i-th sample of a tile.
  CAFFE_HOST_DEVICE static int tile_sample(int lane, int i, int tile) {
    return lane / kRowLanes * (tile / 2) + i;
  }
  /// @brief Whose totals a lane is dealt: of one row, half of its samples.
  CAFFE_HOST_DEVICE static int dealt_row(int lane) {
    return lane % kRowLanes / (kRowLanes / kWarpRows);
  }
  CAFFE_HOST_DEVICE static int dealt_sample(int lane, int i, int tile) {
    return tile_sample(
        lane, lane % (kRowLanes / kWarpRows) * (tile / 4) + i, tile);
  }
};

/// @brief Two warps to a pair of units; or four, with half as many units to a
///        block, if the fullest multiprocessor then has less to do.
inline ForwardCut CutForward(int units, int samples, int max_tile, int width) {
  ForwardCut cut = {units, width, 2, CutSamples(samples, max_tile)};
  ForwardCut narrow = cut;
  narrow.splits = 4;
  return narrow.most_units() < cut.most_units() ? narrow : cut;
}

/// Warps of a block of the product with W_hc transposed.
const int kGradientWarps = 16;

/// @brief How that kernel cuts W_hc' dgates_t. A block is 32 * width columns,
///        each lane a run of `width`, one pass of samples and a part of the
///        rows. Rows come in fours, `units` of them; every kGradientWarps-th of
///        a part is a warp's. The cell's gradient puts dgates_t side by side
///        for it, (passes x fours x tile x 4). A block that has done its part
///        says so in `arrivals`, which the parts of the same columns and
///        samples share; the last of them goes on.
struct GradientCut {
  int units;
  int width;
  int part_fours;  // of rows
  int parts;
  SamplePasses passes;

  CAFFE_HOST_DEVICE int column_blocks() const {
    return (units - 1) / (32 * width) + 1;
  }
  CAFFE_HOST_DEVICE int blocks() const {
    return column_blocks() * passes.count * parts;
  }
  CAFFE_HOST_DEVICE int first_sample(int block) const {
    return passes.first(block % passes.count);
  }
  CAFFE_HOST_DEVICE int first_column(int block) const {
    return block / passes.count % column_blocks() * 32 * width;
  }
  CAFFE_HOST_DEVICE int part(int block) const {
    return block / passes.count / column_blocks();
  }
  CAFFE_HOST_DEVICE int arrival(int block) const {
    return block % num_arrivals();
  }
  CAFFE_HOST_DEVICE int num_arrivals() const {
    return column_blocks() * passes.count;
  }
  CAFFE_HOST_DEVICE int first_four(int block) const {
    return part(block) * part_fours;
  }
  CAFFE_HOST_DEVICE int end_four(int block) const {
    const int end = first_four(block) + part_fours;
    return end < units ? end : units;
  }
  /// @brief Where a sample's gradients of a four begin in step_diff: steps
  ///        take turns, as one is read while the one before is written.
  CAFFE_HOST_DEVICE size_t four(int t, int sample, int four) const {
    const size_t pass = sample / passes.tile;
    return t % 2 * step_size() +
           ((pass * units + four) * passes.tile + sample % passes.tile) * 4;
  }
  /// @brief How many a step has, those of samples that do not exist included.
  CAFFE_HOST_DEVICE size_t step_size() const {
    return static_cast<size_t>(4) * units * passes.count * passes.tile;
  }
};

inline GradientCut CutGradient(
    int units, int samples, int max_tile, int width) {
  GradientCut cut = {units, width, 0, 1, CutSamples(samples, max_tile)};
  const int parts = std::max(1, kMultiprocessors / cut.blocks());
  // Equally many for each warp.
  cut.part_fours =
      ((units - 1) / (parts * kGradientWarps) + 1) * kGradientWarps;
  cut.parts = (units - 1) / cut.part_fours + 1;
  return cut;
}

/// @brief How many neighbours of a row can be read at once: 16 bytes, or less.
template <typename Dtype>
int AlignedWidth(const LSTMSteps<Dtype>& steps) {
  int width = Aligned16<Dtype>::kWidth;
  while (
      steps.units % width != 0 ||
      reinterpret_cast<size_t>(steps.weight) % (width * sizeof(Dtype)) != 0) {
    width /= 2;
  }
  return width;
}

template <typename Dtype>
ForwardCut CutForward(const LSTMSteps<Dtype>& steps) {
  return CutForward(
      steps.units, steps.samples, SampleTile<Dtype>::kMax, AlignedWidth(steps));
}

/// @brief Its parts are those of recurrent_diff, two of its step_size
///        step_diff's, its num_arrivals those of arrivals.
template <typename Dtype>
GradientCut CutGradient(const LSTMSteps<Dtype>& steps) {
  return CutGradient(
      steps.units, steps.samples, SampleTile<Dtype>::kMax, AlignedWidth(steps));
}

#ifndef CPU_ONLY
/// Threads of a block whose threads have an element each.
const int kCellThreads = 128;

/// @brief All steps forward: from x's part of the gates, r_1 and c_0 all gates,
///        c_t, h_t and r_t = cont_t h_{t-1}.
template <typename Dtype>
void LSTMForward(const LSTMSteps<Dtype>& steps, cudaStream_t stream);

/// @brief All steps backward: the gradients of the gates, from those of h_t
///        through the output.
template <typename Dtype>
void LSTMBackward(const LSTMSteps<Dtype>& steps, cudaStream_t stream);

/// @brief Of step t what follows its product: the gates have r_t W_hc' in them
///        already. The next step's r_t is what dropout, at step t, says.
template <typename Dtype>
void LSTMForwardCell(
    const LSTMSteps<Dtype>& steps, int t, const HiddenDropout<Dtype>& dropout);

/// @brief The gradients of step t's gates; recurrent_diff is that of r_{t+1},
///        in one part.
template <typename Dtype>
void LSTMBackwardCell(
    const LSTMSteps<Dtype>& steps, int t, const HiddenDropout<Dtype>& dropout);
#endif

}  // namespace caffe

#endif  // CAFFE_APPROX_DROPOUT_PRODUCT_LSTM_STEP_HPP_
