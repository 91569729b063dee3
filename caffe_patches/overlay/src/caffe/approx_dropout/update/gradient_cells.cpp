// What a LazyParameter gives to the exchange of gradients with other ranks.

#include <algorithm>
#include <vector>

#include "caffe/approx_dropout/update/lazy_parameter.hpp"

namespace caffe {

template <typename Dtype>
template <typename Copy>
void LazyParameter<Dtype>::ForEachRow(Copy copy) const {
  for (size_t cell = 0; cell < gradient_.size(); ++cell) {
    if (gradient_[cell] != NEW) {
      continue;
    }
    const CellRange range = grid_.range(cell);
    const size_t size = compact_[cell] < 0
                            ? range.num_columns
                            : column_lists_[compact_[cell]].size();
    for (int row = 0; row < range.num_rows; ++row) {
      copy(arrays_.gradient + grid_.offset(range.first_row + row) +
               range.first_column,
          size);
    }
  }
}

template <typename Dtype>
vector<char> LazyParameter<Dtype>::HasGradient() const {
  vector<char> cells(gradient_.size());
  for (size_t i = 0; i < cells.size(); ++i) {
    cells[i] = gradient_[i] == NEW;
  }
  return cells;
}

template <typename Dtype>
void LazyParameter<Dtype>::AddZeros(const vector<char>& cells) {
  vector<int> without;
  for (size_t i = 0; i < cells.size(); ++i) {
    if (cells[i] && gradient_[i] != NEW) {
      without.push_back(i);
    }
  }
  CatchUp(without);
  if (!without.empty() && ClaimGradient(without) == Claim::OVERWRITE) {
    ClearGradient(without);
  }
}

template <typename Dtype>
size_t LazyParameter<Dtype>::GradientSize() const {
  size_t total = 0;
  ForEachRow([&](Dtype*, size_t size) { total += size; });
  return total;
}

template <typename Dtype>
void LazyParameter<Dtype>::CopyGradient(Dtype scale, Dtype* values) const {
  ForEachRow([&](const Dtype* row, size_t size) {
    for (size_t j = 0; j < size; ++j) {
      values[j] = scale * row[j];
    }
    values += size;
  });
}

template <typename Dtype>
void LazyParameter<Dtype>::SetGradient(const Dtype* values) {
  ForEachRow([&](Dtype* row, size_t size) {
    std::copy(values, values + size, row);
    values += size;
  });
}

#define INSTANTIATE_GRADIENT_CELLS(Dtype)                                \
  template vector<char> LazyParameter<Dtype>::HasGradient() const;       \
  template void LazyParameter<Dtype>::AddZeros(const vector<char>&);     \
  template size_t LazyParameter<Dtype>::GradientSize() const;            \
  template void LazyParameter<Dtype>::CopyGradient(Dtype, Dtype*) const; \
  template void LazyParameter<Dtype>::SetGradient(const Dtype*)

INSTANTIATE_GRADIENT_CELLS(float);
INSTANTIATE_GRADIENT_CELLS(double);

}  // namespace caffe
