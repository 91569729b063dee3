#include "caffe/approx_dropout/update/lazy_parameter.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "caffe/approx_dropout/math/parallel.hpp"
#ifndef CPU_ONLY
#include "caffe/approx_dropout/update/device_parameter.hpp"
#endif

namespace caffe {

template <typename Dtype>
LazyParameter<Dtype>::LazyParameter(Blob<Dtype>* param, Blob<Dtype>* history,
    const UpdateRule<Dtype>& rule, Blob<Dtype>* history2)
    : rule_(rule) {
  rule_.idle = IdleOf(rule);
  grid_.rows = param->num_axes() > 1 ? param->shape(0) : 1;
  grid_.columns = param->count() / grid_.rows;
  // Blobs allocate memory when it is first asked for. That must happen here,
  // not in several threads at once.
  const WeightArrays<Dtype> arrays = {param->mutable_cpu_diff(),
      param->mutable_cpu_data(),
      {history->mutable_cpu_data(),
          history2 ? history2->mutable_cpu_data() : NULL},
      NULL};
  arrays_ = arrays;
  SetCells(1, grid_.columns);
}

template <typename Dtype>
void LazyParameter<Dtype>::SetCells(int cell_rows, int cell_columns) {
#ifndef CPU_ONLY
  if (device_) { return device_->SetCells(cell_rows, cell_columns); }
#endif
  CHECK(steps_.empty()) << "Cells cannot change while steps wait for them";
  grid_.cell_rows = cell_rows;
  grid_.cell_columns = cell_columns;
  done_.assign(grid_.count(), 0);
  gradient_.assign(done_.size(), NONE);
  compact_.assign(done_.size(), -1);
  all_cells_.resize(done_.size());
  for (size_t i = 0; i < all_cells_.size(); ++i) { all_cells_[i] = i; }
}

template <typename Dtype>
typename LazyParameter<Dtype>::Pending LazyParameter<Dtype>::PendingOf(
    int cell, Purpose purpose) const {
  Pending pending = { steps_.data() + done_[cell],
      static_cast<int>(steps_.size()) - done_[cell] };
  if (rule_.idle == Idle::IS_UNSEEN) {
    // One such step is enough for those who will see it.
    const bool has_gradient = gradient_[cell] != NONE;
    pending.num_steps = std::min(pending.num_steps,
        has_gradient + (purpose == FOR_ALL));
  }
  return pending;
}

template <typename Dtype>
WeightArrays<Dtype> LazyParameter<Dtype>::ArraysFrom(
    size_t at, Purpose purpose) const {
  WeightArrays<Dtype> arrays = arrays_.From(at);
  if (purpose == FOR_ALL) {
    arrays.update = arrays.gradient;
  } else if (!ReadsHistory(rule_)) {
    arrays.history[0] = NULL;  // only for those who look at it
  }
  return arrays;
}

// Tile rows are strided; the hardware prefetcher misses them.
template <typename Dtype>
void LazyParameter<Dtype>::PrefetchBelow(
    const WeightArrays<Dtype>& arrays, int num_columns) const {
  const int kLine = 64 / sizeof(Dtype);
  for (int j = grid_.columns; j < grid_.columns + num_columns; j += kLine) {
    __builtin_prefetch(arrays.data + j, 1);
    __builtin_prefetch(arrays.gradient + j);
    for (int k = 0; k < 2; ++k) {
      if (arrays.history[k]) {
        __builtin_prefetch(arrays.history[k] + j, 1);
      }
    }
  }
}

template <typename Dtype>
void LazyParameter<Dtype>::CatchUpRow(int cell, int row, int first_column,
    Purpose purpose) {
  const Pending pending = PendingOf(cell, purpose);
  if (pending.num_steps == 0) {
    return;
  }
  const int num_columns = grid_.width(first_column);
  WeightArrays<Dtype> arrays =
      ArraysFrom(grid_.offset(row) + first_column, purpose);
  if (grid_.cell_rows > 1) {
    PrefetchBelow(arrays, num_columns);
  }
  if (gradient_[cell] == NONE) {
    arrays.gradient = NULL;
  }
  ReplaySteps(rule_, pending.steps, pending.num_steps, num_columns, arrays);
}

template <typename Dtype>
void LazyParameter<Dtype>::CatchUpCompact(int row, Purpose purpose) {
  const Pending pending = PendingOf(row, purpose);
  if (pending.num_steps == 0) { return; }
  const vector<int>& columns = column_lists_[compact_[row]];
  const int size = columns.size();
  WeightArrays<Dtype> arrays = ArraysFrom(grid_.offset(row), purpose);
  Scratch& buffer = scratch_[ThreadIndex()];
  Dtype* scratch = buffer.row.data();
  if (rule_.idle == Idle::IS_UNSEEN && !arrays.history[0]) {
    // Other columns do not change.
    Dtype* data = arrays.data;
    for (int j = 0; j < size; ++j) { scratch[j] = data[columns[j]]; }
    arrays.data = scratch;
    ReplaySteps(rule_, pending.steps, pending.num_steps, size, arrays);
    for (int j = 0; j < size; ++j) { data[columns[j]] = scratch[j]; }
    std::fill_n(scratch, size, Dtype(0));
    return;
  }
  if (buffer.list != compact_[row]) { buffer.Clear(); }
  buffer.list = compact_[row];
  for (int j = 0; j < size; ++j) {
    scratch[columns[j]] = arrays.gradient[j];
  }
  arrays.gradient = scratch;
  ReplaySteps(rule_, pending.steps, pending.num_steps, grid_.columns, arrays);
}

// Cells side by side: row by row, in the order of memory.
template <typename Dtype>
void LazyParameter<Dtype>::CatchUpCells(const int* cells,
    int num_cells, Purpose purpose) {
  const CellRange first = grid_.range(cells[0]);
  const int end = first.first_row + first.num_rows;
  for (int row = first.first_row; row < end; ++row) {
    for (int i = 0; i < num_cells; ++i) {
      if (done_[cells[i]] == steps_.size()) { continue; }
      if (compact_[cells[i]] >= 0) {
        CatchUpCompact(row, purpose);
      } else {
        const int right = cells[i] - cells[0];
        CatchUpRow(cells[i], row,
            first.first_column + right * grid_.cell_columns, purpose);
      }
    }
  }
  for (int i = 0; i < num_cells; ++i) {
    if (done_[cells[i]] == steps_.size()) { continue; }
    compact_[cells[i]] = -1;
    gradient_[cells[i]] = NONE;
    done_[cells[i]] = steps_.size();
  }
}

template <typename Dtype>
void LazyParameter<Dtype>::GrowScratch() {
  if (scratch_.size() < MaxThreads()) {
    Scratch empty;
    empty.row.resize(grid_.columns);
    empty.list = -1;
    scratch_.resize(MaxThreads(), empty);
  }
}

template <typename Dtype>
void LazyParameter<Dtype>::CatchUp(const vector<int>& cells, Purpose purpose,
    const vector<int>* columns, Dtype* part) {
  if ((steps_.empty() && !part) || cells.empty()) { return; }
  GrowScratch();
  const int across = grid_.across();
  // Where runs of cells side by side begin in the list.
  vector<int> begins;
  for (size_t i = 0; i < cells.size(); ++i) {
    if (i == 0 || cells[i] / across != cells[i - 1] / across) {
      begins.push_back(i);
    }
  }
  const int num_begins = begins.size();
  begins.push_back(cells.size());
  const int num_columns = part ? columns->size() : 0;
  const int cell_size = grid_.cell_rows * grid_.cell_columns;
#pragma omp parallel for schedule(dynamic, grid_.cell_rows == 1 ? 8 : 1) \
    if (cells.size() * cell_size > kParallelElements)
  for (int i = 0; i < num_begins; ++i) {
    CatchUpCells(cells.data() + begins[i], begins[i + 1] - begins[i],
        purpose);
    if (!part) { continue; }
    const Dtype* from = arrays_.data + grid_.offset(cells[i]);
    Dtype* to = part + static_cast<size_t>(i) * num_columns;
    if (num_columns == grid_.columns) {
      std::copy(from, from + num_columns, to);
    } else {
      const int* column = columns->data();
      for (int j = 0; j < num_columns; ++j) { to[j] = from[column[j]]; }
    }
  }
}

template <typename Dtype>
void LazyParameter<Dtype>::CatchUpOnThisThread(
    const int* cells, int num_cells) {
  if (steps_.empty()) { return; }
  const int across = grid_.across();
  int begin = 0;
  for (int i = 1; i <= num_cells; ++i) {
    if (i < num_cells && cells[i] / across == cells[begin] / across) {
      continue;
    }
    CatchUpCells(cells + begin, i - begin, FOR_USE);
    begin = i;
  }
}

template <typename Dtype>
void LazyParameter<Dtype>::UpdateWhole(const UpdateStep<Dtype>& step) {
  std::fill(gradient_.begin(), gradient_.end(), NEW);
  AppendStep(step);
  CatchUp(all_cells_, FOR_ALL, NULL, NULL);
  steps_.clear();
  std::fill(done_.begin(), done_.end(), 0);
}

template <typename Dtype>
void LazyParameter<Dtype>::CatchUpAll() {
  CatchUp(all_cells_, FOR_ALL, NULL, NULL);
  steps_.clear();
  column_lists_.clear();
  for (size_t i = 0; i < scratch_.size(); ++i) { scratch_[i].Clear(); }
  std::fill(done_.begin(), done_.end(), 0);
}

template <typename Dtype>
void LazyParameter<Dtype>::ClearGradient(const vector<int>& cells) {
  Dtype* gradient = arrays_.gradient;
  for (size_t i = 0; i < cells.size(); ++i) {
    const CellRange cell = grid_.range(cells[i]);
    for (int row = 0; row < cell.num_rows; ++row) {
      std::fill_n(gradient + grid_.offset(cell.first_row + row)
          + cell.first_column, cell.num_columns, Dtype(0));
    }
  }
}

template <typename Dtype>
Claim LazyParameter<Dtype>::ClaimGradient(const vector<int>& cells) {
  GrowScratch();
  vector<int> without;
  for (size_t i = 0; i < cells.size(); ++i) {
    CHECK_EQ(done_[cells[i]], steps_.size()) << "A gradient for weights that "
        << "are not up to date";
    if (gradient_[cells[i]] == NONE) {
      without.push_back(cells[i]);
      gradient_[cells[i]] = NEW;
    } else if (compact_[cells[i]] >= 0) {
      Expand(cells[i], arrays_.gradient + grid_.offset(cells[i]));
    }
  }
  if (without.size() == cells.size()) { return Claim::OVERWRITE; }
  ClearGradient(without);
  return Claim::ADD;
}

template <typename Dtype>
void LazyParameter<Dtype>::AddGradient(const vector<int>& rows,
    const vector<int>& columns, const Dtype* part) {
  Dtype* gradient = arrays_.gradient;
  const int num_rows = rows.size();
  const int num_columns = columns.size();
  const bool whole = num_columns == grid_.columns;
  const int* column = columns.data();
  GrowScratch();
  if (!whole) { column_lists_.push_back(columns); }
#pragma omp parallel for if (num_rows * num_columns > kParallelElements)
  for (int i = 0; i < num_rows; ++i) {
    const int row = rows[i];
    const Dtype* from = part + static_cast<size_t>(i) * num_columns;
    Dtype* to = gradient + grid_.offset(row);
    CHECK_EQ(done_[row], steps_.size()) << "A gradient for weights that are "
        << "not up to date";
    if (gradient_[row] == NONE) {
      std::copy(from, from + num_columns, to);
      compact_[row] = whole ? -1 : static_cast<int>(column_lists_.size()) - 1;
      gradient_[row] = NEW;
      continue;
    }
    if (compact_[row] >= 0) { Expand(row, to); }
    for (int j = 0; j < num_columns; ++j) { to[column[j]] += from[j]; }
  }
}

template <typename Dtype>
void LazyParameter<Dtype>::AddGradientOnThisThread(const vector<int>& rows,
    const vector<int>& columns, const Dtype* part) {
  const int num_columns = columns.size();
  const int* column = columns.data();
  for (size_t i = 0; i < rows.size(); ++i) {
    const int row = rows[i];
    const Dtype* from = part + i * num_columns;
    Dtype* to = arrays_.gradient + grid_.offset(row);
    CHECK_EQ(done_[row], steps_.size()) << "A gradient for weights that are "
        << "not up to date";
    if (gradient_[row] == NONE) {
      std::fill_n(to, grid_.columns, Dtype(0));
      gradient_[row] = NEW;
    } else if (compact_[row] >= 0) {
      Expand(row, to);
    }
    for (int j = 0; j < num_columns; ++j) { to[column[j]] += from[j]; }
  }
}

template <typename Dtype>
int LazyParameter<Dtype>::AddColumns(const vector<int>& columns) {
  GrowScratch();
  if (columns.size() == grid_.columns) {
    return -1;
  }
  column_lists_.push_back(columns);
  return column_lists_.size() - 1;
}

template <typename Dtype>
Dtype* LazyParameter<Dtype>::ClaimRowOnThisThread(int row, int columns) {
  CHECK_EQ(done_[row], steps_.size()) << "A gradient for weights that are "
                                      << "not up to date";
  if (gradient_[row] != NONE) {
    return NULL;
  }
  gradient_[row] = NEW;
  compact_[row] = columns;
  return arrays_.gradient + grid_.offset(row);
}

template <typename Dtype>
void LazyParameter<Dtype>::AddRowOnThisThread(
    int row, const vector<int>& columns, const Dtype* part) {
  Dtype* to = arrays_.gradient + grid_.offset(row);
  if (compact_[row] >= 0) {
    Expand(row, to);
  }
  for (size_t j = 0; j < columns.size(); ++j) {
    to[columns[j]] += part[j];
  }
}

template <typename Dtype>
void LazyParameter<Dtype>::Expand(int row, Dtype* gradient) {
  const vector<int>& columns = column_lists_[compact_[row]];
  Dtype* scratch = scratch_[ThreadIndex()].row.data();
  std::copy(gradient, gradient + columns.size(), scratch);
  std::fill_n(gradient, grid_.columns, Dtype(0));
  for (size_t j = 0; j < columns.size(); ++j) {
    gradient[columns[j]] = scratch[j];
    scratch[j] = 0;
  }
  compact_[row] = -1;
}

template <typename Dtype>
double LazyParameter<Dtype>::SumSquares(int cell) const {
  const CellRange range = grid_.range(cell);
  const int size = compact_[cell] < 0 ? range.num_columns :
      column_lists_[compact_[cell]].size();
  double sum = 0;
  for (int row = 0; row < range.num_rows; ++row) {
    const Dtype* g = arrays_.gradient + grid_.offset(range.first_row + row)
        + range.first_column;
    double row_sum = 0;
#pragma omp simd reduction(+ : row_sum)
    for (int j = 0; j < size; ++j) {
      row_sum += static_cast<double>(g[j]) * g[j];
    }
    sum += row_sum;
  }
  return sum;
}

template <typename Dtype>
double LazyParameter<Dtype>::SumSquares() const {
  const int num_cells = gradient_.size();
  vector<double> sums(num_cells);
#pragma omp parallel for schedule(dynamic, 16)
  for (int i = 0; i < num_cells; ++i) {
    if (gradient_[i] == NEW) { sums[i] = SumSquares(i); }
  }
  double sum = 0;  // in one order, whatever the number of threads
  for (int i = 0; i < num_cells; ++i) { sum += sums[i]; }
  return sum;
}

template <typename Dtype>
void LazyParameter<Dtype>::AppendStep(const UpdateStep<Dtype>& step) {
  // A rate that is not finite moves every weight: 0 times it is no number.
  if (!std::isfinite(step.rate)) {
    rule_.idle = Idle::MOVES_WEIGHT;
  }
  steps_.push_back(step);
}

template <typename Dtype>
void LazyParameter<Dtype>::EndStep(const UpdateStep<Dtype>& step) {
  AppendStep(step);
  GrowScratch();
  for (size_t i = 0; i < gradient_.size(); ++i) {
    if (gradient_[i] == NEW) { gradient_[i] = OLD; }
  }
  if (steps_.size() >= kMaxSteps) { CatchUpAll(); }
}

INSTANTIATE_CLASS(LazyParameter);

}  // namespace caffe
