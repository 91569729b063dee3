#ifndef CAFFE_APPROX_DROPOUT_PRODUCT_BATCHED_BLOCKS_HPP_
#define CAFFE_APPROX_DROPOUT_PRODUCT_BATCHED_BLOCKS_HPP_

#include <algorithm>
#include <vector>

#include "caffe/approx_dropout/math/device_gemm.hpp"
#include "caffe/approx_dropout/math/wide_access.hpp"
#include "caffe/approx_dropout/pattern/index_list.hpp"
#include "caffe/approx_dropout/pattern/sample_groups.hpp"

namespace caffe {

// What the kernels of DeviceBlocks and BatchedProduct do, for host and device
// alike: each function does one thread's part of the work. A product is cut
// into blocks, those of one group of samples following each other. Their index
// lists are padded (ELL): all have the size of the longest or more, and -1
// fills up the shorter ones.

/// Rows that a thread takes at once, so that it waits for them together: a
/// fifth of an H200's bandwidth is all that one at a time gets.
const int kRowsAtOnce = 4;

/// @brief One side of W, outputs or inputs, as the blocks of a product use it.
///
/// Without tiles block g uses what group g's pattern of units keeps. Block r of
/// a group uses, of that, of the outputs the tiles r, r + period, ..., and of
/// the inputs the tiles t for which the output's pattern of tiles keeps r + t.
struct BlockSide {
  bool tiled;
  bool output;         // else input
  bool compact;        // storage, in x or y, holds what the pattern of units
                       // keeps, else all units
  int units, width, tile_size;  // width: see KeptUnits
  int blocks_a_group;
  int size;            // of a block's list
  int first, stride;   // stride > 0: the units of every block are first,
                       // first + stride, ..., and there are no lists
  int* weight;         // (blocks x size): units, i.e. rows or columns of W
  int* stored;         // (blocks x size): their indices in storage
  int* compact_index;  // (blocks x units): their indices in the list, -1: not
                       // in it
  int* stored_index;   // the same, by the indices in storage: of that many of
                       // `units` the first are used. NULL without tiles

  /// @brief The index of a unit in a block's list, or -1.
  CAFFE_HOST_DEVICE int place(int block, int unit) const {
    if (stride == 1) {
      return unit - first;
    }
    if (stride > 1) {
      return unit % stride == first ? unit / stride : -1;
    }
    return compact_index[static_cast<size_t>(block) * units + unit];
  }
};

/// @brief The units that block r of the i-th group uses. `output` and `input`
///        are the patterns of the two sides. Does the part of `thread` of
///        num_threads; all must be done before *units is used.
CAFFE_HOST_DEVICE inline void GetUnits(const BlockSide& side,
    const KeptGroups& output, const KeptGroups& input, int i, int r,
    KeptUnits* units, int thread, int num_threads) {
  const bool tiles = side.tiled && !side.output;
  if (!side.output) {
    input.Get(i, &units->rows, thread, num_threads);
  } else if (!side.tiled) {
    output.Get(i, &units->rows, thread, num_threads);
  }
  if (tiles) {
    output.Get(i, &units->tiles, thread, num_threads);
  }
  if (thread > 0) { return; }
  if (side.output && side.tiled) {
    units->rows.period = units->rows.kept = 1;
    units->rows.residues[0] = 0;
  }
  if (!tiles) {
    units->tiles.period = side.tiled ? output.period : 1;
    units->tiles.kept = 1;
    units->tiles.residues[0] = side.tiled ? r : 0;
  }
  units->tile_size = side.tiled ? side.tile_size : 1;
  units->line = tiles ? r : 0;
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

/// @brief The distance of neighbours among cells, or 0 if it is not the same
///        everywhere.
inline int StrideOf(const KeptCells& cells) {
  const int stride = cells.period / cells.kept;
  if (stride * cells.kept != cells.period) {
    return 0;
  }
  for (int i = 1; i < cells.kept; ++i) {
    if (cells.residues[i] - cells.residues[i - 1] != stride) {
      return 0;
    }
  }
  return stride;
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
  const size_t first = static_cast<size_t>(block) * side.units;
  side.compact_index[first + i] = j;
  if (side.stored_index && kept.rows.has(i / kept.width)) {
    side.stored_index[first + kept.storage_index(i, side.compact)] = j;
  }
}

/// @brief Positions along one side of every block's part of a matrix.
struct BlockList {
  const int* index;  // (blocks x size), -1: none; or NULL
  int size;
  int blocks_a_group;
  GroupRows samples;  // without index: those of a block's group, or, if
  int first, stride;  // stride > 0: first, first + stride, ... of each

  CAFFE_HOST_DEVICE int operator()(int block, int i) const {
    if (index) {
      return index[static_cast<size_t>(block) * size + i];
    }
    return stride > 0 ? first + i * stride : samples(block / blocks_a_group, i);
  }
};

/// @brief A thread's elements (i, j) of a block's part: rows i = first,
///        first + step, ..., and from column j on as many as it takes at once.
struct ThreadRows {
  int block, j, first, step;
};

/// @brief Where the element (i, j) of a block's part is.
template <typename Dtype>
CAFFE_HOST_DEVICE inline size_t PartOffset(
    const MatrixBatch<Dtype>& parts, int block, int i, int j) {
  return block * parts.distance + static_cast<size_t>(i) * parts.stride + j;
}

/// @brief The rows of `rows` at i, i + step, ... that a thread takes at once:
///        -1 where there is none. All are asked for before any is used, and so
///        are the values: a thread waits once for all of them.
struct RowsAtOnce {
  int row[kRowsAtOnce];

  CAFFE_HOST_DEVICE RowsAtOnce(
      const BlockList& rows, int block, int i, int step) {
    for (int k = 0; k < kRowsAtOnce; ++k) {
      row[k] = i + k * step < rows.size ? rows(block, i + k * step) : -1;
    }
  }
};

/// @brief part[block][i][j] = whole[rows(i)][columns(j)], or zero where there
///        is no such row or column, for kWidth neighbours at once: kWidth > 1
///        where columns are aligned runs.
template <typename Dtype, int kWidth>
CAFFE_HOST_DEVICE inline void GatherBlock(const PartView<const Dtype>& whole,
    const BlockList& rows, const BlockList& columns, const ThreadRows& own,
    const MatrixBatch<Dtype>& parts) {
  const int column = columns(own.block, own.j);
  for (int i = own.first; i < rows.size; i += kRowsAtOnce * own.step) {
    const RowsAtOnce from(rows, own.block, i, own.step);
    AlignedVector<Dtype, kWidth> values[kRowsAtOnce] = {};
    for (int k = 0; k < kRowsAtOnce; ++k) {
      if (from.row[k] >= 0 && column >= 0) {
        values[k] = *VectorAt<Dtype, kWidth>(whole.data,
            static_cast<size_t>(from.row[k]) * whole.stride + column);
      }
    }
    for (int k = 0; k < kRowsAtOnce; ++k) {
      const int row = i + k * own.step;
      if (row < rows.size) {
        *VectorAt<Dtype, kWidth>(
            parts.data, PartOffset(parts, own.block, row, own.j)) = values[k];
      }
    }
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

  /// @brief What is added to a block's j-th column, which has a unit.
  CAFFE_HOST_DEVICE Dtype Added(int block, int j) const {
    return bias ? scale * bias[units(block, j)] : Dtype(0);
  }
};

/// @brief whole[rows(i)][columns(j)] = part[block][i][j] + add[j], rectified if
///        so wanted, or += it, for the elements and kWidth of GatherBlock. A
///        part may lie in whole, each element where it belongs.
template <typename Dtype, int kWidth>
CAFFE_HOST_DEVICE inline void ScatterBlock(
    const MatrixBatch<const Dtype>& parts, const BlockList& rows,
    const BlockList& columns, const AlignedVector<Dtype, kWidth>& add,
    bool rectify, bool accumulate, const ThreadRows& own,
    const PartView<Dtype>& whole) {
  const int column = columns(own.block, own.j);
  if (column < 0) {
    return;
  }
  for (int i = own.first; i < rows.size; i += kRowsAtOnce * own.step) {
    const RowsAtOnce to(rows, own.block, i, own.step);
    AlignedVector<Dtype, kWidth> values[kRowsAtOnce];
    for (int k = 0; k < kRowsAtOnce; ++k) {
      if (to.row[k] >= 0) {
        values[k] = *VectorAt<Dtype, kWidth>(
            parts.data, PartOffset(parts, own.block, i + k * own.step, own.j));
      }
    }
    for (int k = 0; k < kRowsAtOnce; ++k) {
      if (to.row[k] >= 0) {
        AlignedVector<Dtype, kWidth>* at = VectorAt<Dtype, kWidth>(
            whole.data, static_cast<size_t>(to.row[k]) * whole.stride + column);
        Add<Dtype, kWidth>(add, &values[k]);
        if (accumulate) {
          Add<Dtype, kWidth>(*at, &values[k]);
        }
        for (int c = 0; rectify && c < kWidth; ++c) {
          values[k].value[c] = Rectified(values[k].value[c]);
        }
        *at = values[k];
      }
    }
  }
}

/// @brief whole[rows(i)][j] = the sum of the parts of a group that hold the
///        stored input j, in their order, or zero, for kWidth neighbours from j
///        on; kWidth > 1 where tiles are aligned runs of stored inputs. own's
///        block is the group.
template <typename Dtype, int kWidth>
CAFFE_HOST_DEVICE inline void SumBlocks(const MatrixBatch<const Dtype>& parts,
    const BlockSide& input, const BlockList& rows, const ThreadRows& own,
    const PartView<Dtype>& whole) {
  const int first_block = own.block * input.blocks_a_group;
  for (int i = own.first; i < rows.size; i += kRowsAtOnce * own.step) {
    const RowsAtOnce to(rows, first_block, i, own.step);
    AlignedVector<Dtype, kWidth> sums[kRowsAtOnce] = {};
    for (int b = 0; b < input.blocks_a_group; ++b) {
      const int block = first_block + b;
      const int column =
          input.stored_index[static_cast<size_t>(block) * input.units + own.j];
      AlignedVector<Dtype, kWidth> values[kRowsAtOnce] = {};
      for (int k = 0; k < kRowsAtOnce; ++k) {
        if (column >= 0 && to.row[k] >= 0) {
          values[k] = *VectorAt<Dtype, kWidth>(
              parts.data, PartOffset(parts, block, i + k * own.step, column));
        }
      }
      for (int k = 0; k < kRowsAtOnce; ++k) {
        Add<Dtype, kWidth>(values[k], &sums[k]);
      }
    }
    for (int k = 0; k < kRowsAtOnce; ++k) {
      if (to.row[k] >= 0) {
        *VectorAt<Dtype, kWidth>(whole.data,
            static_cast<size_t>(to.row[k]) * whole.stride + own.j) = sums[k];
      }
    }
  }
}

/// @brief All blocks of a product.
struct ProductBlocks {
  BlockSide output, input;
  int num_groups;
  int period;  // of tiles; 1 without

  CAFFE_HOST_DEVICE int count() const {
    return num_groups * output.blocks_a_group;
  }
  /// @brief Which of a group's blocks computes an output's row of dW.
  CAFFE_HOST_DEVICE int of_output(int group, int unit) const {
    return group * output.blocks_a_group
        + (period > 1 ? unit / output.tile_size % period : 0);
  }
};

/// @brief dweight[o][i] += the sum over groups of the parts of a gradient, in
///        the groups' order, for the rows o of ThreadRows and kWidth neighbours
///        from column i = own.j on; kWidth > 1 where inputs are aligned runs.
///        overwrites: = the sum, where there is one; and, without tiles, in all
///        of the row of an output that some group keeps.
template <typename Dtype, int kWidth>
CAFFE_HOST_DEVICE inline void AddParts(const MatrixBatch<const Dtype>& parts,
    const ProductBlocks& blocks, const ThreadRows& own, bool overwrites,
    Dtype* dweight) {
  const BlockSide &input = blocks.input, &output = blocks.output;
  for (int o = own.first; o < output.units; o += kRowsAtOnce * own.step) {
    AlignedVector<Dtype, kWidth> sums[kRowsAtOnce] = {};
    bool writes[kRowsAtOnce] = {};
    for (int g = 0; g < blocks.num_groups; ++g) {
      int block[kRowsAtOnce], row[kRowsAtOnce], column[kRowsAtOnce];
      int last_block = -1, place = -1;  // without tiles one for all rows
      for (int k = 0; k < kRowsAtOnce; ++k) {
        const int unit = o + k * own.step;
        row[k] = column[k] = -1;
        if (unit < output.units) {
          block[k] = blocks.of_output(g, unit);
          row[k] = output.place(block[k], unit);
          if (block[k] != last_block) {
            place = input.place(block[k], own.j);
          }
          last_block = block[k];
          column[k] = place;
        }
      }
      AlignedVector<Dtype, kWidth> values[kRowsAtOnce] = {};
      for (int k = 0; k < kRowsAtOnce; ++k) {
        if (row[k] >= 0 && column[k] >= 0) {
          values[k] = *VectorAt<Dtype, kWidth>(
              parts.data, PartOffset(parts, block[k], row[k], column[k]));
        }
      }
      for (int k = 0; k < kRowsAtOnce; ++k) {
        Add<Dtype, kWidth>(values[k], &sums[k]);
        writes[k] |=
            row[k] >= 0 && (column[k] >= 0 || (overwrites && !input.tiled));
      }
    }
    for (int k = 0; k < kRowsAtOnce; ++k) {
      if (!writes[k]) {
        continue;
      }
      AlignedVector<Dtype, kWidth>* to = VectorAt<Dtype, kWidth>(
          dweight, static_cast<size_t>(o + k * own.step) * input.units + own.j);
      if (!overwrites) {
        Add<Dtype, kWidth>(*to, &sums[k]);
      }
      *to = sums[k];
    }
  }
}

/// @brief The sum of an output's column over rows first, first + step, ... of
///        dy's parts of all groups that keep it, in the groups' order.
template <typename Dtype>
CAFFE_HOST_DEVICE inline Dtype SumOutput(const MatrixBatch<const Dtype>& dy,
    const ProductBlocks& blocks, int unit, int num_rows, int first, int step) {
  Dtype sum = 0;
  for (int g = 0; g < blocks.num_groups; ++g) {
    const int block = blocks.of_output(g, unit);
    const int column = blocks.output.place(block, unit);
    if (column < 0) {
      continue;
    }
    const Dtype* values = dy.data + PartOffset(dy, block, 0, column);
    for (int i = first; i < num_rows; i += step) {
      sum += values[static_cast<size_t>(i) * dy.stride];
    }
  }
  return sum;
}

}  // namespace caffe

#endif  // CAFFE_APPROX_DROPOUT_PRODUCT_BATCHED_BLOCKS_HPP_
