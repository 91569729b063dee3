#ifndef CAFFE_APPROX_DROPOUT_PATTERN_INDEX_LIST_HPP_
#define CAFFE_APPROX_DROPOUT_PATTERN_INDEX_LIST_HPP_

#include <vector>

#include "caffe/approx_dropout/pattern/kept_cells.hpp"
#include "caffe/common.hpp"

namespace caffe {

/// @brief Ascending positions along one side of a matrix.
struct IndexList {
  IndexList() : stride(1) {}

  vector<int> index;
  int stride;  // between neighbours, or 0 if it is not the same everywhere
  // Runs of neighbours, to be copied at once: where in the list each begins,
  // then the list's size. Empty where runs are short on average.
  vector<int> runs;

  int size() const { return index.size(); }
  int first() const { return index.empty() ? 0 : index[0]; }
  bool contiguous() const { return stride == 1; }
  /// @brief Sets stride and runs; to be called when `index` is complete.
  void FindStride();
};

/// @brief Ascending positions along one side of a matrix, for a kernel:
///        index[i] if index is not NULL, else first + i * stride.
struct DeviceList {
  const int* index;
  int size, first, stride;
  const int* places;  // of each position, where it is in index; -1: nowhere

  CAFFE_HOST_DEVICE int operator()(int i) const {
    return index ? index[i] : first + i * stride;
  }
  /// @brief The i of a position, or -1 if it is not listed.
  CAFFE_HOST_DEVICE int place(int position) const {
    if (index) {
      return places[position];
    }
    const int i = (position - first) / stride;
    return position >= first && i < size && first + i * stride == position ? i
                                                                           : -1;
  }
};

/// @brief Where one side's units are listed: weight[j] and stored[j] are the
///        j-th unit that takes part and its index in storage.
struct UnitLists {
  int* weight;
  int* stored;
};

/// @brief Lists a unit, one of kept.units, if it takes part. Returns its index
///        in the lists, or -1.
CAFFE_HOST_DEVICE inline int ListUnit(const KeptUnits& kept, int unit,
    bool compact, const UnitLists& lists) {
  if (!kept.has(unit)) { return -1; }
  const int j = kept.count(unit);
  lists.weight[j] = unit;
  lists.stored[j] = kept.storage_index(unit, compact);
  return j;
}

/// @brief The same for all units, on the host: appends to `weight` the units
///        that take part and to `stored` their indices in storage, compact or
///        whole.
void ListUnits(const KeptUnits& kept, bool compact, IndexList* weight,
    IndexList* stored);

/// @brief What takes part of one side of a weight matrix, and its lists.
struct SideLists {
  KeptUnits kept;
  bool compact;
  IndexList weight, stored;
};

inline SideLists ListSide(const KeptUnits& kept, bool compact) {
  SideLists side;
  side.kept = kept;
  side.compact = compact;
  ListUnits(kept, compact, &side.weight, &side.stored);
  return side;
}

/// @brief 0, 1, ..., units - 1.
inline IndexList AllUnits(int units) {
  return ListSide(UnitsOf(AllCells(), units), false).weight;
}

/// @brief A matrix in memory whose rows are `stride` elements apart.
template <typename Dtype>
struct PartView {
  Dtype* data;
  int stride;
};

template <typename Dtype>
PartView<Dtype> View(Dtype* data, int stride) {
  const PartView<Dtype> view = { data, stride };
  return view;
}

}  // namespace caffe

#endif  // CAFFE_APPROX_DROPOUT_PATTERN_INDEX_LIST_HPP_
