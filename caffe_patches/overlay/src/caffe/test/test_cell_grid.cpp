#include <climits>
#include <vector>

#include "caffe/approx_dropout/pattern/cell_grid.hpp"
#include "caffe/common.hpp"
#include "caffe/test/test_caffe_main.hpp"
#include "gtest/gtest.h"

namespace caffe {

// Every element is in one cell, the one that its row and column say.
TEST(CellGridTest, TestRanges) {
  const CellGrid kGrids[] = {{7, 10, 1, 10}, {12, 8, 4, 2}, {13, 11, 4, 3},
      {3, 5, 8, 8}};
  for (int g = 0; g < 4; ++g) {
    const CellGrid& grid = kGrids[g];
    vector<int> cell_of(grid.rows * grid.columns, -1);
    for (int cell = 0; cell < grid.count(); ++cell) {
      const CellRange range = grid.range(cell);
      for (int r = 0; r < range.num_rows; ++r) {
        for (int c = 0; c < range.num_columns; ++c) {
          const int at = grid.offset(range.first_row + r)
              + range.first_column + c;
          EXPECT_EQ(-1, cell_of[at]);
          cell_of[at] = cell;
        }
      }
    }
    for (int at = 0; at < grid.rows * grid.columns; ++at) {
      const int r = at / grid.columns / grid.cell_rows;
      const int c = at % grid.columns / grid.cell_columns;
      EXPECT_EQ(r * grid.across() + c, cell_of[at]) << g << ": " << at;
    }
  }
}

TEST(CellGridTest, TestNumCells) {
  EXPECT_EQ(3, NumCells(12, 4));
  EXPECT_EQ(4, NumCells(13, 4));
  EXPECT_EQ(1, NumCells(3, 4));
  EXPECT_EQ(1 << 30, NumCells(INT_MAX, 2));
}

}  // namespace caffe
