#include <vector>

#include "gtest/gtest.h"

#include "caffe/blob.hpp"
#include "caffe/common.hpp"
#include "caffe/layers/approx_dropout_lstm_layer.hpp"

#include "caffe/test/test_approx_dropout_lstm_util.hpp"
#include "caffe/test/test_approx_dropout_util.hpp"
#include "caffe/test/test_caffe_main.hpp"

namespace caffe {

template <typename Dtype>
class ApproxDropoutLSTMErrorsDeathTest
    : public ApproxDropoutLSTMTest<CPUDevice<Dtype> > {
 protected:
  void SetUpAndDraw(const LSTMCase& c) {
    this->SetUpLayer(c);
    this->Draw(c, 0);
  }
  // SetUp of a case, with one thing changed in its parameters.
  void SetUpWith(const LayerParameter& param) {
    ApproxDropoutLSTMLayer<Dtype> layer(param);
    layer.SetUp(this->bottom_, this->top_);
  }
};

TYPED_TEST_CASE(ApproxDropoutLSTMErrorsDeathTest, TestDtypes);

TYPED_TEST(ApproxDropoutLSTMErrorsDeathTest, TestBadSizes) {
  const TestPattern half = MakePattern(4, 2);
  LSTMCase c = {"ROW", 2, 4, 6, 3, 32, half, kNone, true, false};
  EXPECT_DEATH(this->SetUpAndDraw(c),
      "'lstm'.* output has N = 4.*only 3 units");
  c.units = 4;
  c.inputs = 3;
  c.input = half;
  EXPECT_DEATH(this->SetUpAndDraw(c), "'lstm'.* input has N = 4.*only 3 units");
  const LSTMCase tiles = {"TILE", 2, 4, 20, 8, 16, half, kNone, false, false};
  EXPECT_DEATH(this->SetUpAndDraw(tiles), "N = 4.*only 3 diagonals of tiles");
  const LSTMCase grid = {"TILE", 2, 4, 60, 8, 16, half, kNone, false, true};
  EXPECT_DEATH(this->SetUpAndDraw(grid),
      "N = 4.*recurrent weights have only 2 diagonals");
  const LSTMCase groups = {"ROW", 2, 3, 6, 8, 32, MakePattern(4, 2, 2), kNone,
      true, false};
  EXPECT_DEATH(this->SetUpAndDraw(groups),
      "groups: 2, which must divide the 3");
  const LSTMCase uneven = {"ROW", 2, 4, 6, 10, 32, MakePattern(4, 2, 2),
      kNone, true, false};
  EXPECT_DEATH(this->SetUpAndDraw(uneven),
      "a compact output its 10 units must be divisible by N = 4");
  const LSTMCase uneven_input = {"ROW", 2, 4, 6, 10, 32, half,
      MakePattern(4, 2, 2), true, false};
  EXPECT_DEATH(this->SetUpAndDraw(uneven_input),
      "a compact input its 6 units must be divisible by N = 4");
  const LSTMCase turning = {"TILE", 2, 4, 8, 8, 2, MakePattern(4, 2, 4),
      MakePattern(4, 2, 2), false, false};
  EXPECT_DEATH(this->SetUpAndDraw(turning), "'lstm': the pattern of its output "
      "has groups: 4, that of its input groups: 2; .*must be the same, or one");
  const LSTMCase no_tile = {"TILE", 2, 4, 8, 8, 0, half, kNone, false, false};
  EXPECT_DEATH(this->SetUpAndDraw(no_tile),
      "'lstm': tile_size is 0; it must be from 1 to 4096");
  const LSTMCase compact = {"TILE", 2, 4, 8, 8, 2, half, kNone, true, false};
  EXPECT_DEATH(this->SetUpAndDraw(compact),
      "compact_output goes with pattern: ROW only, not with TILE");
  const LSTMCase none = {"NONE", 2, 4, 8, 8, 2, kNone, kNone, false, true};
  EXPECT_DEATH(this->SetUpAndDraw(none),
      "'lstm': recurrent: true needs pattern: ROW or TILE, not NONE");
}

TYPED_TEST(ApproxDropoutLSTMErrorsDeathTest, TestBadBottoms) {
  const LSTMCase c = {"ROW", 2, 4, 6, 8, 32, MakePattern(4, 2), kNone, true,
      false};
  this->SetUpLayer(c);
  LayerParameter param = this->Param(c);
  param.mutable_recurrent_param()->set_expose_hidden(true);
  EXPECT_DEATH(this->SetUpWith(param),
      "'lstm': expose_hidden: true is not supported");
  param = this->Param(c);
  param.mutable_recurrent_param()->clear_num_output();
  EXPECT_DEATH(this->SetUpWith(param),
      "'lstm': num_output is 0; it must be from 1 to 268435456");
  param.mutable_recurrent_param()->set_num_output(4294967295U);
  EXPECT_DEATH(this->SetUpWith(param), "num_output is 4294967295");
  param = this->Param(c);
  param.mutable_approx_dropout_param()->set_pattern(
      ApproxDropoutParameter_Pattern_NONE);
  EXPECT_DEATH(this->SetUpWith(param),
      "has 3 bottoms, but x, cont and the patterns are 2; static input is not");
  param.mutable_approx_dropout_param()->set_compact_input(true);
  param.mutable_approx_dropout_param()->set_compact_output(false);
  this->bottom_.pop_back();
  EXPECT_DEATH(this->SetUpWith(param),
      "has 2 bottoms; with pattern: NONE and compact_input it takes 3");
  param = this->Param(c);
  param.mutable_approx_dropout_param()->Clear();
  param.mutable_approx_dropout_param()->set_pattern(
      ApproxDropoutParameter_Pattern_NONE);
  vector<int> shape(2, 4);
  this->cont_.Reshape(shape);
  EXPECT_DEATH(this->SetUpWith(param), "cont has shape 4 4 .*must be.*2, 4");
  this->x_.Reshape(shape);
  EXPECT_DEATH(this->SetUpWith(param),
      "its input has shape 4 4 .*time steps, samples, features");
}

TYPED_TEST(ApproxDropoutLSTMErrorsDeathTest, TestMissingBottoms) {
  const LSTMCase c = {"ROW", 2, 4, 6, 8, 32, MakePattern(4, 2),
      MakePattern(3, 2), true, false};
  this->SetUpLayer(c);
  this->bottom_.pop_back();
  EXPECT_DEATH(this->SetUpWith(this->Param(c)),
      "has 3 bottoms; with pattern: ROW and compact_input it takes 4: "
      "2 inputs, the output's pattern, the input's own pattern");
  this->bottom_.resize(1);
  EXPECT_DEATH(this->SetUpWith(this->Param(c)), "at least 2 bottom blob");
}

TYPED_TEST(ApproxDropoutLSTMErrorsDeathTest, TestBackwardToCont) {
  const LSTMCase c = {"NONE", 2, 4, 6, 8, 32, kNone, kNone, false, false};
  this->SetUpLayer(c);
  this->Draw(c, 0);
  this->layer_->Forward(this->bottom_, this->top_);
  EXPECT_DEATH(this->layer_->Backward(this->top_, vector<bool>(2, true),
      this->bottom_), "'lstm': cannot backpropagate to sequence indicators");
}

TYPED_TEST(ApproxDropoutLSTMErrorsDeathTest, TestBadPattern) {
  const LSTMCase c = {"ROW", 2, 4, 6, 8, 32, MakePattern(4, 2), kNone, true,
      false};
  this->SetUpLayer(c);
  this->Draw(c, 0);
  this->out_pattern_.mutable_cpu_data()[3] = 7;
  EXPECT_DEATH(this->layer_->Reshape(this->bottom_, this->top_),
      "'lstm': residue 1 of a pattern of period 4 is 7");
  this->out_pattern_.Reshape(vector<int>(1, 4));
  EXPECT_DEATH(this->layer_->Reshape(this->bottom_, this->top_),
      "'lstm': a pattern bottom has shape 4 .*must be .groups, 2 . kept");
}

TYPED_TEST(ApproxDropoutLSTMErrorsDeathTest, TestBadWidth) {
  const LSTMCase c = {"NONE", 2, 4, 6, 8, 32, kNone, MakePattern(3, 2), false,
      false};
  this->SetUpLayer(c);
  this->Draw(c, 0);
  this->ShapeInput(2, 4, 5);
  EXPECT_DEATH(this->layer_->Reshape(this->bottom_, this->top_),
      "'lstm': its input has 5 features per sample; the input's pattern keeps "
      "4 of 6");
  vector<int> shape(4, 2);
  shape[1] = 4;
  this->x_.Reshape(shape);
  EXPECT_DEATH(this->layer_->Reshape(this->bottom_, this->top_),
      "compact_input needs an input with one axis of features");
  const LSTMCase whole = {"NONE", 2, 4, 6, 8, 32, kNone, kNone, false, false};
  this->SetUpLayer(whole);
  this->ShapeInput(2, 4, 5);
  EXPECT_DEATH(this->layer_->Reshape(this->bottom_, this->top_),
      "'lstm': its input has 5 features per sample; W_xc takes 6 of 6");
}

}  // namespace caffe
