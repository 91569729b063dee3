#include <limits>
#include <vector>

#include "caffe/test/test_batched_blocks_util.hpp"
#include "caffe/test/test_caffe_main.hpp"
#include "gtest/gtest.h"

namespace caffe {

template <typename Dtype>
class BatchedBlocksGradientTest : public ::testing::Test {
 protected:
  // parts[b][jo][ji] = 1 + b for listed units, NaN elsewhere.
  template <int kWidth>
  static void Check(const BlockCase& c, bool overwrites) {
    const Lists out(c, true), in(c, false);
    const ProductBlocks blocks = {
        out.side, in.side, c.num_groups, c.tiled ? c.output.period : 1};
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
          if (ji < 0) {
            continue;
          }
          part[(b * out.side.size + jo) * in.side.size + ji] = 1 + b;
          sums[o * c.num_input + i] += 1 + b;
          kept[o * c.num_input + i] = true;
        }
      }
    }
    vector<Dtype> dweight(sums.size(), 7);
    for (int first = 0; first < 3; ++first) {
      for (int i = 0; i < c.num_input; i += kWidth) {
        const ThreadRows own = {0, i, first, 3};
        AddParts<Dtype, kWidth>(
            Parts<const Dtype>(part.data(), out.side.size, in.side.size),
            blocks, own, overwrites, dweight.data());
      }
    }
    for (int k = 0; k < sums.size(); ++k) {
      const bool writes =
          kept[k] || (overwrites && !c.tiled && row_kept[k / c.num_input]);
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
    const Lists out(cases[c], true), in(cases[c], false);
    const ProductBlocks blocks = {out.side, in.side, cases[c].num_groups,
        cases[c].tiled ? cases[c].output.period : 1};
    const int kRows = 5;
    const int size = out.side.size;
    vector<TypeParam> dy(out.num_blocks * kRows * size);
    vector<double> expected(out.side.units);
    for (int k = 0; k < dy.size(); ++k) {
      const int b = k / size / kRows;
      const int unit = out.side.weight[b * size + k % size];
      dy[k] = 100 * b + 10 * (k / size % kRows);
      if (unit >= 0) {
        expected[unit] += dy[k];
      }
    }
    const MatrixBatch<const TypeParam> parts = {dy.data(), size, kRows * size};
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
