#include <algorithm>
#include <cmath>
#include <vector>

#include "gtest/gtest.h"

#include "caffe/blob.hpp"
#include "caffe/common.hpp"
#include "caffe/layers/approx_dropout_lstm_layer.hpp"
#include "caffe/util/math_functions.hpp"

#include "caffe/test/test_approx_dropout_lstm_util.hpp"
#include "caffe/test/test_approx_dropout_util.hpp"
#include "caffe/test/test_caffe_main.hpp"
#include "caffe/test/test_gradient_check_util.hpp"

namespace caffe {

namespace {

// Sets its state before every pass, so that a gradient can be checked.
template <typename Dtype>
class LSTMFromState : public ApproxDropoutLSTMLayer<Dtype> {
 public:
  explicit LSTMFromState(const LayerParameter& param)
      : ApproxDropoutLSTMLayer<Dtype>(param) {}

 protected:
  virtual void Forward_cpu(const vector<Blob<Dtype>*>& bottom,
      const vector<Blob<Dtype>*>& top) {
    SetState();
    ApproxDropoutLSTMLayer<Dtype>::Forward_cpu(bottom, top);
  }
  virtual void Forward_gpu(const vector<Blob<Dtype>*>& bottom,
      const vector<Blob<Dtype>*>& top) {
    SetState();
    ApproxDropoutLSTMLayer<Dtype>::Forward_gpu(bottom, top);
  }
  void SetState() {
    for (int i = 0; i < this->hidden_.count(); ++i) {
      this->hidden_.mutable_cpu_data()[i] = 0.3 * std::sin(i);
      this->cell_.mutable_cpu_data()[i] = 0.6 * std::cos(i);
    }
  }
};

}  // namespace

// Hidden and cell state: gradients from a given one, what is carried on.
template <typename TypeParam>
class ApproxDropoutLSTMStateTest : public ApproxDropoutLSTMTest<TypeParam> {};

TYPED_TEST_CASE(ApproxDropoutLSTMStateTest, TestDtypesAndDevices);

TYPED_TEST(ApproxDropoutLSTMStateTest, TestGradient) {
  typedef typename TypeParam::Dtype Dtype;
  const vector<LSTMCase> cases = LSTMCases();
  for (int i = 0; i < cases.size(); ++i) {
    SCOPED_TRACE(testing::Message() << "case " << i);
    LSTMCase c = cases[i];
    if (c.samples > 10) { continue; }
    c.steps = std::min(c.steps, 2);
    this->SetUpLayer(c, new LSTMFromState<Dtype>(this->Param(c)));
    this->Draw(c, 1);
    GradientChecker<Dtype> checker(1e-2, 1e-3);
    // One number of each sample, of the last step.
    const int width = this->y_.shape(-1);
    for (int n = 0; n < c.samples; ++n) {
      checker.CheckGradientSingle(this->layer_.get(), this->bottom_,
          this->top_, 0, 0,
          ((c.steps - 1) * c.samples + n) * width + n % width);
    }
  }
}

// Every output of every step, text beginning anew at each.
TYPED_TEST(ApproxDropoutLSTMStateTest, TestGradientStepByStep) {
  typedef typename TypeParam::Dtype Dtype;
  const LSTMCase kCases[] = {
    {"NONE", 3, 1, 2, 3, 32, kNone, kNone, false, false},
    {"ROW", 3, 1, 3, 4, 32, MakePattern(4, 2), MakePattern(3, 2), true, true},
    {"TILE", 3, 1, 3, 4, 1, MakePattern(4, 2), kNone, false, true}};
  for (int i = 0; i < 3; ++i) {
    for (int begin = 0; begin < 4; ++begin) {  // 3: at none
      SCOPED_TRACE(testing::Message() << "case " << i << " from " << begin);
      const LSTMCase& c = kCases[i];
      this->SetUpLayer(c, new LSTMFromState<Dtype>(this->Param(c)));
      this->Draw(c, 1);
      for (int t = 0; t < c.steps; ++t) {
        this->cont_.mutable_cpu_data()[t] = t != begin;
      }
      GradientChecker<Dtype> checker(1e-2, 1e-3);
      for (int j = 0; j < this->y_.count(); ++j) {
        checker.CheckGradientSingle(this->layer_.get(), this->bottom_,
            this->top_, 0, 0, j);
      }
    }
  }
}

// Of as many steps as there are groups, or a multiple: samples begin each pass
// with the same group.
TYPED_TEST(ApproxDropoutLSTMStateTest, TestTwoHalvesAreTheWhole) {
  typedef typename TypeParam::Dtype Dtype;
  const LSTMCase kCases[] = {
    {"NONE", 8, 2, 5, 8, 32, kNone, kNone, false, false},
    {"ROW", 8, 2, 5, 8, 32, MakePattern(4, 3), kNone, true, true},
    {"ROW", 8, 2, 6, 8, 32, MakePattern(4, 3, 2), MakePattern(3, 2, 2), true,
     false},
    {"TILE", 8, 2, 5, 8, 2, MakePattern(4, 3), kNone, false, true},
    {"TILE", 8, 2, 5, 8, 2, MakePattern(4, 3), MakePattern(5, 2), false,
     true}};
  for (int i = 0; i < 5; ++i) {
    SCOPED_TRACE(testing::Message() << "case " << i);
    const LSTMCase& c = kCases[i];
    this->SetUpLayer(c);
    this->Draw(c, 0);
    this->layer_->Forward(this->bottom_, this->top_);
    Blob<Dtype> x(this->x_.shape()), cont(this->cont_.shape());
    x.CopyFrom(this->x_);
    cont.CopyFrom(this->cont_);
    const vector<double> whole = ToDouble(this->y_.cpu_data(),
        this->y_.count());
    vector<double> halves;
    for (int half = 0; half < 2; ++half) {
      this->ShapeInput(4, 2, x.shape(2));
      caffe_copy(this->x_.count(), x.cpu_data() + half * this->x_.count(),
          this->x_.mutable_cpu_data());
      caffe_copy(this->cont_.count(),
          cont.cpu_data() + half * this->cont_.count(),
          this->cont_.mutable_cpu_data());
      this->layer_->Forward(this->bottom_, this->top_);
      const Dtype* y = this->y_.cpu_data();
      halves.insert(halves.end(), y, y + this->y_.count());
    }
    this->ExpectAll(whole, halves, "y");
  }
}

TYPED_TEST(ApproxDropoutLSTMStateTest, TestReset) {
  const LSTMCase c = {"NONE", 2, 2, 5, 8, 32, kNone, kNone, false, false};
  this->SetUpLayer(c);
  this->Draw(c, 1);
  this->layer_->Forward(this->bottom_, this->top_);
  const vector<double> first = ToDouble(this->y_.cpu_data(), this->y_.count());
  this->layer_->Forward(this->bottom_, this->top_);
  EXPECT_NE(first[0], this->y_.cpu_data()[0]);
  this->layer_->Reset();
  this->layer_->Forward(this->bottom_, this->top_);
  this->ExpectAll(first, ToDouble(this->y_.cpu_data(), this->y_.count()),
      "after Reset()");
  // Another number of samples starts from zero, and so does the first again.
  this->ShapeInput(2, 3, 5);
  this->layer_->Forward(this->bottom_, this->top_);
  this->Draw(c, 1);
  this->layer_->Forward(this->bottom_, this->top_);
  const vector<double> again = ToDouble(this->y_.cpu_data(), this->y_.count());
  this->FillCont(0);
  this->layer_->Forward(this->bottom_, this->top_);
  this->ExpectAll(again, ToDouble(this->y_.cpu_data(), this->y_.count()),
      "after a change of N");
}

// cont = 0 forgets a state that has been lost to NaN.
TYPED_TEST(ApproxDropoutLSTMStateTest, TestContForgetsNaN) {
  const LSTMCase c = {"ROW", 2, 2, 5, 8, 32, MakePattern(4, 2), kNone, false,
      true};
  this->SetUpLayer(c);
  this->Draw(c, 0);
  this->layer_->Forward(this->bottom_, this->top_);
  const vector<double> first = ToDouble(this->y_.cpu_data(), this->y_.count());
  vector<double> x = ToDouble(this->x_.cpu_data(), this->x_.count());
  Poison(this->x_.mutable_cpu_data(), this->x_.count());
  this->layer_->Forward(this->bottom_, this->top_);
  EXPECT_TRUE(std::isnan(this->y_.cpu_data()[this->y_.count() - 2]) ||
      std::isnan(this->y_.cpu_data()[this->y_.count() - 1]));
  std::copy(x.begin(), x.end(), this->x_.mutable_cpu_data());
  this->layer_->Forward(this->bottom_, this->top_);
  this->ExpectAll(first, ToDouble(this->y_.cpu_data(), this->y_.count()),
      "y");
}

}  // namespace caffe
