#include <algorithm>
#include <vector>

#include "gtest/gtest.h"

#include "caffe/approx_dropout/update/lazy_layer.hpp"

#include "caffe/test/test_caffe_main.hpp"

namespace caffe {

TEST(LazyLayerTest, TestDistinctValues) {
  const float kWords[] = {7, 0, 7, 12, 3, 0};
  Blob<float> words(vector<int>(1, 6));
  std::copy(kWords, kWords + 6, words.mutable_cpu_data());
  const int kExpected[] = {0, 3, 7, 12};
  EXPECT_EQ(vector<int>(kExpected, kExpected + 4), DistinctValues(words));
}

}  // namespace caffe
