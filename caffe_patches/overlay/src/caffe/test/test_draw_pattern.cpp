#include <cmath>
#include <vector>

#include "gtest/gtest.h"

#include "caffe/approx_dropout/pattern/draw_pattern.hpp"
#include "caffe/common.hpp"

#include "caffe/test/test_caffe_main.hpp"

namespace caffe {

// The known answers that come with the generator's reference implementation.
TEST(DrawPatternTest, TestPhiloxKnownAnswers) {
  const uint32_t kCases[][10] = {
    {0, 0, 0, 0, 0, 0, 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8},
    {0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff,
     0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd},
    {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xa4093822, 0x299f31d0,
     0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}};
  for (int i = 0; i < 3; ++i) {
    uint32_t out[4];
    Philox4x32(kCases[i], kCases[i] + 4, out);
    for (int j = 0; j < 4; ++j) { EXPECT_EQ(out[j], kCases[i][6 + j]); }
  }
}

TEST(DrawPatternTest, TestBelowIsUniform) {
  PatternStream stream(11, "layer", 0);
  const int kDraws = 60000;
  vector<int> counts(6);
  for (int i = 0; i < kDraws; ++i) { ++counts[stream.NextBelow(6)]; }
  for (int i = 0; i < 6; ++i) {
    // Five standard deviations of a binomial count.
    EXPECT_NEAR(counts[i], kDraws / 6., 5 * std::sqrt(kDraws * 5. / 36));
  }
}

}  // namespace caffe
