#include <vector>

#include "gtest/gtest.h"

#include "caffe/approx_dropout/math/micro_kernel.hpp"
#include "caffe/common.hpp"

#include "caffe/test/test_caffe_main.hpp"

namespace caffe {

namespace {

// Takes the sums as they are, and counts what is fetched.
template <typename Dtype>
struct PlainOutput {
  Dtype* sums;
  int* parts;
  int* fetched;

  CAFFE_INLINE PlainOutput OfPart(int part, int parts) const {
    EXPECT_LT(part, parts);
    ++*this->parts;
    return *this;
  }
  CAFFE_INLINE void Fetch(int, const Dtype*) const { ++*fetched; }
  template <int kVectorBytes>
  CAFFE_INLINE void Store(int row,
      const typename Unaligned<Dtype, kVectorBytes>::Vector* sum) const {
    const Dtype* values = reinterpret_cast<const Dtype*>(sum);
    for (int j = 0; j < Panel<Dtype>::kWidth; ++j) {
      sums[row * Panel<Dtype>::kWidth + j] += values[j];
    }
  }
};

// What MachineRun runs with the machine's vectors.
struct Rows {
  template <int kVectorBytes, int kRows, typename Dtype>
  static CAFFE_INLINE void Run(int rows, const Depth<Dtype>& depth,
      const Dtype* panel, const PlainOutput<Dtype>& output) {
    MicroKernel<Dtype, kVectorBytes, kRows>::AllRows(rows, depth, panel,
        output);
    EXPECT_EQ((rows + kRows - 1) / kRows, *output.parts);
  }
};

}  // namespace

template <typename Dtype>
class MicroKernelTest : public ::testing::Test {};

TYPED_TEST_CASE(MicroKernelTest, TestDtypes);

// Whole numbers, so that the sums are exact. Any number of rows, one more than
// fit in registers included; two ranges of depth with a gap; both orders of
// factors.
TYPED_TEST(MicroKernelTest, TestSums) {
  const int kWidth = Panel<TypeParam>::kWidth;
  const int kDepth = 17;
  vector<TypeParam> panel(kDepth * kWidth);
  for (size_t i = 0; i < panel.size(); ++i) { panel[i] = i % 7; }
  const auto run = MachineRun<Rows, int, const Depth<TypeParam>&,
      const TypeParam*, const PlainOutput<TypeParam>&>::Get();
  for (int rows = 0; rows < 26; ++rows) {
    for (int by_row = 0; by_row < 2; ++by_row) {
      vector<TypeParam> factors(26 * kDepth);
      for (size_t i = 0; i < factors.size(); ++i) { factors[i] = i % 5; }
      const Strides strides = { by_row ? size_t(kDepth) : 1,
          by_row ? 1 : size_t(26) };
      const DepthRange<TypeParam> kRanges[] = {
          {2, 9, factors.data()}, {12, 17, factors.data() + strides.next}};
      const Depth<TypeParam> depth = { kRanges, 2, strides };
      vector<TypeParam> sums(26 * kWidth), expected(26 * kWidth);
      int parts = 0, fetched = 0;
      const PlainOutput<TypeParam> output = { sums.data(), &parts, &fetched };
      run(rows, depth, panel.data(), output);
      for (int i = 0; i < rows * kWidth; ++i) {
        for (int s = 0; s < 2; ++s) {
          for (int k = kRanges[s].begin; k < kRanges[s].end; ++k) {
            expected[i] += kRanges[s].factors[i / kWidth * strides.row
                + (k - kRanges[s].begin) * strides.next]
                * panel[k * kWidth + i % kWidth];
          }
        }
      }
      EXPECT_TRUE(expected == sums) << rows;
      EXPECT_EQ(12 * parts, fetched);
    }
  }
}

}  // namespace caffe
