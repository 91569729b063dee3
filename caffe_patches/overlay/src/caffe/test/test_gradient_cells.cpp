#include <numeric>
#include <vector>

#include "caffe/approx_dropout/update/lazy_parameter.hpp"
#include "caffe/test/test_approx_dropout_util.hpp"
#include "caffe/test/test_caffe_main.hpp"
#include "gtest/gtest.h"

namespace caffe {

// A parameter of 5 x 4 with gradients in some rows.
template <typename Dtype>
class GradientCellsTest : public ::testing::Test {
 protected:
  GradientCellsTest()
      : w_(Shape()), h_(Shape()), rule_(), lazy_(&w_, &h_, Rule()) {
    Poison(w_.mutable_cpu_diff(), w_.count());
  }

  static vector<int> Shape() {
    vector<int> shape(2, 5);
    shape[1] = 4;
    return shape;
  }
  static UpdateRule<Dtype> Rule() {
    UpdateRule<Dtype> rule = UpdateRule<Dtype>();
    rule.solver = SolverKind::SGD;
    rule.normalization = 1;
    rule.momentum = 0.5;
    return rule;
  }

  // Row 3 whole, 1 in columns 0 and 2.
  void AddGradients() {
    const vector<int> all{0, 1, 2, 3}, some{0, 2};
    const Dtype whole[] = {1, 2, 3, 4}, part[] = {5, 6};
    lazy_.AddGradient(vector<int>(1, 3), all, whole);
    lazy_.AddGradient(vector<int>(1, 1), some, part);
  }

  Blob<Dtype> w_, h_;
  UpdateRule<Dtype> rule_;
  LazyParameter<Dtype> lazy_;
};

TYPED_TEST_CASE(GradientCellsTest, TestDtypes);

TYPED_TEST(GradientCellsTest, TestPacksWhatIsThere) {
  EXPECT_EQ(this->lazy_.GradientSize(), 0);
  this->AddGradients();
  EXPECT_EQ(this->lazy_.HasGradient(), (vector<char>{0, 1, 0, 1, 0}));
  ASSERT_EQ(this->lazy_.GradientSize(), 6);
  vector<TypeParam> values(6);
  this->lazy_.CopyGradient(0.5, values.data());
  EXPECT_EQ(values, (vector<TypeParam>{2.5, 3, 0.5, 1, 1.5, 2}));
  const TypeParam kNew[] = {1, 2, 3, 4, 5, 6};
  this->lazy_.SetGradient(kNew);
  this->lazy_.CopyGradient(1, values.data());
  EXPECT_EQ(values, vector<TypeParam>(kNew, kNew + 6));
  EXPECT_EQ(this->lazy_.SumSquares(), 91);
}

// Rows that other ranks have a gradient of, whose steps may still wait.
TYPED_TEST(GradientCellsTest, TestAddsZeros) {
  this->AddGradients();
  const UpdateStep<TypeParam> step = {TypeParam(0.1), TypeParam(1)};
  this->lazy_.EndStep(step);
  this->lazy_.CatchUp(vector<int>(1, 3));
  const TypeParam whole[] = {1, 2, 3, 4};
  this->lazy_.AddGradient(vector<int>(1, 3), vector<int>{0, 1, 2, 3}, whole);
  this->lazy_.AddZeros(vector<char>{1, 1, 0, 1, 0});
  EXPECT_EQ(this->lazy_.HasGradient(), (vector<char>{1, 1, 0, 1, 0}));
  ASSERT_EQ(this->lazy_.GradientSize(), 12);
  vector<TypeParam> values(12);
  this->lazy_.CopyGradient(1, values.data());
  EXPECT_EQ(values, (vector<TypeParam>{0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4}));
}

}  // namespace caffe
