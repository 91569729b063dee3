#include "gtest/gtest.h"

#include "caffe/approx_dropout/math/wide_access.hpp"
#include "caffe/common.hpp"

#include "caffe/test/test_caffe_main.hpp"

namespace caffe {

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
