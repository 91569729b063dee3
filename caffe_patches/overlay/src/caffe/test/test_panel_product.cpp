#include <algorithm>
#include <cmath>
#include <vector>

#include "caffe/approx_dropout/math/panel_product.hpp"
#include "caffe/common.hpp"
#include "caffe/test/test_caffe_main.hpp"
#include "gtest/gtest.h"

namespace caffe {

template <typename Dtype>
class PanelProductTest : public ::testing::Test {
 protected:
  /// @brief Small whole numbers: their products and sums are exact.
  static vector<Dtype> Numbers(int count, int seed) {
    vector<Dtype> numbers(count);
    for (int i = 0; i < count; ++i) {
      numbers[i] = (i * 7 + seed) % 11 - 5;
    }
    return numbers;
  }

  /// @brief C = A B, or C += it, with A's rows or columns side by side, in a C
  ///        whose rows are further apart, NaN or guard values between them.
  static void Check(
      int rows, int depth, int columns, bool by_rows, bool accumulate) {
    const int kGap = 3;
    const vector<Dtype> a = Numbers(rows * depth, 1);
    const vector<Dtype> b = Numbers(depth * columns, 2);
    vector<Dtype> panels(Panel<Dtype>::count(columns) * Panel<Dtype>::kWidth *
                         std::max(depth, 1));
    for (int j = 0; j < Panel<Dtype>::count(columns); ++j) {
      PackColumns(j, depth, columns, b.data(), columns, panels.data());
    }
    const Dtype guard = accumulate ? 5 : NAN;
    vector<Dtype> c(rows * (columns + kGap), guard);
    vector<Dtype*> to(rows);
    for (int r = 0; r < rows; ++r) {
      to[r] = &c[r * (columns + kGap)];
    }
    const size_t next = by_rows ? 1 : rows;
    const Factors<Dtype> factors = {
        a.data(), static_cast<size_t>(by_rows ? depth : 1), next};
    multiply_panels(
        rows, depth, columns, factors, panels.data(), accumulate, to.data());
    for (int r = 0; r < rows; ++r) {
      for (int j = 0; j < columns; ++j) {
        Dtype sum = accumulate ? guard : Dtype(0);
        for (int k = 0; k < depth; ++k) {
          sum += a[r * factors.row + k * next] * b[k * columns + j];
        }
        ASSERT_EQ(sum, to[r][j]) << rows << " x " << depth << " x " << columns
                                 << ": " << r << ", " << j;
      }
      for (int j = columns; j < columns + kGap; ++j) {
        ASSERT_TRUE(accumulate ? to[r][j] == guard : std::isnan(to[r][j]));
      }
    }
  }
};

TYPED_TEST_CASE(PanelProductTest, TestDtypes);

TYPED_TEST(PanelProductTest, TestAgainstSums) {
  const int sizes[] = {1, 5, 6, 13, 24, 25};
  const int depths[] = {0, 1, 7, 255, 256, 257, 600};
  const int widths[] = {1, 8, 15, 16, 17, 40};
  for (int rows : sizes) {
    for (int depth : depths) {
      for (int columns : widths) {
        this->Check(rows, depth, columns, depth % 2 == 0, rows % 2 == 0);
        this->Check(rows, depth, columns, depth % 2 != 0, rows % 2 != 0);
      }
    }
  }
}

// Rows in blocks, as they lie for the gradient of inputs, have the same sums.
TYPED_TEST(PanelProductTest, TestBlocksOfRows) {
  const int kBlock = 5;
  const int kColumns = 40;
  const int sizes[] = {1, 5, 6, 13, 25};
  const int depths[] = {1, 256, 300};
  for (int rows : sizes) {
    for (int depth : depths) {
      const vector<TypeParam> a = this->Numbers(rows * depth, 1);
      const vector<TypeParam> panels = this->Numbers(
          Panel<TypeParam>::count(kColumns) * Panel<TypeParam>::kWidth * depth,
          2);
      const int blocks = (rows + kBlock - 1) / kBlock;
      vector<TypeParam> packed(blocks * kBlock * depth, NAN);
      vector<TypeParam> c(2 * rows * kColumns, NAN);
      vector<TypeParam*> expected(rows), found(rows);
      for (int r = 0; r < rows; ++r) {
        expected[r] = &c[2 * r * kColumns];
        found[r] = expected[r] + kColumns;
        for (int k = 0; k < depth; ++k) {
          packed[(r / kBlock * depth + k) * kBlock + r % kBlock] =
              a[r * depth + k];
        }
      }
      const size_t stride = depth;
      const Factors<TypeParam> whole = {a.data(), stride, 1};
      const Factors<TypeParam> in_blocks = {
          packed.data(), 1, kBlock, kBlock, kBlock * stride};
      multiply_panels(
          rows, depth, kColumns, whole, panels.data(), false, expected.data());
      multiply_panels(
          rows, depth, kColumns, in_blocks, panels.data(), false, found.data());
      for (int r = 0; r < rows; ++r) {
        for (int j = 0; j < kColumns; ++j) {
          ASSERT_EQ(expected[r][j], found[r][j]) << rows << ", " << depth;
        }
      }
    }
  }
}

TYPED_TEST(PanelProductTest, TestPackRowsTransposes) {
  const int kWidth = Panel<TypeParam>::kWidth;
  const int sizes[] = {1, kWidth - 1, kWidth, kWidth + 1, 70};
  for (int rows : sizes) {
    for (int columns : sizes) {
      const int stride = columns + 2;
      const vector<TypeParam> from = this->Numbers(rows * stride, 3);
      const int count = Panel<TypeParam>::count(rows);
      vector<TypeParam> panels(count * kWidth * columns, NAN);
      for (int j = 0; j < count; ++j) {
        PackRows(j, rows, columns, from.data(), stride, panels.data());
      }
      for (int n = 0; n < count * kWidth; ++n) {
        for (int k = 0; k < columns; ++k) {
          const TypeParam* panel = &panels[n / kWidth * kWidth * columns];
          ASSERT_EQ(n < rows ? from[n * stride + k] : TypeParam(0),
              panel[k * kWidth + n % kWidth]);
        }
      }
    }
  }
}

}  // namespace caffe
