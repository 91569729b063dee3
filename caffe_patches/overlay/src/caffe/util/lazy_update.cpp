#include <algorithm>
#include <cstring>
#include <vector>

#include "caffe/util/lazy_update.hpp"

namespace caffe {

namespace {

// Below this many elements a loop is not worth waking threads for.
const int kParallelElements = 1 << 14;
// Steps after which cells that nobody needs are brought up to date too.
const int kMaxSteps = 4096;

// What is kept in registers through all steps: 64 bytes, of 16 or 8 elements.
template <typename Dtype>
struct Chunk {
  typedef Dtype Vector __attribute__((vector_size(64)));
  static const int kSize = 64 / sizeof(Dtype);

  static inline Vector Load(const Dtype* from, int count) {
    Vector vector = {};
    std::memcpy(&vector, from, count * sizeof(Dtype));
    return vector;
  }
  static inline void Store(const Vector& vector, int count, Dtype* to) {
    std::memcpy(to, &vector, count * sizeof(Dtype));
  }
};

#define ALWAYS_INLINE inline __attribute__((always_inline))

// The steps for `count` elements, at most a chunk's.
template <typename Dtype, bool kL1>
ALWAYS_INLINE void ReplayChunk(const UpdateRule<Dtype>& rule,
    const UpdateStep<Dtype>* steps, int num_steps, int count,
    const Dtype* gradient, Dtype* data, Dtype* history) {
  typedef typename Chunk<Dtype>::Vector Vector;
  const Vector zero = {};
  const Vector one = zero + Dtype(1);
  Vector g = zero;
  if (gradient) { g = Chunk<Dtype>::Load(gradient, count); }
  if (steps[0].clip != 1 || rule.normalization != 1) {
    g = g * steps[0].clip * rule.normalization;
  }
  Vector w = Chunk<Dtype>::Load(data, count);
  Vector h = zero;
  if (rule.momentum != 0) { h = Chunk<Dtype>::Load(history, count); }
  for (int s = 0; s < num_steps; ++s) {
    const Vector decayed = kL1 ? (w > zero ? one : zero)
        - (w < zero ? one : zero) : w;
    const Vector d = g + rule.decay * decayed;
    h = steps[s].rate * d + rule.momentum * h;
    w -= h;
    g = zero;
  }
  Chunk<Dtype>::Store(w, count, data);
  Chunk<Dtype>::Store(h, count, history);
}

template <typename Dtype, bool kL1>
ALWAYS_INLINE void ReplayRow(const UpdateRule<Dtype>& rule,
    const UpdateStep<Dtype>* steps, int num_steps, int count,
    const Dtype* gradient, Dtype* data, Dtype* history) {
  const int kSize = Chunk<Dtype>::kSize;
  int i = 0;
  for (; i + kSize <= count; i += kSize) {
    ReplayChunk<Dtype, kL1>(rule, steps, num_steps, kSize,
        gradient ? gradient + i : NULL, data + i, history + i);
  }
  if (i < count) {
    ReplayChunk<Dtype, kL1>(rule, steps, num_steps, count - i,
        gradient ? gradient + i : NULL, data + i, history + i);
  }
}

}  // namespace

template <typename Dtype>
void ReplaySteps(const UpdateRule<Dtype>& rule,
    const UpdateStep<Dtype>* steps, int num_steps, int num_rows,
    int num_columns, int stride, const Dtype* gradient, Dtype* data,
    Dtype* history) {
  const UpdateRule<Dtype> local_rule = rule;  // nobody else writes to it
  for (int row = 0; row < num_rows; ++row) {
    const size_t at = static_cast<size_t>(row) * stride;
    const Dtype* row_gradient = gradient ? gradient + at : NULL;
    if (local_rule.l1) {
      ReplayRow<Dtype, true>(local_rule, steps, num_steps, num_columns,
          row_gradient, data + at, history + at);
    } else {
      ReplayRow<Dtype, false>(local_rule, steps, num_steps, num_columns,
          row_gradient, data + at, history + at);
    }
  }
}

template <typename Dtype>
LazyParameter<Dtype>::LazyParameter(Blob<Dtype>* param, Blob<Dtype>* history,
    const UpdateRule<Dtype>& rule)
    : param_(param), history_(history), rule_(rule) {
  rows_ = param->num_axes() > 1 ? param->shape(0) : 1;
  columns_ = param->count() / rows_;
  SetCells(1, columns_);
}

template <typename Dtype>
void LazyParameter<Dtype>::SetCells(int cell_rows, int cell_columns) {
  CHECK(steps_.empty()) << "Cells cannot change while steps wait for them";
  cell_rows_ = cell_rows;
  cell_columns_ = cell_columns;
  cells_across_ = (columns_ + cell_columns - 1) / cell_columns;
  const int cells_down = (rows_ + cell_rows - 1) / cell_rows;
  done_.assign(cells_down * cells_across_, 0);
  gradient_.assign(done_.size(), 0);
}

template <typename Dtype>
typename LazyParameter<Dtype>::Range LazyParameter<Dtype>::range(
    int cell) const {
  Range range;
  range.first_row = cell / cells_across_ * cell_rows_;
  range.last_row = std::min(rows_, range.first_row + cell_rows_);
  range.first_column = cell % cells_across_ * cell_columns_;
  range.num_columns = std::min(columns_ - range.first_column, cell_columns_);
  return range;
}

template <typename Dtype>
void LazyParameter<Dtype>::CatchUpCell(int cell, Dtype* gradient,
    Dtype* data, Dtype* history, Purpose purpose) {
  int num_steps = static_cast<int>(steps_.size()) - done_[cell];
  const UpdateStep<Dtype>* steps = steps_.data() + done_[cell];
  const bool has_gradient = gradient_[cell] != 0;
  if (rule_.momentum == 0 && rule_.decay == 0) {
    // A step without gradient only sets h to 0, which nobody reads until
    // everything is brought up to date.
    num_steps = std::min(num_steps, has_gradient + (purpose == FOR_ALL));
  }
  const Range cells = range(cell);
  const int num_rows = cells.last_row - cells.first_row;
  const size_t at = static_cast<size_t>(cells.first_row) * columns_
      + cells.first_column;
  if (num_steps > 0) {
    ReplaySteps(rule_, steps, num_steps, num_rows, cells.num_columns,
        columns_, has_gradient ? gradient + at : NULL, data + at,
        history + at);
  }
  for (int row = 0; purpose == FOR_CLEARING && row < num_rows; ++row) {
    std::fill_n(gradient + at + static_cast<size_t>(row) * columns_,
        cells.num_columns, Dtype(0));
  }
  gradient_[cell] = 0;
  done_[cell] = steps_.size();
}

template <typename Dtype>
void LazyParameter<Dtype>::CatchUp(const vector<int>& cells,
    Purpose purpose) {
  if (steps_.empty()) { return; }
  Dtype* gradient = param_->mutable_cpu_diff();
  Dtype* data = param_->mutable_cpu_data();
  Dtype* history = history_->mutable_cpu_data();
  const int num_cells = cells.size();
#pragma omp parallel for schedule(dynamic, 16) \
    if (num_cells * cell_rows_ * cell_columns_ > kParallelElements)
  for (int i = 0; i < num_cells; ++i) {
    if (done_[cells[i]] < steps_.size()) {
      CatchUpCell(cells[i], gradient, data, history, purpose);
    }
  }
}

template <typename Dtype>
void LazyParameter<Dtype>::ClearGradient(const vector<int>& cells) {
  Dtype* gradient = param_->mutable_cpu_diff();
  for (size_t i = 0; i < cells.size(); ++i) {
    const Range cell = range(cells[i]);
    for (int row = cell.first_row; row < cell.last_row; ++row) {
      std::fill_n(gradient + static_cast<size_t>(row) * columns_
          + cell.first_column, cell.num_columns, Dtype(0));
    }
  }
}

template <typename Dtype>
void LazyParameter<Dtype>::UpdateNow(const UpdateStep<Dtype>& step) {
  vector<int> cells(done_.size());
  for (size_t i = 0; i < cells.size(); ++i) { cells[i] = i; }
  std::fill(gradient_.begin(), gradient_.end(), 1);
  steps_.push_back(step);
  CatchUp(cells, FOR_CLEARING);
  steps_.clear();
  std::fill(done_.begin(), done_.end(), 0);
}

template <typename Dtype>
void LazyParameter<Dtype>::CatchUpAll() {
  vector<int> cells(done_.size());
  for (size_t i = 0; i < cells.size(); ++i) { cells[i] = i; }
  CatchUp(cells, FOR_ALL);
  steps_.clear();
  std::fill(done_.begin(), done_.end(), 0);
}

template <typename Dtype>
bool LazyParameter<Dtype>::TakeGradient(const vector<int>& cells) {
  vector<int> without;
  for (size_t i = 0; i < cells.size(); ++i) {
    CHECK_EQ(done_[cells[i]], steps_.size()) << "A gradient for weights that "
        << "are not up to date";
    if (!gradient_[cells[i]]) {
      without.push_back(cells[i]);
      gradient_[cells[i]] = 1;
    }
  }
  if (without.size() == cells.size()) { return true; }
  ClearGradient(without);
  return false;
}

template <typename Dtype>
double LazyParameter<Dtype>::SumSquares(int cell) const {
  const Range cells = range(cell);
  double sum = 0;
  for (int row = cells.first_row; row < cells.last_row; ++row) {
    const Dtype* g = param_->cpu_diff() + static_cast<size_t>(row) * columns_
        + cells.first_column;
    double row_sum = 0;
#pragma omp simd reduction(+ : row_sum)
    for (int j = 0; j < cells.num_columns; ++j) {
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
  param_->cpu_diff();
#pragma omp parallel for schedule(dynamic, 16)
  for (int i = 0; i < num_cells; ++i) {
    if (gradient_[i] == 1) { sums[i] = SumSquares(i); }
  }
  double sum = 0;  // in one order, whatever the number of threads
  for (int i = 0; i < num_cells; ++i) { sum += sums[i]; }
  return sum;
}

template <typename Dtype>
void LazyParameter<Dtype>::EndStep(const UpdateStep<Dtype>& step) {
  steps_.push_back(step);
  for (size_t i = 0; i < gradient_.size(); ++i) {
    if (gradient_[i] == 1) { gradient_[i] = 2; }
  }
  if (steps_.size() >= kMaxSteps) { CatchUpAll(); }
}

template <typename Dtype>
vector<int> DistinctValues(const Blob<Dtype>& blob) {
  vector<int> values(blob.cpu_data(), blob.cpu_data() + blob.count());
  std::sort(values.begin(), values.end());
  values.erase(std::unique(values.begin(), values.end()), values.end());
  return values;
}

template void ReplaySteps<float>(const UpdateRule<float>& rule,
    const UpdateStep<float>* steps, int num_steps, int num_rows,
    int num_columns, int stride, const float* gradient, float* data,
    float* history);
template void ReplaySteps<double>(const UpdateRule<double>& rule,
    const UpdateStep<double>* steps, int num_steps, int num_rows,
    int num_columns, int stride, const double* gradient, double* data,
    double* history);
template vector<int> DistinctValues<float>(const Blob<float>& blob);
template vector<int> DistinctValues<double>(const Blob<double>& blob);
INSTANTIATE_CLASS(LazyParameter);

}  // namespace caffe
