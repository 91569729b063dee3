#include <algorithm>
#include <vector>

#include "gtest/gtest.h"

#include "caffe/approx_dropout/product/gather_scatter.hpp"

#include "caffe/test/test_approx_dropout_util.hpp"
#include "caffe/test/test_caffe_main.hpp"

namespace caffe {

namespace {

// Of a (40 x 900) matrix, so that threads take part.
const int kRows = 40;
const int kColumns = 900;

IndexList Every(int step, int run, int size) {
  IndexList list;
  for (int i = 0; i < size; ++i) {
    if (i % step < run) { list.index.push_back(i); }
  }
  list.FindStride();
  return list;
}

}  // namespace

template <typename Dtype>
class GatherScatterTest : public ::testing::Test {
 protected:
  typedef CpuParts<Dtype> Parts;

  GatherScatterTest() : whole_(vector<int>(1, kRows * kColumns)) {
    FillGaussian(&whole_);
    columns_.push_back(Every(3, 1, kColumns));    // strided
    columns_.push_back(Every(30, 25, kColumns));  // long runs
    columns_.push_back(Every(5, 2, kColumns));    // short runs
    columns_.push_back(IndexList());
  }

  Blob<Dtype> whole_;
  vector<IndexList> columns_;
};

TYPED_TEST_CASE(GatherScatterTest, TestDtypes);

TYPED_TEST(GatherScatterTest, TestThereAndBack) {
  const IndexList rows = Every(4, 3, kRows);
  const TypeParam* whole = this->whole_.cpu_data();
  for (size_t c = 0; c < this->columns_.size(); ++c) {
    const IndexList& columns = this->columns_[c];
    const int width = columns.size();
    vector<TypeParam> part(rows.size() * width + 1);
    CpuParts<TypeParam>::Gather(whole, kColumns, rows, columns, part.data());
    vector<TypeParam> to(kRows * kColumns, 7);
    CpuParts<TypeParam>::Scatter(part.data(), rows, columns, false, kColumns,
        to.data());
    CpuParts<TypeParam>::Scatter(part.data(), rows, columns, true, kColumns,
        to.data());
    vector<TypeParam> expected(kRows * kColumns, 7);
    for (int i = 0; i < rows.size(); ++i) {
      for (int j = 0; j < width; ++j) {
        const int at = rows.index[i] * kColumns + columns.index[j];
        EXPECT_EQ(whole[at], part[i * width + j]);
        expected[at] = 2 * whole[at];
      }
    }
    EXPECT_TRUE(expected == to);
  }
}

TYPED_TEST(GatherScatterTest, TestFillAndSum) {
  for (size_t c = 0; c < this->columns_.size(); ++c) {
    const IndexList& columns = this->columns_[c];
    const int width = columns.size();
    vector<TypeParam> values(kColumns), part(kRows * (width + 1), 5);
    for (int j = 0; j < kColumns; ++j) { values[j] = j; }
    const PartView<TypeParam> filled = { part.data(), width + 1 };
    CpuParts<TypeParam>::FillRows(values.data(), 2, columns, kRows, filled);
    vector<TypeParam> sums(kColumns, 1), expected(kColumns, 1);
    const PartView<const TypeParam> view = { part.data(), width + 1 };
    CpuParts<TypeParam>::AddColumnSums(view, kRows, 3, columns, sums.data());
    for (int j = 0; j < width; ++j) {
      expected[columns.index[j]] += 3 * kRows * 2 * columns.index[j];
    }
    EXPECT_TRUE(expected == sums);
    for (int i = 0; i < kRows; ++i) {
      EXPECT_EQ(5, part[i * (width + 1) + width]);  // beside the part
    }
  }
}

TYPED_TEST(GatherScatterTest, TestViews) {
  const TypeParam* whole = this->whole_.cpu_data();
  shared_ptr<Blob<TypeParam> > buffer;
  const IndexList rows = Every(2, 1, kRows);
  const PartView<const TypeParam> in_place =
      ViewPart<CpuParts<TypeParam> >(whole, kColumns, rows,
          Every(1, 1, kColumns), &buffer);
  EXPECT_EQ(whole, in_place.data);
  EXPECT_EQ(2 * kColumns, in_place.stride);
  EXPECT_FALSE(buffer);
  const PartView<const TypeParam> gathered =
      ViewPart<CpuParts<TypeParam> >(whole, kColumns, rows,
          this->columns_[0], &buffer);
  EXPECT_EQ(this->columns_[0].size(), gathered.stride);
  EXPECT_EQ(whole[2 * kColumns + 3], gathered.data[gathered.stride + 1]);
}

TEST(CheckBufferSizeDeathTest, TestTooLarge) {
  CheckBufferSize(2147483647);
  EXPECT_DEATH(CheckBufferSize(2147483648u),
      "2147483648 elements together, "
      "too many for one blob; use fewer samples or groups");
}

}  // namespace caffe
