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

  // axis: of the units; given says whether the layer is told.
  void CheckLayer(const vector<int>& shape, const TestPattern& pattern,
      bool compact, int axis, bool given = false) {
    std::ostringstream param;
    param << "compact_output: " << (compact ? "true" : "false");
    if (given) {
      param << " unit_axis: " << axis;
    }
    SetUpLayer(shape, pattern, param.str());
    axis = x_.CanonicalAxisIndex(axis);
    const int units = shape[axis];
    const int width = x_.count(axis + 1);
    const int samples = axis > 0 ? shape[axis - 1] : 1;
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
      const bool kept =
          pattern.keeps(i / width % units, i / width / units, samples);
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
  const vector<int> shared = {120, 301};  // out to threads
  const vector<int> images = {6, 8, 3, 5};
  for (int compact = 0; compact < 2; ++compact) {
    this->CheckLayer(cube, MakePattern(4, 2, 3), compact, -1);
    this->CheckLayer(cube, MakePattern(5, 2), compact, -1);
    this->CheckLayer(odd, MakePattern(16, 9), compact, -1);
    this->CheckLayer(odd, MakePattern(7, 1), compact, -1);
    this->CheckLayer(odd, MakePattern(3, 3), compact, -1);
    this->CheckLayer(shared, MakePattern(16, 9), compact, -1);
    this->CheckLayer(vector<int>(1, 10), MakePattern(4, 1), compact, -1);
    // Channels of images, and other axes.
    this->CheckLayer(images, MakePattern(4, 2, 3), compact, 1);
    this->CheckLayer({6, 7, 3, 4}, MakePattern(5, 3), compact, 1);
    this->CheckLayer({3, 2, 2, 4, 9}, MakePattern(4, 2), compact, 4);
    this->CheckLayer(images, MakePattern(5, 2), compact, 3, true);
    this->CheckLayer(images, MakePattern(3, 1, 4), compact, -2, true);
    this->CheckLayer(images, MakePattern(6, 4), compact, 0, true);
    this->CheckLayer(cube, MakePattern(3, 2, 3), compact, 1, true);
  }
}

TYPED_TEST(ApproxDropoutLayerTest, TestNoSamples) {
  typedef typename TypeParam::Dtype Dtype;
  this->SetUpLayer({6, 8, 3, 5}, MakePattern(4, 2, 3), "compact_output: true");
  CheckNoSamples<Dtype>(this->layer_.get(), this->bottom_, this->top_);
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
      "'drop': drops units of its input; .*compact_output and unit_axis only");
  EXPECT_DEATH(this->SetUpLayer(shape, MakePattern(8, 2), ""),
      "'drop'.* N = 8.*only 6 units");
  EXPECT_DEATH(this->SetUpLayer(shape, MakePattern(3, 2, 4), ""),
      "groups: 4, which must divide the 6");
  EXPECT_DEATH(this->SetUpLayer(shape, MakePattern(3, 2), "unit_axis: 2"),
      "'drop': unit_axis is 2; its input of shape 6 6 .36. has axes -2 to 1");
}

}  // namespace caffe
