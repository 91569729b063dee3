#include <vector>

#include "gtest/gtest.h"

#include "caffe/approx_dropout/pattern/index_list.hpp"

#include "caffe/test/test_caffe_main.hpp"

namespace caffe {

TEST(IndexListTest, TestStride) {
  IndexList list;
  list.FindStride();
  EXPECT_TRUE(list.contiguous());
  list.index.push_back(4);
  list.FindStride();
  EXPECT_TRUE(list.contiguous());
  list.index.push_back(7);
  list.FindStride();
  EXPECT_EQ(list.stride, 3);
  list.index.push_back(10);
  list.FindStride();
  EXPECT_EQ(list.stride, 3);
  list.index.push_back(11);
  list.FindStride();
  EXPECT_EQ(list.stride, 0);
}

TEST(IndexListTest, TestDeviceList) {
  const int kIndex[] = {7, 2, 5};
  const int kPlaces[] = {-1, -1, 1, -1, -1, 2, -1, 0};
  const DeviceList listed = {kIndex, 3, 0, 1, kPlaces};
  EXPECT_EQ(2, listed(1));
  EXPECT_EQ(1, listed.place(2));
  EXPECT_EQ(-1, listed.place(3));
  const DeviceList strided = {NULL, 4, 2, 5, NULL};
  EXPECT_EQ(17, strided(3));
  for (int position = 0; position < 30; ++position) {
    const bool there = position % 5 == 2 && position <= 17;
    EXPECT_EQ(there ? position / 5 : -1, strided.place(position)) << position;
  }
}

// What the host lists at once, and unit by unit as kernels do.
TEST(IndexListTest, TestListUnits) {
  KeptCells thirds = {};
  thirds.period = 3;
  thirds.kept = 2;
  thirds.residues[1] = 2;
  const KeptUnits kSides[] = {UnitsOf(AllCells(), 11), UnitsOf(thirds, 23),
      {AllCells(), thirds, 4, 1, 21, 1}, {thirds, thirds, 5, 2, 38, 1},
      UnitsOf(thirds, 30, 4), {thirds, thirds, 5, 2, 38, 3}};
  for (int s = 0; s < 6; ++s) {
    for (int compact = 0; compact < 2; ++compact) {
      const KeptUnits& kept = kSides[s];
      IndexList weight, stored;
      ListUnits(kept, compact, &weight, &stored);
      vector<int> units(kept.size(), -1), places(kept.size(), -1);
      const UnitLists lists = { units.data(), places.data() };
      int listed = 0;
      for (int unit = 0; unit < kept.units; ++unit) {
        const int j = ListUnit(kept, unit, compact, lists);
        EXPECT_EQ(kept.has(unit) ? listed : -1, j);
        listed += j >= 0;
      }
      EXPECT_EQ(units, weight.index);
      EXPECT_EQ(places, stored.index);
    }
  }
}

}  // namespace caffe
