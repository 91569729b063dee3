#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "gtest/gtest.h"

#include "caffe/approx_dropout/pattern/index_list.hpp"
#include "caffe/approx_dropout/product/batched_blocks.hpp"

#include "caffe/test/test_approx_dropout_util.hpp"
#include "caffe/test/test_caffe_main.hpp"

namespace caffe {

namespace {

struct BlockCase {
  bool tiled;
  int num_output, num_input, tile_size, num_groups;
  TestPattern output, input;
  bool compact_output, compact_input;
  int input_width;
};

vector<BlockCase> BlockCases() {
  const TestPattern half2 = MakePattern(4, 2, 2);
  const TestPattern most3 = MakePattern(6, 4, 3);
  const BlockCase kCases[] = {
      {false, 18, 12, 1, 2, half2, kNone, false, false, 1},
      {false, 20, 12, 1, 6, half2, most3, true, true, 1},
      {false, 19, 12, 1, 3, kNone, most3, false, false, 1},
      {true, 64, 48, 8, 1, MakePattern(4, 2), kNone, false, false, 1},
      {true, 43, 45, 7, 2, half2, kNone, false, false, 1},
      {true, 43, 42, 8, 6, half2, most3, false, true, 1},
      {true, 60, 36, 8, 1, MakePattern(11, 1), kNone, false, false, 1},
      {true, 13, 11, 1, 1, MakePattern(5, 3), kNone, false, false, 1},
      {false, 20, 24, 1, 3, half2, most3, true, true, 2},
      {true, 43, 63, 8, 2, half2, MakePattern(5, 2), false, true, 3},
  };
  return vector<BlockCase>(kCases,
      kCases + sizeof(kCases) / sizeof(BlockCase));
}

// The lists of one side of a case, made as the kernel makes them.
class Lists {
 public:
  Lists(const BlockCase& c, bool output, bool gradient)
      : output_(CellsOfGroups(c.output, c.num_groups)),
        input_(CellsOfGroups(c.input, c.num_groups)) {
    side = BlockSide();
    side.tiles = !c.tiled ? BlockSide::NONE
        : output == gradient ? BlockSide::KEPT : BlockSide::EVERY_NTH;
    side.output = output;
    side.compact = output ? c.compact_output : c.compact_input;
    side.units = output ? c.num_output : c.num_input;
    side.width = output ? 1 : c.input_width;
    side.tile_size = c.tile_size;
    const int cut = gradient ? c.num_input : c.num_output;
    side.blocks_a_group = c.tiled ? std::min(c.output.period,
        (cut + c.tile_size - 1) / c.tile_size) : 1;
    side.size = (LongestList(side, output_, input_) + 3) / 4 * 4;
    num_blocks = c.num_groups * side.blocks_a_group;
    weight_.assign(num_blocks * side.size, -9);
    stored_ = weight_;
    place_.assign(num_blocks * side.units, -9);
    side.weight = weight_.data();
    side.stored = stored_.data();
    side.compact_index = place_.data();
    for (int b = 0; b < num_blocks; ++b) {
      const KeptUnits units = UnitsOfBlock(b, 3);
      for (int i = 0; i < std::max(side.units, side.size) + 5; ++i) {
        ListBlockUnit(side, units, b, i);
      }
    }
  }

  // By num_threads threads, from two kernels' worth of groups.
  KeptUnits UnitsOfBlock(int block, int num_threads) const {
    const int g = block / side.blocks_a_group;
    const KeptGroups out = GroupsFrom(output_, g / 2 * 2, 2);
    const KeptGroups in = GroupsFrom(input_, g / 2 * 2, 2);
    KeptUnits units;
    for (int t = num_threads - 1; t >= 0; --t) {
      GetUnits(side, out, in, g - out.first, block % side.blocks_a_group,
          &units, t, num_threads);
    }
    return units;
  }

  BlockList List(const int* index) const {
    const BlockList list = { index, side.size, {1, 1, false},
        side.blocks_a_group };
    return list;
  }

  BlockSide side;
  int num_blocks;

 private:
  vector<KeptCells> output_, input_;
  vector<int> weight_, stored_, place_;
};

}  // namespace

// Against ListUnits, which lists on the host, and the definition of tiles.
TEST(BatchedBlocksTest, TestLists) {
  const vector<BlockCase> cases = BlockCases();
  for (int c = 0; c < cases.size(); ++c) {
    for (int which = 0; which < 4; ++which) {
      SCOPED_TRACE(testing::Message() << "case " << c << " lists " << which);
      const Lists lists(cases[c], which % 2, which / 2);
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
          if (there) { places[weight.index[j]] = j; }
        }
        EXPECT_TRUE(std::equal(places.begin(), places.end(),
            side.compact_index + b * side.units));
      }
    }
  }
}

// Every kept synapse of a group in exactly one block, of y's and of dx's.
TEST(BatchedBlocksTest, TestBlocksShareOutTheWeights) {
  const vector<BlockCase> cases = BlockCases();
  for (int which = 0; which < 2 * cases.size(); ++which) {
    const BlockCase& c = cases[which / 2];
    SCOPED_TRACE(testing::Message() << "case " << which / 2 << " gradient "
        << which % 2);
    const Lists out(c, true, which % 2), in(c, false, which % 2);
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

// Gathered, every element is there once and the rest is zero; scattered, it
// goes back to where it came from.
TEST(BatchedBlocksTest, TestGatherAndScatter) {
  const vector<BlockCase> cases = BlockCases();
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (int c = 0; c < cases.size(); ++c) {
    SCOPED_TRACE(testing::Message() << "case " << c);
    const int kOuter = 2;
    const int size = 2;
    const int samples = size * cases[c].num_groups;
    const Lists in(cases[c], false, true);
    const BlockList rows = { NULL, kOuter * size, { size, samples, true },
        in.side.blocks_a_group };
    const BlockList columns = in.List(in.side.stored);
    const int units = in.side.units;
    vector<float> whole(kOuter * samples * units), back(whole.size(), 2);
    for (int k = 0; k < whole.size(); ++k) { whole[k] = 1 + k; }
    vector<float> part(in.num_blocks * rows.size * columns.size, nan);
    vector<float> bias(units, 0.5);
    const BlockFinish<float> add = { bias.data(), 3,
        in.List(in.side.weight), false };
    for (int b = 0; b < in.num_blocks; ++b) {
      for (int j = 0; j < columns.size; ++j) {
        for (int first = 0; first < 3; ++first) {
          const ThreadRows own = { b, j, first, 3 };
          GatherBlock<float, 1>(View<const float>(whole.data(), units), rows,
              columns, own, part.data());
          ScatterBlock<float, 1>(part.data(), rows, columns, add, true, own,
              View(back.data(), units));
        }
      }
    }
    double sum = 0, expected = 0;
    for (int k = 0; k < part.size(); ++k) { sum += part[k]; }
    for (int k = 0; k < whole.size(); ++k) {
      const int column = k % units;
      const int row = k / units;
      const int group = (row % samples / size + row / samples)
          % cases[c].num_groups;
      bool listed = false;
      for (int r = 0; r < in.side.blocks_a_group; ++r) {
        for (int j = 0; j < columns.size; ++j) {
          listed |= columns(group * in.side.blocks_a_group + r, j) == column;
        }
      }
      expected += listed ? whole[k] : 0;
      EXPECT_EQ(listed ? whole[k] + 3.5 : 2, back[k]) << k;
    }
    EXPECT_EQ(expected, sum);
  }
}

// ReLU comes after the bias and leaves NaN.
TEST(BatchedBlocksTest, TestScatterRectifies) {
  const vector<BlockCase> cases = BlockCases();
  for (int c = 0; c < cases.size(); ++c) {
    SCOPED_TRACE(testing::Message() << "case " << c);
    const Lists out(cases[c], true, false);
    const BlockList rows = { NULL, 2, { 2, 2 * cases[c].num_groups, true },
        out.side.blocks_a_group };
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
        ScatterBlock<float, 1>(part.data(), rows, columns, finish, false, own,
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

template <typename Dtype>
class BatchedBlocksGradientTest : public ::testing::Test {
 protected:
  // parts[b][jo][ji] = 1 + b for listed units, NaN elsewhere.
  template <int kWidth>
  static void Check(const BlockCase& c, bool overwrites) {
    const Lists out(c, true, false), in(c, false, false);
    const OutputBlocks blocks = { out.side, in.side, c.num_groups,
        c.tiled ? c.output.period : 1 };
    vector<Dtype> part(out.num_blocks * out.side.size * in.side.size,
        std::numeric_limits<Dtype>::quiet_NaN());
    vector<Dtype> sums(c.num_output * c.num_input, 0);
    vector<bool> row_kept(c.num_output), kept(sums.size());
    for (int b = 0; b < out.num_blocks; ++b) {
      for (int o = 0; o < c.num_output; ++o) {
        const int jo = out.side.compact_index[b * c.num_output + o];
        for (int i = 0; jo >= 0 && i < c.num_input; ++i) {
          row_kept[o] = true;
          const int ji = in.side.compact_index[b * c.num_input + i];
          if (ji < 0) { continue; }
          part[(b * out.side.size + jo) * in.side.size + ji] = 1 + b;
          sums[o * c.num_input + i] += 1 + b;
          kept[o * c.num_input + i] = true;
        }
      }
    }
    vector<Dtype> dweight(sums.size(), 7);
    for (int o = 0; o < c.num_output; ++o) {
      for (int i = 0; i < c.num_input; i += kWidth) {
        AddParts<Dtype, kWidth>(part.data(), blocks, o, i, overwrites,
            dweight.data());
      }
    }
    for (int k = 0; k < sums.size(); ++k) {
      const bool writes = kept[k] || (overwrites && !c.tiled
          && row_kept[k / c.num_input]);
      EXPECT_EQ(sums[k] + (writes && overwrites ? 0 : 7), dweight[k]) << k;
    }
  }
};

TYPED_TEST_CASE(BatchedBlocksGradientTest, TestDtypes);

TYPED_TEST(BatchedBlocksGradientTest, TestGroupsAddUp) {
  const vector<BlockCase> cases = BlockCases();
  for (int c = 0; c < cases.size(); ++c) {
    SCOPED_TRACE(testing::Message() << "case " << c);
    TestFixture::template Check<1>(cases[c], false);
    TestFixture::template Check<1>(cases[c], true);
  }
  // Columns in aligned runs of four.
  TestFixture::template Check<4>(cases[0], true);
  TestFixture::template Check<4>(cases[3], false);
  TestFixture::template Check<4>(cases[3], true);
}

// dy's parts: in column j of row i of block b, 100 b + 10 i, if listed.
TYPED_TEST(BatchedBlocksGradientTest, TestOutputSums) {
  const vector<BlockCase> cases = BlockCases();
  for (int c = 0; c < cases.size(); ++c) {
    SCOPED_TRACE(testing::Message() << "case " << c);
    const Lists out(cases[c], true, false), in(cases[c], false, false);
    const OutputBlocks blocks = { out.side, in.side, cases[c].num_groups,
        cases[c].tiled ? cases[c].output.period : 1 };
    const int kRows = 5;
    const int size = out.side.size;
    vector<TypeParam> dy(out.num_blocks * kRows * size);
    vector<double> expected(out.side.units);
    for (int k = 0; k < dy.size(); ++k) {
      const int b = k / size / kRows;
      const int unit = out.side.weight[b * size + k % size];
      dy[k] = 100 * b + 10 * (k / size % kRows);
      if (unit >= 0) { expected[unit] += dy[k]; }
    }
    const BlockParts<const TypeParam> parts = { dy.data(), size,
        kRows * size };
    for (int o = 0; o < out.side.units; ++o) {
      double sum = 0;
      for (int first = 0; first < 3; ++first) {
        sum += SumOutput(parts, blocks, o, kRows, first, 3);
      }
      EXPECT_EQ(expected[o], sum) << o;
    }
  }
}

}  // namespace caffe
