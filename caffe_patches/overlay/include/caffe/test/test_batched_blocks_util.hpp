#ifndef CAFFE_TEST_BATCHED_BLOCKS_UTIL_HPP_
#define CAFFE_TEST_BATCHED_BLOCKS_UTIL_HPP_

#include <algorithm>
#include <vector>

#include "caffe/approx_dropout/product/batched_blocks.hpp"
#include "caffe/test/test_approx_dropout_util.hpp"

namespace caffe {

/// @brief A product to be cut into blocks.
struct BlockCase {
  bool tiled;
  int num_output, num_input, tile_size, num_groups;
  TestPattern output, input;
  bool compact_output, compact_input;
  int input_width;
};

inline vector<BlockCase> BlockCases() {
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
  return vector<BlockCase>(kCases, kCases + sizeof(kCases) / sizeof(BlockCase));
}

/// @brief The lists of one side of a case, made as the kernel makes them.
class Lists {
 public:
  Lists(const BlockCase& c, bool output)
      : output_(CellsOfGroups(c.output, c.num_groups)),
        input_(CellsOfGroups(c.input, c.num_groups)) {
    side = BlockSide();
    side.tiled = c.tiled;
    side.output = output;
    side.compact = output ? c.compact_output : c.compact_input;
    side.units = output ? c.num_output : c.num_input;
    side.width = output ? 1 : c.input_width;
    side.tile_size = c.tile_size;
    side.blocks_a_group =
        c.tiled ? std::min(c.output.period,
                      (c.num_output + c.tile_size - 1) / c.tile_size)
                : 1;
    side.size = (LongestList(side, output_, input_) + 3) / 4 * 4;
    num_blocks = c.num_groups * side.blocks_a_group;
    weight_.assign(num_blocks * side.size, -9);
    stored_ = weight_;
    place_.assign(num_blocks * side.units, -9);
    stored_place_ = place_;
    side.weight = weight_.data();
    side.stored = stored_.data();
    side.compact_index = place_.data();
    if (side.tiled && !output) {
      side.stored_index = stored_place_.data();
    }
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
    const BlockList list = {
        index, side.size, side.blocks_a_group, {1, 1, false}, 0, 0};
    return list;
  }

  BlockSide side;
  int num_blocks;

 private:
  vector<KeptCells> output_, input_;
  vector<int> weight_, stored_, place_, stored_place_;
};

/// @brief Dense parts, one after the other.
template <typename Dtype>
MatrixBatch<Dtype> Parts(Dtype* data, int rows, int columns) {
  const MatrixBatch<Dtype> parts = {data, columns, rows * columns};
  return parts;
}

/// @brief `size` samples for each group, in `outer` time steps.
inline BlockList Samples(int outer, int size, int groups, int blocks_a_group) {
  const BlockList rows = {
      NULL, outer * size, blocks_a_group, {size, size * groups, true}, 0, 0};
  return rows;
}

}  // namespace caffe

#endif  // CAFFE_TEST_BATCHED_BLOCKS_UTIL_HPP_
