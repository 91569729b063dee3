#include <algorithm>
#include <vector>

#include "caffe/approx_dropout/math/panels.hpp"
#include "caffe/common.hpp"
#include "caffe/test/test_caffe_main.hpp"
#include "gtest/gtest.h"

namespace caffe {

template <typename Dtype>
class PanelsTest : public ::testing::Test {};

TYPED_TEST_CASE(PanelsTest, TestDtypes);

// Whole panels and a last one with samples missing; columns beyond those that
// a thread copies at a time.
TYPED_TEST(PanelsTest, TestPackSamples) {
  const int kColumns = 300;
  const int width = Panel<TypeParam>::kWidth;
  vector<int> samples;
  for (int i = 0; i < 2 * width + 3; ++i) { samples.push_back(3 * i + 1); }
  vector<TypeParam> from((samples.back() + 1) * kColumns);
  for (size_t i = 0; i < from.size(); ++i) { from[i] = i + 1; }
  const int count = Panel<TypeParam>::count(samples.size());
  EXPECT_EQ(3, count);
  PanelBuffer<TypeParam> buffer;
  TypeParam* panels = buffer.Grow(count * width * kColumns);
  EXPECT_EQ(0, reinterpret_cast<uintptr_t>(panels) % kPanelBytes);
  std::fill_n(panels, count * width * kColumns, TypeParam(9));
  PackSamples(samples, kColumns, from.data(), &buffer);
  ASSERT_EQ(panels, buffer.data());
  for (int n = 0; n < count * width; ++n) {
    for (int k = 0; k < kColumns; ++k) {
      EXPECT_EQ(n < samples.size() ? from[samples[n] * kColumns + k] : 0,
          panels[(n / width * kColumns + k) * width + n % width]);
    }
  }
}

}  // namespace caffe
