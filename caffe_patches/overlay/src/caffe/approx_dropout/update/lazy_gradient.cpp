#include <algorithm>
#include <vector>

#include "caffe/approx_dropout/math/parallel.hpp"
#include "caffe/approx_dropout/update/lazy_parameter.hpp"
#ifndef CPU_ONLY
#include "caffe/approx_dropout/update/device_parameter.hpp"
#endif

namespace caffe {

// What LazyParameter does with gradients, until a step ends.

template <typename Dtype>
void LazyParameter<Dtype>::ClearGradient(const vector<int>& cells) {
  Dtype* gradient = arrays_.gradient;
  for (size_t i = 0; i < cells.size(); ++i) {
    const CellRange cell = grid_.range(cells[i]);
    for (int row = 0; row < cell.num_rows; ++row) {
      std::fill_n(
          gradient + grid_.offset(cell.first_row + row) + cell.first_column,
          cell.num_columns, Dtype(0));
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
  if (without.size() == cells.size()) {
    return Claim::OVERWRITE;
  }
  ClearGradient(without);
  return Claim::ADD;
}

template <typename Dtype>
void LazyParameter<Dtype>::AddGradient(
    const vector<int>& rows, const vector<int>& columns, const Dtype* part) {
  Dtype* gradient = arrays_.gradient;
  const int num_rows = rows.size();
  const int num_columns = columns.size();
  const bool whole = num_columns == grid_.columns;
  const int* column = columns.data();
  GrowScratch();
  if (!whole) {
    column_lists_.push_back(columns);
  }
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
    if (compact_[row] >= 0) {
      Expand(row, to);
    }
    for (int j = 0; j < num_columns; ++j) {
      to[column[j]] += from[j];
    }
  }
}

template <typename Dtype>
void LazyParameter<Dtype>::AddGradientOnThisThread(
    const vector<int>& rows, const vector<int>& columns, const Dtype* part) {
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
    for (int j = 0; j < num_columns; ++j) {
      to[column[j]] += from[j];
    }
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
  const int size = compact_[cell] < 0 ? range.num_columns
                                      : column_lists_[compact_[cell]].size();
  double sum = 0;
  for (int row = 0; row < range.num_rows; ++row) {
    const Dtype* g = arrays_.gradient + grid_.offset(range.first_row + row) +
                     range.first_column;
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
    if (gradient_[i] == NEW) {
      sums[i] = SumSquares(i);
    }
  }
  double sum = 0;  // in one order, whatever the number of threads
  for (int i = 0; i < num_cells; ++i) {
    sum += sums[i];
  }
  return sum;
}

template <typename Dtype>
void LazyParameter<Dtype>::ShowDiff() {
#ifndef CPU_ONLY
  if (device_) {
    return device_->ShowDiff();
  }
#endif
  CatchUpAll();  // leaves the last update in there
  if (!in_step_) {
    return;
  }
  GrowScratch();
  FindMemory();
  const int num_cells = gradient_.size();
  const size_t count = static_cast<size_t>(grid_.rows) * grid_.columns;
#pragma omp parallel for schedule(dynamic, 16) if (count > kParallelElements)
  for (int i = 0; i < num_cells; ++i) {
    if (gradient_[i] == NONE) {
      ClearGradient(vector<int>(1, i));
    } else if (compact_[i] >= 0) {
      Expand(i, arrays_.gradient + grid_.offset(i));
    }
    gradient_[i] = NEW;
  }
}

#define INSTANTIATE_GRADIENT(Dtype)                                       \
  template void LazyParameter<Dtype>::ClearGradient(const vector<int>&);  \
  template Claim LazyParameter<Dtype>::ClaimGradient(const vector<int>&); \
  template void LazyParameter<Dtype>::AddGradient(                        \
      const vector<int>&, const vector<int>&, const Dtype*);              \
  template void LazyParameter<Dtype>::AddGradientOnThisThread(            \
      const vector<int>&, const vector<int>&, const Dtype*);              \
  template int LazyParameter<Dtype>::AddColumns(const vector<int>&);      \
  template Dtype* LazyParameter<Dtype>::ClaimRowOnThisThread(int, int);   \
  template void LazyParameter<Dtype>::AddRowOnThisThread(                 \
      int, const vector<int>&, const Dtype*);                             \
  template double LazyParameter<Dtype>::SumSquares() const;               \
  template void LazyParameter<Dtype>::ShowDiff()

INSTANTIATE_GRADIENT(float);
INSTANTIATE_GRADIENT(double);

}  // namespace caffe
