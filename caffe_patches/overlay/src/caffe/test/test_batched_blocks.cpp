#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "caffe/approx_dropout/pattern/index_list.hpp"
#include "caffe/test/test_batched_blocks_util.hpp"
#include "caffe/test/test_caffe_main.hpp"
#include "gtest/gtest.h"

namespace caffe {

// Against ListUnits, which lists on the host, and the definition of tiles.
TEST(BatchedBlocksTest, TestLists) {
  const vector<BlockCase> cases = BlockCases();
  for (int c = 0; c < cases.size(); ++c) {
    for (int which = 0; which < 2; ++which) {
      SCOPED_TRACE(testing::Message() << "case " << c << " lists " << which);
      const Lists lists(cases[c], which);
      const BlockSide& side = lists.side;
      for (int b = 0; b < lists.num_blocks; ++b) {
        IndexList weight, stored;
        ListUnits(lists.UnitsOfBlock(b, 1), side.compact, &weight, &stored);
        vector<int> places(side.units, -1);
        for (int j = 0; j < side.size; ++j) {
          const bool there = j < weight.size();
          EXPECT_EQ(there ? weight.index[j] : -1,
              side.weight[b * side.size + j]);
          EXPECT_EQ(there ? stored.index[j] : -1,
              side.stored[b * side.size + j]);
          if (!there) {
            continue;
          }
          places[weight.index[j]] = j;
          if (side.stored_index) {
            EXPECT_EQ(j, side.stored_index[b * side.units + stored.index[j]]);
          }
        }
        EXPECT_TRUE(std::equal(places.begin(), places.end(),
            side.compact_index + b * side.units));
      }
    }
  }
}

// Every kept synapse of a group in exactly one block.
TEST(BatchedBlocksTest, TestBlocksShareOutTheWeights) {
  const vector<BlockCase> cases = BlockCases();
  for (int which = 0; which < cases.size(); ++which) {
    const BlockCase& c = cases[which];
    SCOPED_TRACE(testing::Message() << "case " << which);
    const Lists out(c, true), in(c, false);
    ASSERT_EQ(out.num_blocks, in.num_blocks);
    for (int g = 0; g < c.num_groups; ++g) {
      for (int o = 0; o < c.num_output; ++o) {
        for (int i = 0; i < c.num_input; ++i) {
          const int cell = c.tiled ? o / c.tile_size + i / c.tile_size : o;
          const bool kept = c.output.keeps(cell, g, c.num_groups) &&
                            c.input.keeps(i / c.input_width, g, c.num_groups);
          int count = 0;
          for (int r = 0; r < out.side.blocks_a_group; ++r) {
            const int b = g * out.side.blocks_a_group + r;
            count += out.side.compact_index[b * c.num_output + o] >= 0
                && in.side.compact_index[b * c.num_input + i] >= 0;
          }
          ASSERT_EQ(kept, count) << o << " " << i << " of group " << g;
        }
      }
    }
  }
}

static AlignedVector<float, 1> AddedTo(const ThreadRows& own,
    const BlockList& columns, const BlockFinish<float>& finish) {
  AlignedVector<float, 1> add = {};
  if (columns(own.block, own.j) >= 0) {
    add.value[0] = finish.Added(own.block, own.j);
  }
  return add;
}

// Gathered, every listed element is there and the rest is zero; scattered, it
// goes back to where it came from. Rows of a thread are fewer or more than it
// takes at once.
TEST(BatchedBlocksTest, TestGatherAndScatter) {
  const vector<BlockCase> cases = BlockCases();
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (int c = 0; c < cases.size(); ++c) {
    SCOPED_TRACE(testing::Message() << "case " << c);
    const int kOuter = c % 2 ? 2 : 9;
    const int groups = cases[c].num_groups;
    const Lists out(cases[c], true);
    const BlockList rows = Samples(kOuter, 2, groups, out.side.blocks_a_group);
    const BlockList columns = out.List(out.side.stored);
    const int units = out.side.units;
    const int num_rows = kOuter * 2 * groups;
    vector<float> whole(num_rows * units), back(whole.size(), 2);
    for (int k = 0; k < whole.size(); ++k) { whole[k] = 1 + k; }
    vector<float> part(out.num_blocks * rows.size * columns.size, nan);
    const MatrixBatch<float> parts =
        Parts(part.data(), rows.size, columns.size);
    vector<float> bias(units, 0.5);
    const BlockFinish<float> finish = {
        bias.data(), 3, out.List(out.side.weight), false};
    for (int k = 0; k < out.num_blocks * columns.size * 3; ++k) {
      const ThreadRows own = {
          k / 3 / columns.size, k / 3 % columns.size, k % 3, 3};
      GatherBlock<float, 1>(
          View<const float>(whole.data(), units), rows, columns, own, parts);
      ScatterBlock<float, 1>(
          Parts<const float>(part.data(), rows.size, columns.size), rows,
          columns, AddedTo(own, columns, finish), false, true, own,
          View(back.data(), units));
    }
    double sum = 0, expected = 0;
    for (int k = 0; k < part.size(); ++k) { sum += part[k]; }
    for (int k = 0; k < whole.size(); ++k) {
      const int row = k / units;
      const int group = (row % (2 * groups) / 2 + row / (2 * groups)) % groups;
      int listed = 0;
      for (int r = 0; r < out.side.blocks_a_group; ++r) {
        for (int j = 0; j < columns.size; ++j) {
          listed +=
              columns(group * out.side.blocks_a_group + r, j) == k % units;
        }
      }
      EXPECT_LE(listed, 1);
      expected += listed ? whole[k] : 0;
      EXPECT_EQ(listed ? whole[k] + 3.5 : 2, back[k]) << k;
    }
    EXPECT_EQ(expected, sum);
  }
}

// What blocks gather of x, summed, is x as often as blocks share it; of what no
// block uses, zero.
template <int kWidth>
static void CheckSums(const BlockCase& c, int outer) {
  const Lists in(c, false);
  const int blocks_a_group = in.side.blocks_a_group;
  const BlockList rows = Samples(outer, 2, c.num_groups, blocks_a_group);
  const BlockList columns = in.List(in.side.stored);
  const int width = c.input_width;
  const int stored =
      in.side.compact
          ? c.input.kept_units(c.num_input / width, 0, 1).size() * width
          : c.num_input;
  const int num_rows = outer * 2 * c.num_groups;
  vector<float> whole(num_rows * stored);
  vector<float> sums(whole.size(), std::numeric_limits<float>::quiet_NaN());
  for (int k = 0; k < whole.size(); ++k) {
    whole[k] = 1 + k;
  }
  vector<float> part(in.num_blocks * rows.size * columns.size);
  for (int k = 0; k < in.num_blocks * columns.size; ++k) {
    const ThreadRows all = {k / columns.size, k % columns.size, 0, 1};
    GatherBlock<float, 1>(View<const float>(whole.data(), stored), rows,
        columns, all, Parts(part.data(), rows.size, columns.size));
  }
  for (int g = 0; g < c.num_groups; ++g) {
    for (int j = 0; j < stored; j += kWidth) {
      for (int first = 0; first < 2; ++first) {
        const ThreadRows own = {g, j, first, 2};
        SumBlocks<float, kWidth>(
            Parts<const float>(part.data(), rows.size, columns.size), in.side,
            rows, own, View(sums.data(), stored));
      }
    }
  }
  for (int k = 0; k < whole.size(); ++k) {
    const int row = k / stored;
    const int group =
        (row / 2 % c.num_groups + row / (2 * c.num_groups)) % c.num_groups;
    int times = 0;
    for (int r = 0; r < blocks_a_group; ++r) {
      for (int j = 0; j < columns.size; ++j) {
        times += columns(group * blocks_a_group + r, j) == k % stored;
      }
    }
    EXPECT_EQ(times * whole[k], sums[k]) << k;
  }
}

TEST(BatchedBlocksTest, TestSumsOfTiles) {
  const vector<BlockCase> cases = BlockCases();
  for (int c = 0; c < cases.size(); ++c) {
    if (!cases[c].tiled) {
      continue;
    }
    SCOPED_TRACE(testing::Message() << "case " << c);
    CheckSums<1>(cases[c], 1);
    CheckSums<1>(cases[c], 7);
  }
  CheckSums<4>(cases[3], 7);  // columns in aligned runs of four
}

// ReLU comes after the bias and leaves NaN.
TEST(BatchedBlocksTest, TestScatterRectifies) {
  const vector<BlockCase> cases = BlockCases();
  for (int c = 0; c < cases.size(); ++c) {
    SCOPED_TRACE(testing::Message() << "case " << c);
    const Lists out(cases[c], true);
    const BlockList rows =
        Samples(1, 2, cases[c].num_groups, out.side.blocks_a_group);
    const BlockList columns = out.List(out.side.stored);
    const int units = out.side.units;
    vector<float> part(out.num_blocks * rows.size * columns.size);
    for (int k = 0; k < part.size(); ++k) { part[k] = k % 5 - 2; }
    part[0] = std::numeric_limits<float>::quiet_NaN();
    vector<float> bias(units), whole(2 * cases[c].num_groups * units);
    for (int u = 0; u < units; ++u) { bias[u] = 0.25f * (u % 7 - 3); }
    const BlockFinish<float> finish = { bias.data(), 2,
        out.List(out.side.weight), true };
    for (int b = 0; b < out.num_blocks; ++b) {
      for (int j = 0; j < columns.size; ++j) {
        const ThreadRows own = { b, j, 0, 1 };
        ScatterBlock<float, 1>(
            Parts<const float>(part.data(), rows.size, columns.size), rows,
            columns, AddedTo(own, columns, finish), true, false, own,
            View(whole.data(), units));
        const int unit = out.side.weight[b * columns.size + j];
        for (int i = 0; unit >= 0 && i < rows.size; ++i) {
          const int k = (b * rows.size + i) * columns.size + j;
          const float value = whole[rows(b, i) * units + columns(b, j)];
          if (k == 0) {
            EXPECT_TRUE(std::isnan(value));
          } else {
            EXPECT_EQ(std::max(0.f, part[k] + 2 * bias[unit]), value) << k;
          }
        }
      }
    }
  }
}

// One block whose units are equally far apart has no lists.
TEST(BatchedBlocksTest, TestRegularSides) {
  EXPECT_EQ(1, StrideOf(AllCells()));
  EXPECT_EQ(5, StrideOf(EveryNth(5, 3)));
  KeptCells cells = EveryNth(2, 0);
  cells.kept = 2;
  cells.residues[1] = 1;
  EXPECT_EQ(1, StrideOf(cells));
  cells.period = 6;
  cells.residues[0] = 1;
  cells.residues[1] = 4;
  EXPECT_EQ(3, StrideOf(cells));
  cells.residues[1] = 3;
  EXPECT_EQ(0, StrideOf(cells));
  cells.period = 7;
  EXPECT_EQ(0, StrideOf(cells));
  BlockSide side = {};
  side.first = 2;
  side.stride = 3;
  const BlockList units = {NULL, 4, 1, GroupRows(), side.first, side.stride};
  for (int unit = 0; unit < 14; ++unit) {
    const int j = side.place(0, unit);
    EXPECT_EQ(unit % 3 == 2, j >= 0);
    if (j >= 0) {
      EXPECT_EQ(unit, units(0, j));
    }
  }
}

}  // namespace caffe
