#include <algorithm>
#include <vector>

#include "gtest/gtest.h"

#include "caffe/approx_dropout/pattern/sample_groups.hpp"

#include "caffe/test/test_approx_dropout_util.hpp"
#include "caffe/test/test_caffe_main.hpp"

namespace caffe {

TEST(SampleGroupsTest, TestGroupsInTurn) {
  const vector<KeptCells> groups =
      CellsOfGroups(MakePattern(16, 7, 5), 5);
  EXPECT_EQ(125, MaxGroups(groups[0]));
  for (int first = 0; first < 5; first += 2) {
    const KeptGroups some = GroupsFrom(groups, first, 2);
    EXPECT_EQ(first, some.first);
    ASSERT_EQ(std::min(2, 5 - first), some.count);
    for (int i = 0; i < some.count; ++i) {
      KeptCells cells;
      for (int t = 0; t < 3; ++t) { some.Get(i, &cells, t, 3); }
      for (int cell = 0; cell < 40; ++cell) {
        EXPECT_EQ(groups[first + i].has(cell), cells.has(cell));
      }
    }
  }
  KeptCells largest = AllCells();
  largest.kept = kMaxResidues;
  EXPECT_EQ(3, MaxGroups(largest));
}

TEST(SampleGroupsTest, TestUnion) {
  const TestPattern patterns[] = { MakePattern(9, 2, 1), MakePattern(9, 2, 3),
      MakePattern(9, 5, 9) };
  for (int p = 0; p < 3; ++p) {
    const int count = patterns[p].groups.size();
    const KeptCells cells = UnionOf(CellsOfGroups(patterns[p], count));
    for (int cell = 0; cell < 30; ++cell) {
      bool expected = false;
      for (int g = 0; g < count; ++g) {
        expected |= patterns[p].keeps(cell, g, count);
      }
      EXPECT_EQ(expected, cells.has(cell)) << cell;
    }
  }
}

TEST(SampleGroupsTest, TestRows) {
  const int kSteps = 7;
  for (int rotates = 0; rotates < 2; ++rotates) {
    const GroupRows rows = { 2, 6, rotates == 1 };
    vector<int> seen(6 * kSteps);
    for (int g = 0; g < 3; ++g) {
      for (int i = 0; i < 2 * kSteps; ++i) {
        const int t = rows(g, i) / 6;
        const int sample = rows(g, i) % 6;
        EXPECT_EQ(i / 2, t);
        EXPECT_EQ(g, (sample / 2 + rotates * t) % 3);
        EXPECT_EQ(g, rows.group(t, sample));
        EXPECT_EQ(rows.first(t, g), sample - i % 2);
        ++seen[rows(g, i)];
      }
    }
    EXPECT_EQ(seen.size(), std::count(seen.begin(), seen.end(), 1));
  }
}

}  // namespace caffe
