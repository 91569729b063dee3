#include <thread>
#include <vector>

#include "caffe/approx_dropout/update/pending_parameter.hpp"
#include "caffe/test/test_approx_dropout_util.hpp"
#include "caffe/test/test_caffe_main.hpp"
#include "caffe/util/math_functions.hpp"
#include "gtest/gtest.h"

namespace caffe {

// A parameter of 3 rows and 4 columns that begins with zeros; each step moves
// row 1 by -1, and momentum keeps it moving.
template <typename Dtype>
class PendingParameterTest : public ::testing::Test {
 protected:
  PendingParameterTest() : w_(3, 4, 1, 1), h_(3, 4, 1, 1) {
    caffe_set(12, Dtype(0), w_.mutable_cpu_data());
    caffe_set(12, Dtype(0), h_.mutable_cpu_data());
    const UpdateRule<Dtype> rule = {1, 0, false, Dtype(0.5)};
    update_.reset(new LazyParameter<Dtype>(&w_, &h_, rule));
    pending_.reset(new PendingParameter<Dtype>(
        ParameterMemory(w_, h_, static_cast<Blob<Dtype>*>(NULL)), update_.get(),
        &thread_));
    pending_->Guard();
  }

  void BeginStep() {
    update_->BeginStep(false);
    const vector<int> row(1, 1);
    update_->CatchUp(row);
    update_->ClaimGradient(row);
    caffe_set(4, Dtype(1), RawDiff() + 4);
  }

  // Two steps: w is -2.5 in row 1, and 1.5 was subtracted last.
  void TwoSteps() {
    for (int i = 0; i < 2; ++i) {
      BeginStep();
      const UpdateStep<Dtype> step = {1, 1};
      update_->EndStep(step);
    }
  }

  Dtype Raw() {
    return static_cast<const Dtype*>(w_.data()->raw_cpu_data())[4];
  }
  Dtype* RawDiff() {
    return static_cast<Dtype*>(w_.diff()->raw_mutable_cpu_data());
  }

  Blob<Dtype> w_, h_;
  shared_ptr<LazyParameter<Dtype> > update_;
  StepThread thread_;
  shared_ptr<PendingParameter<Dtype> > pending_;
};

TYPED_TEST_CASE(PendingParameterTest, TestDtypes);

TYPED_TEST(PendingParameterTest, TestWhoeverAsksFindsItDone) {
  this->TwoSteps();
  EXPECT_EQ(TypeParam(-1), this->Raw());
  EXPECT_EQ(TypeParam(-2.5), this->w_.cpu_data()[4]);
  this->TwoSteps();
  EXPECT_EQ(TypeParam(-2.5 - 1.75 - 1.875), this->w_.mutable_cpu_data()[4]);
  this->TwoSteps();
  EXPECT_EQ(TypeParam(1.96875), this->h_.cpu_data()[4]);
  EXPECT_EQ(TypeParam(1.96875), this->w_.cpu_diff()[4]);
  EXPECT_EQ(TypeParam(0), this->w_.cpu_diff()[0]);
}

TYPED_TEST(PendingParameterTest, TestSharedBlobsAndCopies) {
  Blob<TypeParam> shared(3, 4, 1, 1), copy(3, 4, 1, 1);
  shared.ShareData(this->w_);
  this->TwoSteps();
  EXPECT_EQ(TypeParam(-2.5), shared.cpu_data()[4]);
  this->TwoSteps();
  copy.CopyFrom(this->w_);
  EXPECT_EQ(TypeParam(-2.5 - 1.75 - 1.875), copy.cpu_data()[4]);
  this->TwoSteps();
  BlobProto proto;
  this->w_.ToProto(&proto, true);
  copy.FromProto(proto);
  EXPECT_EQ(this->w_.cpu_data()[4], copy.cpu_data()[4]);
  EXPECT_EQ(TypeParam(1.96875), copy.cpu_diff()[4]);
}

TYPED_TEST(PendingParameterTest, TestOthersMemoryTakesItsPlace) {
  vector<TypeParam> memory(12, 7);
  this->TwoSteps();
  const TypeParam* before =
      static_cast<const TypeParam*>(this->w_.data()->raw_cpu_data());
  const vector<TypeParam> had(before, before + 12);
  this->w_.set_cpu_data(memory.data());
  EXPECT_EQ(vector<TypeParam>(12, 7), memory);  // nothing happened to it
  EXPECT_FALSE(this->w_.data()->is_own());
  EXPECT_TRUE(this->w_.diff()->is_own());
  EXPECT_EQ(TypeParam(-1), had[4]);
  // The next step finds where the weights lie now.
  this->BeginStep();
  const UpdateStep<TypeParam> step = {1, 1};
  this->update_->EndStep(step);
  EXPECT_EQ(TypeParam(7 - 1.75), this->w_.cpu_data()[4]);
  EXPECT_EQ(TypeParam(7 - 1.75), memory[4]);
}

// Within a step diff is the gradient so far, zeros where there is none, and
// what others add to it counts.
TYPED_TEST(PendingParameterTest, TestGradientWithinAStep) {
  this->TwoSteps();
  Poison(this->RawDiff() + 8, 4);
  this->BeginStep();
  const TypeParam* gradient = this->w_.cpu_diff();
  for (int i = 0; i < 12; ++i) {
    EXPECT_EQ(TypeParam(i / 4 == 1), gradient[i]);
  }
  this->w_.mutable_cpu_diff()[0] = 3;
  EXPECT_TRUE(this->update_->ClaimGradient(vector<int>(1, 2)) == Claim::ADD);
  EXPECT_EQ(9 + 4, this->update_->SumSquares());
  const UpdateStep<TypeParam> step = {1, 1};
  this->update_->EndStep(step);
  EXPECT_EQ(TypeParam(-3), this->w_.cpu_data()[0]);
  EXPECT_EQ(TypeParam(-2.5 - 1.75), this->w_.cpu_data()[4]);
}

// What a step that did not end had of gradients is there until the next begins.
TYPED_TEST(PendingParameterTest, TestStepThatDoesNotEnd) {
  this->TwoSteps();
  this->BeginStep();
  EXPECT_EQ(TypeParam(-2.5), this->w_.cpu_data()[4]);
  EXPECT_EQ(TypeParam(1), this->w_.cpu_diff()[4]);
  EXPECT_EQ(TypeParam(0), this->w_.cpu_diff()[0]);
  this->update_->BeginStep(false);
  const UpdateStep<TypeParam> step = {1, 1};
  this->update_->EndStep(step);
  EXPECT_EQ(TypeParam(-2.5 - 0.75), this->w_.cpu_data()[4]);
}

TYPED_TEST(PendingParameterTest, TestOtherThreads) {
  this->TwoSteps();
  TypeParam within = 0, after = 0;
  this->thread_.Begin();
  std::thread([&] { within = this->w_.cpu_data()[4]; }).join();
  EXPECT_EQ(TypeParam(-1), within);  // as it lies there
  this->thread_.End();
  std::thread([&] { after = this->w_.cpu_data()[4]; }).join();
  EXPECT_EQ(TypeParam(-2.5), after);
  this->thread_.Begin();
  this->TwoSteps();
  EXPECT_EQ(TypeParam(-2.5 - 1.75 - 1.875), this->w_.cpu_data()[4]);
  this->thread_.End();
}

// Two of the same memory: each finds what the other one has left.
TYPED_TEST(PendingParameterTest, TestTakesOver) {
  const UpdateRule<TypeParam> rule = {1, 0, false, 0};
  LazyParameter<TypeParam> update(&this->w_, &this->h_, rule);
  StepThread thread;
  PendingParameter<TypeParam> second(
      ParameterMemory(this->w_, this->h_, static_cast<Blob<TypeParam>*>(NULL)),
      &update, &thread);
  this->TwoSteps();
  second.Guard();
  EXPECT_EQ(TypeParam(-2.5), this->Raw());
  update.BeginStep(false);
  const UpdateStep<TypeParam> step = {1, 1};
  update.EndStep(step);
  this->pending_->Guard();
  this->TwoSteps();
  EXPECT_EQ(TypeParam(-2.5 - 1 - 1.5), this->w_.cpu_data()[4]);
}

TYPED_TEST(PendingParameterTest, TestNothingIsPendingAfterItsEnd) {
  this->TwoSteps();
  this->pending_.reset();
  this->update_.reset();
  EXPECT_TRUE(this->w_.data()->pending() == NULL);
  EXPECT_TRUE(this->h_.data()->pending() == NULL);
  EXPECT_EQ(TypeParam(-2.5), this->w_.cpu_data()[4]);
  EXPECT_EQ(TypeParam(1.5), this->w_.cpu_diff()[4]);
}

}  // namespace caffe
