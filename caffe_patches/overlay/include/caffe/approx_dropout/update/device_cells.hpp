#ifndef CAFFE_APPROX_DROPOUT_UPDATE_DEVICE_CELLS_HPP_
#define CAFFE_APPROX_DROPOUT_UPDATE_DEVICE_CELLS_HPP_

#include <cstddef>

#include "caffe/approx_dropout/math/wide_access.hpp"
#include "caffe/approx_dropout/pattern/cell_grid.hpp"
#include "caffe/approx_dropout/pattern/index_list.hpp"
#include "caffe/approx_dropout/pattern/kept_cells.hpp"
#include "caffe/approx_dropout/update/solver_steps.hpp"

namespace caffe {

// What the kernels of DeviceParameter do, cell by cell, for host and device
// alike: each function does one thread's part of the work, `thread` of
// num_threads, with no barrier inside. LazyParameter is their reference.

/// @brief Cells for a kernel: those listed, a word in use for each row, or the
///        tiles of a grid that a pattern keeps. Words may occur twice.
template <typename Dtype>
struct CellList {
  enum Kind { LISTED, WORDS, TILES };
  Kind kind;
  int size;
  DeviceList listed;
  const Dtype* words;  // whole numbers
  KeptCells tiles;
  int across;          // tiles side by side

  /// @brief The i-th cell, i < size, or -1 if there is none at i.
  CAFFE_HOST_DEVICE int operator()(int i) const {
    if (kind == LISTED) { return listed(i); }
    if (kind == WORDS) { return static_cast<int>(words[i]); }
    return tiles.has_tile(i / across, i % across) ? i : -1;
  }
};

/// @brief A parameter and what is known of its cells.
template <typename Dtype>
struct ParameterView {
  Dtype* data;
  Dtype* history[2];  // as many as the solver has; the other is NULL
  Dtype* gradient;
  CellGrid grid;
  UpdateRule<Dtype> rule;
  Dtype lr_mult;
  const UpdateStep<Dtype>* steps;  // without lr_mult
  int num_steps;
  int* done;           // of each cell: how many steps it has seen
  int* gradient_step;  // the step that its gradient belongs to; num_steps: of
                       // the step that has not ended yet
};

/// @brief Steps that a cell must still do.
struct Replay {
  int first_step, num_steps;
  bool has_gradient;  // in the first of them
  bool writes_history;
  bool writes_update;  // what the last of them subtracts, as the gradient
};

/// @brief For a cell that has seen `done` steps. for_all: others than the
///        layer are about to look, so that history and update matter.
template <typename Dtype>
CAFFE_HOST_DEVICE inline Replay ReplayOf(const ParameterView<Dtype>& p,
    int done, int gradient_step, bool for_all) {
  Replay replay = {done, p.num_steps - done, gradient_step == done,
      ReadsHistory(p.rule) || for_all, for_all};
  if (p.rule.idle == Idle::IS_UNSEEN) {
    // One such step is enough for those who will see it.
    const int needed = replay.has_gradient + for_all;
    if (replay.num_steps > needed) { replay.num_steps = needed; }
  }
  return replay;
}

/// @brief Offset of a cell's i-th vector; kWidth divides the cell's columns.
template <int kWidth>
CAFFE_HOST_DEVICE inline size_t VectorOffset(const CellGrid& grid,
    const CellRange& range, int i) {
  const int across = range.num_columns / kWidth;
  return grid.offset(range.first_row + i / across) + range.first_column
      + i % across * kWidth;
}

template <int kWidth>
CAFFE_HOST_DEVICE inline int NumVectors(const CellRange& range) {
  return range.num_columns / kWidth * range.num_rows;
}

/// @brief Some neighbouring weights and their histories, in registers.
template <typename Step, typename Dtype, int kWidth>
struct WeightVector {
  typedef AlignedVector<Dtype, kWidth> Values;
  Values g, w, update;
  Dtype h[kWidth][Step::kHistories];

  CAFFE_HOST_DEVICE inline void Load(const ParameterView<Dtype>& p, size_t at) {
    const Values zeros = {};
    g = update = zeros;
    w = *VectorAt<Dtype, kWidth>(p.data, at);
    for (int j = 0; j < Step::kHistories; ++j) {
      const Values history = ReadsHistory(p.rule)
                                 ? *VectorAt<Dtype, kWidth>(p.history[j], at)
                                 : zeros;
      for (int k = 0; k < kWidth; ++k) {
        h[k][j] = history.value[k];
      }
    }
  }
  CAFFE_HOST_DEVICE inline void Store(
      const ParameterView<Dtype>& p, size_t at, const Replay& replay) const {
    *VectorAt<Dtype, kWidth>(p.data, at) = w;
    if (replay.writes_history) {
      for (int j = 0; j < Step::kHistories; ++j) {
        Values history;
        for (int k = 0; k < kWidth; ++k) {
          history.value[k] = h[k][j];
        }
        *VectorAt<Dtype, kWidth>(p.history[j], at) = history;
      }
    }
    if (replay.writes_update) {
      *VectorAt<Dtype, kWidth>(p.gradient, at) = update;
    }
  }
  /// @brief A step with the gradient, which is none afterwards.
  CAFFE_HOST_DEVICE inline void Move(
      const UpdateRule<Dtype>& rule, Dtype rate) {
    typedef ScalarMath<Dtype> Math;
    for (int k = 0; k < kWidth; ++k) {
      update.value[k] = rule.l1 ? DoStep<Step, Math, true>(
                                      rule, rate, g.value[k], &w.value[k], h[k])
                                : DoStep<Step, Math, false>(rule, rate,
                                      g.value[k], &w.value[k], h[k]);
      g.value[k] = 0;
    }
  }
  /// @brief A step that only decays the histories.
  CAFFE_HOST_DEVICE inline void Decay(const UpdateRule<Dtype>& rule) {
    for (int k = 0; k < kWidth; ++k) {
      for (int j = 0; j < Step::kHistories; ++j) {
        h[k][j] *= rule.momentum;
      }
      update.value[k] = 0;
    }
  }
};

/// @brief All steps of a solver on one vector. DeviceCellsTest compares them
///        with ReplaySteps, bit for bit.
template <typename Step, typename Dtype, int kWidth>
CAFFE_HOST_DEVICE inline void ReplayVector(
    const ParameterView<Dtype>& p, size_t at, const Replay& replay) {
  WeightVector<Step, Dtype, kWidth> weights;
  weights.Load(p, at);
  const Dtype clip = p.steps[replay.first_step].clip;
  const bool has_gradient = replay.has_gradient && clip != 0;
  if (has_gradient) {
    weights.g = *VectorAt<Dtype, kWidth>(p.gradient, at);
    for (int k = 0; k < kWidth; ++k) {
      weights.g.value[k] = weights.g.value[k] * clip * p.rule.normalization;
    }
  }
  // How many of the steps may move the weights.
  const int num_moves =
      p.rule.idle == Idle::DECAYS_HISTORY ? has_gradient : replay.num_steps;
  for (int s = 0; s < num_moves; ++s) {
    weights.Move(p.rule, p.steps[replay.first_step + s].rate * p.lr_mult);
  }
  for (int s = num_moves; s < replay.num_steps; ++s) {
    weights.Decay(p.rule);
  }
  weights.Store(p, at, replay);
}

template <typename Step, typename Dtype, int kWidth>
CAFFE_HOST_DEVICE inline void ReplayCell(const ParameterView<Dtype>& p,
    int cell, const Replay& replay, int thread, int num_threads) {
  if (replay.num_steps == 0) { return; }
  const CellRange range = p.grid.range(cell);
  const int size = NumVectors<kWidth>(range);
  for (int i = thread; i < size; i += num_threads) {
    ReplayVector<Step, Dtype, kWidth>(
        p, VectorOffset<kWidth>(p.grid, range, i), replay);
  }
}

/// @brief Zeros as a cell's gradient.
template <typename Dtype, int kWidth>
CAFFE_HOST_DEVICE inline void ClearCell(const ParameterView<Dtype>& p,
    int cell, int thread, int num_threads) {
  const CellRange range = p.grid.range(cell);
  const AlignedVector<Dtype, kWidth> zeros = {};
  const int size = NumVectors<kWidth>(range);
  for (int i = thread; i < size; i += num_threads) {
    *VectorAt<Dtype, kWidth>(p.gradient,
        VectorOffset<kWidth>(p.grid, range, i)) = zeros;
  }
}

/// @brief A parameter's rows, or all of it as one row, in strips that a block
///        of threads adds up at once.
inline CellGrid StripsOf(const CellGrid& grid, bool whole) {
  const int kStrip = 4096;
  const CellGrid strips = {whole ? 1 : grid.rows,
      whole ? grid.rows * grid.columns : grid.columns, 1, kStrip};
  return strips;
}

/// @brief Sum of squares of the gradient in a strip: of cells that have one of
///        this iteration or, if `whole`, of all. kWidth > 1 where the strip
///        and the cells in it begin at 16 bytes.
template <typename Dtype, int kWidth>
CAFFE_HOST_DEVICE inline double SumSquaresOfStrip(const ParameterView<Dtype>& p,
    const CellGrid& strips, int strip, bool whole, int thread,
    int num_threads) {
  const CellRange range = strips.range(strip);
  const Dtype* gradient =
      p.gradient + strips.offset(range.first_row) + range.first_column;
  const int first_cell = range.first_row / p.grid.cell_rows * p.grid.across();
  const int vectors = range.num_columns / kWidth;
  double sum = 0;
  for (int i = thread; i < vectors; i += num_threads) {
    const int cell =
        first_cell + (range.first_column + i * kWidth) / p.grid.cell_columns;
    if (!whole && p.gradient_step[cell] != p.num_steps) {
      continue;
    }
    const AlignedVector<Dtype, kWidth> g =
        *VectorAt<Dtype, kWidth>(gradient, i * kWidth);
    for (int k = 0; k < kWidth; ++k) {
      sum += static_cast<double>(g.value[k]) * g.value[k];
    }
  }
  // What is left of a whole parameter.
  const int rest = vectors * kWidth + thread;
  if (rest < range.num_columns) {
    sum += static_cast<double>(gradient[rest]) * gradient[rest];
  }
  return sum;
}

/// @brief part[j] = row[columns(j)], kWidth at a time: the list must then be
///        made of aligned runs of kWidth neighbours.
template <typename Dtype, int kWidth>
CAFFE_HOST_DEVICE inline void GatherRow(const Dtype* row,
    const DeviceList& columns, Dtype* part, int thread, int num_threads) {
  for (int j = thread * kWidth; j < columns.size; j += num_threads * kWidth) {
    *VectorAt<Dtype, kWidth>(part, j) =
        *VectorAt<Dtype, kWidth>(row, columns(j));
  }
}

/// @brief row[j] = part[j], or += it, for all columns, kWidth at a time.
template <typename Dtype, int kWidth>
CAFFE_HOST_DEVICE inline void AddRow(const Dtype* part, int columns,
    bool accumulate, Dtype* row, int thread, int num_threads) {
  for (int j = thread * kWidth; j < columns; j += num_threads * kWidth) {
    AlignedVector<Dtype, kWidth> value = *VectorAt<Dtype, kWidth>(part, j);
    AlignedVector<Dtype, kWidth>* to = VectorAt<Dtype, kWidth>(row, j);
    if (accumulate) { Add<Dtype, kWidth>(*to, &value); }
    *to = value;
  }
}

/// @brief The same of a part that has the listed columns only: others become
///        zero, or stay. A thread takes four columns, so that it waits for them
///        together.
template <typename Dtype>
CAFFE_HOST_DEVICE inline void AddColumns(const Dtype* part,
    const DeviceList& listed, int columns, bool accumulate, Dtype* row,
    int thread, int num_threads) {
  const int kAtOnce = 4;
  for (int j = thread; j < columns; j += kAtOnce * num_threads) {
    int place[kAtOnce];
    for (int k = 0; k < kAtOnce; ++k) {
      const int column = j + k * num_threads;
      place[k] = column < columns ? listed.place(column) : -1;
    }
    Dtype value[kAtOnce];
    for (int k = 0; k < kAtOnce; ++k) {
      value[k] = place[k] >= 0 ? part[place[k]] : Dtype(0);
    }
    for (int k = 0; k < kAtOnce; ++k) {
      Dtype* to = row + j + k * num_threads;
      if (accumulate && place[k] >= 0) {
        *to += value[k];
      } else if (!accumulate && j + k * num_threads < columns) {
        *to = value[k];
      }
    }
  }
}

}  // namespace caffe

#endif  // CAFFE_APPROX_DROPOUT_UPDATE_DEVICE_CELLS_HPP_
