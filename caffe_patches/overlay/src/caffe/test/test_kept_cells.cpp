#include <algorithm>
#include <vector>

#include "gtest/gtest.h"

#include "caffe/approx_dropout/pattern/index_list.hpp"
#include "caffe/approx_dropout/pattern/kept_cells.hpp"
#include "caffe/common.hpp"
#include "caffe/util/rng.hpp"

#include "caffe/test/test_caffe_main.hpp"

namespace caffe {

namespace {

KeptCells MakeCells(int period, const vector<int>& residues) {
  KeptCells cells = {};
  cells.period = period;
  cells.kept = residues.size();
  std::copy(residues.begin(), residues.end(), cells.residues);
  return cells;
}

// `kept` residues of the period, spread by a fixed rule.
KeptCells SomeCells(int period, int kept, int seed) {
  vector<int> residues;
  for (int i = 0; i < period; ++i) { residues.push_back((i * 7 + seed) % 101); }
  vector<int> order;
  for (int i = 0; i < period; ++i) { order.push_back(i); }
  std::stable_sort(order.begin(), order.end(),
      [&](int a, int b) { return residues[a] < residues[b]; });
  order.resize(kept);
  std::sort(order.begin(), order.end());
  return MakeCells(period, order);
}

bool IsResidue(const KeptCells& cells, int i) {
  return std::count(cells.residues, cells.residues + cells.kept,
      i % cells.period) > 0;
}

}  // namespace

class KeptCellsTest : public ::testing::Test {};

TEST_F(KeptCellsTest, TestKeptCellsAgainstBruteForce) {
  const int kPeriods[] = {1, 2, 3, 7, 16, 33, 256};
  for (int p = 0; p < 7; ++p) {
    const int period = kPeriods[p];
    for (int kept = 1; kept <= period; kept += 1 + period / 5) {
      const KeptCells cells = SomeCells(period, kept, 3 * p);
      // Fewer cells than the period, and no multiple of it.
      const int num_cells = period < 20 ? 3 * period + 5 : period / 2 + 1;
      vector<int> expected;
      for (int i = 0; i < num_cells; ++i) {
        EXPECT_EQ(cells.count(i), expected.size());
        EXPECT_EQ(cells.has(i), IsResidue(cells, i));
        if (IsResidue(cells, i)) { expected.push_back(i); }
      }
      EXPECT_EQ(cells.count(num_cells), expected.size());
      for (int j = 0; j < expected.size(); ++j) {
        EXPECT_EQ(cells.cell(j), expected[j]);
      }
    }
  }
}

TEST_F(KeptCellsTest, TestAllCells) {
  const KeptCells cells = AllCells();
  EXPECT_EQ(cells.count(17), 17);
  EXPECT_EQ(cells.cell(5), 5);
  EXPECT_TRUE(cells.has(12345));
}

TEST_F(KeptCellsTest, TestLongPeriodOfOneResidue) {
  const KeptCells cells = MakeCells(3001, vector<int>(1, 2999));
  EXPECT_EQ(cells.count(2999), 0);
  EXPECT_EQ(cells.count(3000), 1);
  EXPECT_EQ(cells.cell(2), 2 * 3001 + 2999);
}

// The units of one product, against the definition.
TEST_F(KeptCellsTest, TestKeptUnitsAgainstBruteForce) {
  const KeptCells kRows[] = {AllCells(), SomeCells(5, 2, 1),
      SomeCells(16, 9, 4), MakeCells(3, vector<int>(1, 1))};
  const KeptCells kTiles[] = {AllCells(), SomeCells(4, 2, 0),
      SomeCells(16, 8, 9), MakeCells(5, vector<int>(1, 0))};
  const int kSizes[][2] = {{1, 13}, {4, 4}, {4, 30}, {7, 100}, {32, 75}};
  for (int r = 0; r < 4; ++r) {
    for (int t = 0; t < 4; ++t) {
      for (int s = 0; s < 5; ++s) {
        const int tile_size = kSizes[s][0];
        const int units = kSizes[s][1];
        for (int shift = 0; shift < kTiles[t].period; ++shift) {
          const KeptUnits kept = {
              kRows[r], kTiles[t], tile_size, shift, units, 1};
          vector<int> weight, whole, compact;
          int stored = 0;
          for (int u = 0; u < units; ++u) {
            const bool row = IsResidue(kRows[r], u);
            const bool tile = IsResidue(kTiles[t], u / tile_size + shift);
            EXPECT_EQ(kept.has(u), row && tile);
            EXPECT_EQ(kept.count(u), weight.size());
            if (row && tile) {
              EXPECT_EQ(kept.storage_index(u, true), stored);
              EXPECT_EQ(kept.storage_index(u, false), u);
              weight.push_back(u);
              compact.push_back(stored);
            }
            stored += row;
          }
          EXPECT_EQ(kept.size(), weight.size());
          IndexList a, b, c, d;
          ListUnits(kept, true, &a, &b);
          EXPECT_TRUE(a.index == weight);
          EXPECT_TRUE(b.index == compact);
          ListUnits(kept, false, &c, &d);
          EXPECT_TRUE(c.index == weight);
          EXPECT_TRUE(d.index == weight);
        }
      }
    }
  }
}

// Along each line, and in the product of the lines that it belongs to.
TEST_F(KeptCellsTest, TestTiles) {
  const KeptCells pattern = SomeCells(6, 2, 2);
  const int kTileRows = 11;
  const int kTileColumns = 9;
  for (int r = 0; r < kTileRows; ++r) {
    const KeptUnits inputs = {
        AllCells(), pattern, 1, r % pattern.period, kTileColumns, 1};
    int kept = 0;
    for (int c = 0; c < kTileColumns; ++c) {
      const bool keeps = IsResidue(pattern, r + c);
      EXPECT_EQ(keeps, pattern.has_tile(r, c));
      EXPECT_EQ(keeps, pattern.has_tile(c, r));
      EXPECT_EQ(keeps, inputs.has(c));
      EXPECT_EQ(kept, pattern.count_tiles(r, c));
      if (keeps) { EXPECT_EQ(c, pattern.tile(r, kept++)); }
    }
  }
}

}  // namespace caffe
