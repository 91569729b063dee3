#include <vector>

#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"

#include "caffe/blob.hpp"
#include "caffe/common.hpp"
#include "caffe/layers/approx_dropout_layer.hpp"

#include "caffe/test/test_approx_dropout_util.hpp"
#include "caffe/test/test_caffe_main.hpp"
#include "caffe/test/test_gradient_check_util.hpp"

namespace caffe {

template <typename TypeParam>
class ApproxDropoutLayerTest : public MultiDeviceTest<TypeParam> {
 protected:
  typedef typename TypeParam::Dtype Dtype;

  void SetUpLayer(const vector<int>& shape, const TestPattern& pattern,
      const string& param) {
    LayerParameter layer_param;
    CHECK(google::protobuf::TextFormat::ParseFromString(
        "name: 'drop' type: 'ApproxDropout' approx_dropout_param {" + param
        + "}", &layer_param));
    x_.Reshape(shape);
    FillGaussian(&x_);
    WriteUndrawn(pattern.groups.size(), pattern.period, &pattern_);
    bottom_.assign(1, &x_);
    bottom_.push_back(&pattern_);
    top_.assign(1, &y_);
    layer_.reset(new ApproxDropoutLayer<Dtype>(layer_param));
    layer_->SetUp(bottom_, top_);
    EXPECT_TRUE(y_.shape() == x_.shape());
    WritePattern(pattern, 2.5, &pattern_);
    layer_->Reshape(bottom_, top_);
  }

  void CheckLayer(const vector<int>& shape, const TestPattern& pattern,
      bool compact) {
    SetUpLayer(shape, pattern, compact ? "compact_output: true" : "");
    const int units = shape.back();
    const int samples = shape.size() > 1 ? shape[shape.size() - 2] : 1;
    Poison(y_.mutable_cpu_data(), y_.count());
    layer_->Forward(bottom_, top_);
    dy_.ReshapeLike(y_);
    FillGaussian(&dy_);
    std::copy(dy_.cpu_data(), dy_.cpu_data() + y_.count(),
        y_.mutable_cpu_diff());
    Poison(x_.mutable_cpu_diff(), x_.count());
    layer_->Backward(top_, vector<bool>(2, true), bottom_);
    int at = 0;
    for (int i = 0; i < x_.count(); ++i) {
      const bool kept = pattern.keeps(i % units, i / units, samples);
      EXPECT_EQ(x_.cpu_diff()[i],
          kept ? Dtype(2.5) * y_.cpu_diff()[at] : Dtype(0));
      if (kept || !compact) {
        EXPECT_EQ(y_.cpu_data()[at],
            kept ? Dtype(2.5) * x_.cpu_data()[i] : Dtype(0));
        ++at;
      }
    }
    EXPECT_EQ(at, y_.count());
  }

  Blob<Dtype> x_, y_, dy_, pattern_;
  vector<Blob<Dtype>*> bottom_, top_;
  shared_ptr<ApproxDropoutLayer<Dtype> > layer_;
};

TYPED_TEST_CASE(ApproxDropoutLayerTest, TestDtypesAndDevices);

TYPED_TEST(ApproxDropoutLayerTest, TestKeepsAndScales) {
  const int kShape[] = {3, 6, 20};
  const vector<int> cube(kShape, kShape + 3);
  const int kOdd[] = {5, 37};
  const vector<int> odd(kOdd, kOdd + 2);
  const int kShared[] = {120, 301};  // out to threads
  const vector<int> shared(kShared, kShared + 2);
  for (int compact = 0; compact < 2; ++compact) {
    this->CheckLayer(cube, MakePattern(4, 2, 3), compact);
    this->CheckLayer(cube, MakePattern(5, 2), compact);
    this->CheckLayer(odd, MakePattern(16, 9), compact);
    this->CheckLayer(odd, MakePattern(7, 1), compact);
    this->CheckLayer(odd, MakePattern(3, 3), compact);
    this->CheckLayer(shared, MakePattern(16, 9), compact);
    this->CheckLayer(vector<int>(1, 10), MakePattern(4, 1), compact);
  }
}

TYPED_TEST(ApproxDropoutLayerTest, TestGradient) {
  typedef typename TypeParam::Dtype Dtype;
  const int kShape[] = {4, 6};
  this->SetUpLayer(vector<int>(kShape, kShape + 2), MakePattern(3, 2, 2),
      "compact_output: true");
  GradientChecker<Dtype> checker(1e-2, 1e-3);
  for (int i = 0; i < this->y_.count(); ++i) {
    checker.CheckGradientSingle(this->layer_.get(), this->bottom_, this->top_,
        0, 0, i);
  }
}

template <typename Dtype>
class ApproxDropoutLayerDeathTest
    : public ApproxDropoutLayerTest<CPUDevice<Dtype> > {};

TYPED_TEST_CASE(ApproxDropoutLayerDeathTest, TestDtypes);

TYPED_TEST(ApproxDropoutLayerDeathTest, TestBadInput) {
  const vector<int> shape(2, 6);
  EXPECT_DEATH(this->SetUpLayer(shape, MakePattern(3, 2), "pattern: TILE"),
      "'drop': drops units of its input; .*compact_output only");
  EXPECT_DEATH(this->SetUpLayer(shape, MakePattern(8, 2), ""),
      "'drop'.* N = 8.*only 6 units");
  EXPECT_DEATH(this->SetUpLayer(shape, MakePattern(3, 2, 4), ""),
      "groups: 4, which must divide the 6");
}

}  // namespace caffe
