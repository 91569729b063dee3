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
    : memory_(*param, *history, history2), rule_(rule), in_step_(false) {
  rule_.idle = IdleOf(rule);
  grid_.rows = param->num_axes() > 1 ? param->shape(0) : 1;
  grid_.columns = param->count() / grid_.rows;
  // Memory is allocated when it is first asked for. That must happen here, not
  // in several threads at once.
  FindMemory();
  grid_.cell_rows = 0;
  SetCells(1, grid_.columns);
}

template <typename Dtype>
void LazyParameter<Dtype>::FindMemory() {
  SyncedMemory* memories[] = {memory_.diff.get(), memory_.data.get(),
      memory_.history[0].get(), memory_.history[1].get()};
  Dtype* found[4] = {};
  for (int i = 0; i < 4; ++i) {
    if (memories[i]) {
      found[i] = static_cast<Dtype*>(memories[i]->raw_mutable_cpu_data());
    }
  }
  const WeightArrays<Dtype> arrays = {
      found[0], found[1], {found[2], found[3]}, NULL};
  arrays_ = arrays;
}

template <typename Dtype>
void LazyParameter<Dtype>::SetCells(int cell_rows, int cell_columns) {
#ifndef CPU_ONLY
  if (device_) { return device_->SetCells(cell_rows, cell_columns); }
#endif
  if (cell_rows == grid_.cell_rows && cell_columns == grid_.cell_columns) {
    return;
  }
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

// Cells of one row of cells: row by row, in the order of memory.
template <typename Dtype>
void LazyParameter<Dtype>::CatchUpCells(const int* cells,
    int num_cells, Purpose purpose) {
  const CellRange first = grid_.range(cells[0]);
  vector<Stretch<Dtype> > stretches;
  stretches.reserve(num_cells);
  for (int i = 0; i < num_cells; ++i) {
    const Pending pending = PendingOf(cells[i], purpose);
    if (compact_[cells[i]] >= 0) {
      CatchUpCompact(first.first_row, purpose);
    } else if (pending.num_steps > 0) {
      const int column =
          first.first_column + (cells[i] - cells[0]) * grid_.cell_columns;
      const Stretch<Dtype> stretch = {column, grid_.width(column),
          pending.steps, pending.num_steps, gradient_[cells[i]] != NONE};
      stretches.push_back(stretch);
    }
  }
  for (int r = 0; r < first.num_rows && !stretches.empty(); ++r) {
    ReplayStretches(rule_, stretches.data(), stretches.size(),
        r + 1 < first.num_rows ? grid_.columns : 0,
        ArraysFrom(grid_.offset(first.first_row + r), purpose));
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
void LazyParameter<Dtype>::CatchUpAll() {
#ifndef CPU_ONLY
  if (device_) {
    return device_->CatchUpAll();
  }
#endif
  if (steps_.empty()) {
    return;
  }
  FindMemory();  // whoever looked last may have moved it to a GPU
  CatchUp(all_cells_, FOR_ALL, NULL, NULL);
  // What is known of this step's gradients is still needed.
  if (std::count(gradient_.begin(), gradient_.end(), NEW) > 0) {
    return;
  }
  steps_.clear();
  column_lists_.clear();
  for (size_t i = 0; i < scratch_.size(); ++i) { scratch_[i].Clear(); }
  std::fill(done_.begin(), done_.end(), 0);
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
void LazyParameter<Dtype>::BeginStep(bool whole) {
#ifndef CPU_ONLY
  if (device_) {
    return device_->BeginStep(whole);
  }
#endif
  FindMemory();
  if (whole) {
    const size_t count = static_cast<size_t>(grid_.rows) * grid_.columns;
    std::fill_n(arrays_.gradient, count, Dtype(0));
  } else if (in_step_) {
    for (size_t i = 0; i < gradient_.size(); ++i) {
      if (gradient_[i] == NEW) {
        gradient_[i] = NONE;
        compact_[i] = -1;
      }
    }
  }
  in_step_ = true;
}

template <typename Dtype>
void LazyParameter<Dtype>::EndStep(const UpdateStep<Dtype>& step) {
  AppendStep(step);
  GrowScratch();
  for (size_t i = 0; i < gradient_.size(); ++i) {
    if (gradient_[i] == NEW) { gradient_[i] = OLD; }
  }
  in_step_ = false;
  // With iter_size there are several lists a step.
  if (steps_.size() >= kMaxSteps || column_lists_.size() >= kMaxSteps) {
    CatchUpAll();
  }
}

template <typename Dtype>
void LazyParameter<Dtype>::UpdateWhole(const UpdateStep<Dtype>& step) {
  std::fill(gradient_.begin(), gradient_.end(), NEW);
  AppendStep(step);
  CatchUp(all_cells_, FOR_ALL, NULL, NULL);
  steps_.clear();
  std::fill(done_.begin(), done_.end(), 0);
  in_step_ = false;
}

INSTANTIATE_CLASS(LazyParameter);

}  // namespace caffe
