#include <vector>

#include "gtest/gtest.h"

#include "caffe/approx_dropout/math/wide_access.hpp"
#include "caffe/common.hpp"

#include "caffe/test/test_caffe_main.hpp"

namespace caffe {

TEST(WideAccessTest, TestAlignedRuns) {
  const int kRuns[] = {4, 5, 6, 7, 12, 13, 14, 15};
  vector<int> runs(kRuns, kRuns + 8);
  EXPECT_TRUE(HasAligned16Runs<float>(runs));
  EXPECT_TRUE(HasAligned16Runs<double>(runs));
  EXPECT_TRUE(HasAligned16Runs<float>(vector<int>()));
  for (int i = 0; i < 8; ++i) { runs[i] += 2; }  // begins at 6
  EXPECT_FALSE(HasAligned16Runs<float>(runs));
  EXPECT_TRUE(HasAligned16Runs<double>(runs));
  runs[7] += 1;
  EXPECT_FALSE(HasAligned16Runs<double>(runs));
  runs.assign(kRuns, kRuns + 6);
  EXPECT_FALSE(HasAligned16Runs<float>(runs));
}

TEST(WideAccessTest, TestPointersAndRows) {
  AlignedVector<float, 4> data[3] = {};
  float* first = data[0].value;
  EXPECT_TRUE(IsAligned16(NULL));
  EXPECT_TRUE(IsAligned16(first));
  EXPECT_FALSE(IsAligned16(first + 1));
  EXPECT_TRUE(IsAligned16(first, 4));
  EXPECT_FALSE(IsAligned16(first, 6));
  EXPECT_FALSE(IsAligned16(first + 2, 4));
  data[1].value[3] = 5;
  const float* constant = first;
  EXPECT_EQ(5, (VectorAt<float, 4>(constant, 4)->value[3]));
  VectorAt<float, 4>(first, 8)->value[0] = 6;
  EXPECT_EQ(6, data[2].value[0]);
}

}  // namespace caffe
