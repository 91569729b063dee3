#ifndef CAFFE_APPROX_DROPOUT_PRODUCT_BATCHED_BLOCKS_HPP_
#define CAFFE_APPROX_DROPOUT_PRODUCT_BATCHED_BLOCKS_HPP_

#include <algorithm>
#include <vector>

#include "caffe/approx_dropout/math/wide_access.hpp"
#include "caffe/approx_dropout/pattern/index_list.hpp"
#include "caffe/approx_dropout/pattern/sample_groups.hpp"

namespace caffe {

// What the kernels of BatchedProduct do, for host and device alike: each
// function does one thread's part of the work. A product is cut into blocks,
// those of one group of samples following each other. Their index lists are
// padded (ELL): all have the size of the longest or more, and -1 fills up the
// shorter ones.

/// @brief One side of W, outputs or inputs, as the blocks of a product use it.
struct BlockSide {
  /// NONE: block g uses what group g's pattern of units keeps. Block r of a
  /// group uses, of that, EVERY_NTH: the tiles r, r + period, ...; KEPT: the
  /// tiles t for which the output's pattern of tiles keeps r + t.
  enum Tiles { NONE, EVERY_NTH, KEPT };
  Tiles tiles;
  bool output;         // else input
  bool compact;        // storage, in x or y, holds what the pattern of units
                       // keeps, else all units
  int units, width, tile_size;  // width: see KeptUnits
  int blocks_a_group;
  int size;            // of a block's list
  int* weight;         // (blocks x size): units, i.e. rows or columns of W
  int* stored;         // (blocks x size): their indices in storage
  int* compact_index;  // (blocks x units): their indices in the list, -1: not
                       // in it; or NULL
};

/// @brief The units that block r of the i-th group uses. `output` and `input`
///        are the patterns of the two sides. Does the part of `thread` of
///        num_threads; all must be done before *units is used.
CAFFE_HOST_DEVICE inline void GetUnits(const BlockSide& side,
    const KeptGroups& output, const KeptGroups& input, int i, int r,
    KeptUnits* units, int thread, int num_threads) {
  const bool tiled = side.tiles != BlockSide::NONE;
  if (!side.output) {
    input.Get(i, &units->rows, thread, num_threads);
  } else if (!tiled) {
    output.Get(i, &units->rows, thread, num_threads);
  }
  if (side.tiles == BlockSide::KEPT) {
    output.Get(i, &units->tiles, thread, num_threads);
  }
  if (thread > 0) { return; }
  if (side.output && tiled) {
    units->rows.period = units->rows.kept = 1;
    units->rows.residues[0] = 0;
  }
  if (side.tiles != BlockSide::KEPT) {
    units->tiles.period = tiled ? output.period : 1;
    units->tiles.kept = 1;
    units->tiles.residues[0] = tiled ? r : 0;
  }
  units->tile_size = tiled ? side.tile_size : 1;
  units->line = side.tiles == BlockSide::KEPT ? r : 0;
  units->units = side.units;
  units->width = side.width;
}

/// @brief The largest number of units that a block uses, without side.size.
inline int LongestList(const BlockSide& side, const vector<KeptCells>& output,
    const vector<KeptCells>& input) {
  int longest = 0;
  for (size_t g = 0; g < output.size(); ++g) {
    const KeptGroups out = GroupsFrom(output, g, 1);
    const KeptGroups in = GroupsFrom(input, g, 1);
    for (int r = 0; r < side.blocks_a_group; ++r) {
      KeptUnits units;
      GetUnits(side, out, in, 0, r, &units, 0, 1);
      longest = std::max(longest, units.size());
    }
  }
  return longest;
}

/// @brief Writes what a block's lists say of unit i, and the padding at i; to
///        be called for all i below both side.units and side.size.
CAFFE_HOST_DEVICE inline void ListBlockUnit(const BlockSide& side,
    const KeptUnits& kept, int block, int i) {
  const size_t at = static_cast<size_t>(block) * side.size;
  const UnitLists lists = { side.weight + at, side.stored + at };
  if (i < side.size && i >= kept.size()) {
    lists.weight[i] = lists.stored[i] = -1;
  }
  if (i >= side.units) { return; }
  const int j = ListUnit(kept, i, side.compact, lists);
  if (side.compact_index) {
    side.compact_index[static_cast<size_t>(block) * side.units + i] = j;
  }
}

/// @brief Positions along one side of every block's part of a matrix.
struct BlockList {
  const int* index;    // (blocks x size), -1: none; NULL: a group's samples
  int size;
  GroupRows samples;
  int blocks_a_group;

  CAFFE_HOST_DEVICE int operator()(int block, int i) const {
    return index ? index[static_cast<size_t>(block) * size + i]
        : samples(block / blocks_a_group, i);
  }
};

/// @brief Where the element (i, j) of a block's part is, parts being
///        (blocks x rows x columns).
CAFFE_HOST_DEVICE inline size_t PartOffset(const BlockList& rows,
    const BlockList& columns, int block, int i, int j) {
  return (static_cast<size_t>(block) * rows.size + i) * columns.size + j;
}

/// @brief A thread's elements (i, j) of a block's part: rows i = first,
///        first + step, ..., and from column j on as many as it takes at once.
struct ThreadRows {
  int block, j, first, step;
};

/// @brief part[block][i][j] = whole[rows(i)][columns(j)], or zero where there
///        is no such row or column, for kWidth neighbours at once: kWidth > 1
///        where columns are aligned runs.
template <typename Dtype, int kWidth>
CAFFE_HOST_DEVICE inline void GatherBlock(const PartView<const Dtype>& whole,
    const BlockList& rows, const BlockList& columns, const ThreadRows& own,
    Dtype* part) {
  const int column = columns(own.block, own.j);
  for (int i = own.first; i < rows.size; i += own.step) {
    const int row = rows(own.block, i);
    AlignedVector<Dtype, kWidth> values = {};
    if (row >= 0 && column >= 0) {
      values = *VectorAt<Dtype, kWidth>(whole.data,
          static_cast<size_t>(row) * whole.stride + column);
    }
    *VectorAt<Dtype, kWidth>(part,
        PartOffset(rows, columns, own.block, i, own.j)) = values;
  }
}

/// @brief ReLU as Caffe's kernel has it: NaN stays.
template <typename Dtype>
CAFFE_HOST_DEVICE inline Dtype Rectified(Dtype value) {
  return value > 0 ? value : value * Dtype(0);
}

/// @brief What is done to the columns of a product: scale bias is added, bias
///        being listed by block like the columns, or NULL, and then, if
///        `rectify`, ReLU.
template <typename Dtype>
struct BlockFinish {
  const Dtype* bias;
  Dtype scale;
  BlockList units;
  bool rectify;
};

/// @brief whole[rows(i)][columns(j)] = part[block][i][j], finished, or += it,
///        for the elements and kWidth of GatherBlock.
template <typename Dtype, int kWidth>
CAFFE_HOST_DEVICE inline void ScatterBlock(const Dtype* part,
    const BlockList& rows, const BlockList& columns,
    const BlockFinish<Dtype>& finish, bool accumulate, const ThreadRows& own,
    const PartView<Dtype>& whole) {
  const int column = columns(own.block, own.j);
  if (column < 0) { return; }
  AlignedVector<Dtype, kWidth> add = {};
  if (finish.bias) {
    for (int k = 0; k < kWidth; ++k) {
      add.value[k] =
          finish.scale * finish.bias[finish.units(own.block, own.j + k)];
    }
  }
  for (int i = own.first; i < rows.size; i += own.step) {
    AlignedVector<Dtype, kWidth> values = *VectorAt<Dtype, kWidth>(part,
        PartOffset(rows, columns, own.block, i, own.j));
    AlignedVector<Dtype, kWidth>* to = VectorAt<Dtype, kWidth>(whole.data,
        static_cast<size_t>(rows(own.block, i)) * whole.stride + column);
    for (int k = 0; k < kWidth; ++k) {
      values.value[k] += add.value[k];
      if (finish.rectify) { values.value[k] = Rectified(values.value[k]); }
      if (accumulate) { values.value[k] += to->value[k]; }
    }
    *to = values;
  }
}

/// @brief Which block of a group computes an output's row of dW.
struct OutputBlocks {
  BlockSide output, input;
  int num_groups;
  int period;  // of tiles; 1 without

  CAFFE_HOST_DEVICE int operator()(int group, int unit) const {
    return group * output.blocks_a_group
        + (period > 1 ? unit / output.tile_size % period : 0);
  }
  /// @brief The output's index in that block's list, or -1.
  CAFFE_HOST_DEVICE int compact_index(int block, int unit) const {
    return output.compact_index[static_cast<size_t>(block) * output.units
        + unit];
  }
};

/// @brief dweight[o][i] += the sum over groups of the parts of a gradient,
///        (blocks x outputs x inputs), for kWidth neighbours from i on, in the
///        groups' order; kWidth > 1 where inputs are aligned runs. overwrites:
///        = the sum, where there is one; and, without tiles, in all of the row
///        of an output that some group keeps.
template <typename Dtype, int kWidth>
CAFFE_HOST_DEVICE inline void AddParts(const Dtype* part,
    const OutputBlocks& blocks, int o, int i, bool overwrites, Dtype* dweight) {
  const BlockSide& input = blocks.input;
  AlignedVector<Dtype, kWidth> sum = {};
  bool writes = false;
  for (int g = 0; g < blocks.num_groups; ++g) {
    const int block = blocks(g, o);
    const int row = blocks.compact_index(block, o);
    if (row < 0) { continue; }
    const int column =
        input.compact_index[static_cast<size_t>(block) * input.units + i];
    writes |= column >= 0
        || (overwrites && input.tiles == BlockSide::NONE);
    if (column < 0) { continue; }
    Add<Dtype, kWidth>(*VectorAt<Dtype, kWidth>(part,
        (static_cast<size_t>(block) * blocks.output.size + row) * input.size
        + column), &sum);
  }
  if (!writes) { return; }
  AlignedVector<Dtype, kWidth>* to = VectorAt<Dtype, kWidth>(dweight,
      static_cast<size_t>(o) * input.units + i);
  if (!overwrites) { Add<Dtype, kWidth>(*to, &sum); }
  *to = sum;
}

/// @brief An operand of a batched product: for each block (rows x columns), its
///        rows `stride` apart, `distance` from block to block.
template <typename Dtype>
struct BlockParts {
  Dtype* data;
  int stride;
  long long distance;  // NOLINT(runtime/int): cuBLAS's type
};

/// @brief The sum of an output's column over rows first, first + step, ... of
///        dy's parts of all groups that keep it, in the groups' order.
template <typename Dtype>
CAFFE_HOST_DEVICE inline Dtype SumOutput(const BlockParts<const Dtype>& dy,
    const OutputBlocks& blocks, int unit, int num_rows, int first, int step) {
  Dtype sum = 0;
  for (int g = 0; g < blocks.num_groups; ++g) {
    const int block = blocks(g, unit);
    const int column = blocks.compact_index(block, unit);
    if (column < 0) { continue; }
    const Dtype* part = dy.data + block * dy.distance + column;
    for (int i = first; i < num_rows; i += step) {
      sum += part[static_cast<size_t>(i) * dy.stride];
    }
  }
  return sum;
}

}  // namespace caffe

#endif  // CAFFE_APPROX_DROPOUT_PRODUCT_BATCHED_BLOCKS_HPP_
