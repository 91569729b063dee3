#include <string>
#include <vector>

#include "caffe/approx_dropout/math/parallel.hpp"
#include "caffe/blob.hpp"
#include "caffe/common.hpp"
#include "caffe/layers/approx_dropout_convolution_layer.hpp"
#include "caffe/test/test_approx_dropout_convolution_util.hpp"
#include "caffe/test/test_caffe_main.hpp"
#include "caffe/test/test_gradient_check_util.hpp"
#include "gtest/gtest.h"

namespace caffe {

template <typename TypeParam>
class ApproxDropoutConvolutionLayerTest : public MultiDeviceTest<TypeParam> {
 protected:
  typedef typename TypeParam::Dtype Dtype;

  ApproxDropoutConvolutionLayerTest() { Caffe::set_random_seed(1701); }

  void ShapeInput(const ConvolutionCase& c, int channels) {
    x_.Reshape(c.images, channels, c.height, c.width);
  }

  // Sets the layer up as a net does, with undrawn patterns and all channels.
  void SetUpLayer(const ConvolutionCase& c) {
    bottom_.assign(1, &x_);
    top_.assign(1, &y_);
    ShapeInput(c, c.inputs);
    if (!c.output.none()) {
      WriteUndrawn(c.output.groups.size(), c.output.period, &out_pattern_);
      bottom_.push_back(&out_pattern_);
    }
    if (!c.input.none()) {
      WriteUndrawn(c.input.groups.size(), c.input.period, &in_pattern_);
      bottom_.push_back(&in_pattern_);
    }
    layer_.reset(new ApproxDropoutConvolutionLayer<Dtype>(ConvolutionParam(c)));
    layer_->SetUp(bottom_, top_);
    EXPECT_EQ(y_.shape(1), c.outputs);
  }

  void Draw(const ConvolutionCase& c, double scale) {
    if (!c.output.none()) {
      WritePattern(c.output, scale, &out_pattern_);
    }
    if (!c.input.none()) {
      WritePattern(c.input, 1, &in_pattern_);
    }
    ShapeInput(c, c.input.kept_units(c.inputs, 0, c.images).size());
    FillGaussian(&x_);
    layer_->Reshape(bottom_, top_);
  }

  // A forward and a backward pass whose outputs were not a number before.
  // Parameter gradients are added to 2.
  void Pass() {
    Poison(y_.mutable_cpu_data(), y_.count());
    layer_->Forward(bottom_, top_);
    dy_.ReshapeLike(y_);
    FillGaussian(&dy_);
    std::copy(
        dy_.cpu_data(), dy_.cpu_data() + y_.count(), y_.mutable_cpu_diff());
    Poison(x_.mutable_cpu_diff(), x_.count());
    for (int i = 0; i < layer_->blobs().size(); ++i) {
      caffe_set(layer_->blobs()[i]->count(), Dtype(2),
          layer_->blobs()[i]->mutable_cpu_diff());
    }
    layer_->Backward(top_, vector<bool>(bottom_.size(), true), bottom_);
  }

  // values o keep * factor, of channels.
  static vector<double> Masked(const TestPattern& pattern, int images,
      int channels, double factor, vector<double> values) {
    const int size = values.size() / images / channels;
    for (size_t i = 0; i < values.size(); ++i) {
      const int channel = i / size % channels;
      const bool kept = pattern.keeps(channel, i / size / channels, images);
      values[i] = kept ? factor * values[i] : 0;
    }
    return values;
  }

  static void ExpectAll(const vector<double>& expected,
      const vector<double>& size, const vector<double>& actual,
      const char* what) {
    ASSERT_EQ(expected.size(), actual.size());
    for (int i = 0; i < expected.size(); ++i) {
      ExpectNear(expected[i], Dtype(actual[i]), size[i], what, i);
      if (size[i] == 0) {
        EXPECT_EQ(actual[i], 0) << what << " at " << i;
      }
    }
  }

  vector<double> Minus2(const Blob<Dtype>& blob) {
    vector<double> values = ToDouble(blob.cpu_diff(), blob.count());
    for (size_t i = 0; i < values.size(); ++i) {
      values[i] -= 2;
    }
    return values;
  }

  // Stock Convolution of zeros where channels are dropped, its outputs masked.
  void CheckCase(const ConvolutionCase& c) {
    const double scale = c.output.none() ? 1 : 1.75;
    Draw(c, scale);
    Pass();
    const TestPattern& stored = c.compact_output ? c.output : kNone;
    const int in_size = c.height * c.width;
    const int out_size = y_.count(2);
    const vector<double> x =
        ExpandChannels(c.input, c.images, c.inputs, in_size, x_.cpu_data());
    const vector<double> dy = Masked(c.output, c.images, c.outputs, scale,
        ExpandChannels(stored, c.images, c.outputs, out_size, y_.cpu_diff()));
    const vector<int> shape = {c.images, c.inputs, c.height, c.width};
    vector<double> y[2], dx[2], gradients[2][2];
    const Caffe::Brew mode = Caffe::mode();
    for (int size = 0; size < 2; ++size) {
      StockConvolution stock(
          layer_->layer_param(), shape, layer_->blobs(), size);
      y[size] = Masked(c.output, c.images, c.outputs, scale, stock.Forward(x));
      dx[size] = Masked(c.input, c.images, c.inputs, 1, stock.Backward(dy));
      for (int i = 0; i < layer_->blobs().size(); ++i) {
        gradients[size][i] = stock.gradient(i);
      }
    }
    Caffe::set_mode(mode);
    ExpectAll(y[0], y[1],
        ExpandChannels(stored, c.images, c.outputs, out_size, y_.cpu_data()),
        "y");
    ExpectAll(dx[0], dx[1],
        ExpandChannels(c.input, c.images, c.inputs, in_size, x_.cpu_diff()),
        "dx");
    const char* const kNames[] = {"dW", "db"};
    for (int i = 0; i < layer_->blobs().size(); ++i) {
      ExpectAll(gradients[0][i], gradients[1][i], Minus2(*layer_->blobs()[i]),
          kNames[i]);
    }
  }

  Blob<Dtype> x_, y_, dy_, out_pattern_, in_pattern_;
  vector<Blob<Dtype>*> bottom_, top_;
  shared_ptr<ApproxDropoutConvolutionLayer<Dtype> > layer_;
};

TYPED_TEST_CASE(ApproxDropoutConvolutionLayerTest, TestDtypesAndDevices);

TYPED_TEST(ApproxDropoutConvolutionLayerTest, TestAgainstMaskedConvolution) {
  const vector<ConvolutionCase> cases = ConvolutionCases();
  for (int i = 0; i < cases.size(); ++i) {
    SCOPED_TRACE(testing::Message() << "case " << i);
    this->SetUpLayer(cases[i]);
    this->CheckCase(cases[i]);
  }
}

// A layer meets a new pattern every pass: nothing may stay from the last.
TYPED_TEST(ApproxDropoutConvolutionLayerTest, TestPatternsInTurn) {
  ConvolutionCase c = {6, 10, 5, 4, 16, "kernel_size: 3 pad: 1",
      MakePattern(8, 3), MakePattern(5, 2), true, true};
  this->SetUpLayer(c);
  const int kKept[] = {3, 8, 1, 6};
  for (int i = 0; i < 4; ++i) {
    SCOPED_TRACE(testing::Message() << "pass " << i);
    // Everything kept at once, one group, several.
    c.output = MakePattern(8, kKept[i], i == 3 ? 3 : 1);
    c.input = MakePattern(5, i == 1 ? 5 : 1 + i);
    // Images may become more or fewer, and other in size.
    c.images = i == 2 ? 9 : 6;
    c.height = 5 + i;
    this->CheckCase(c);
  }
}

// Threads share out the images; here they also share the sum of their weights'
// gradients. With two groups of images that is the sum of all weights.
TYPED_TEST(ApproxDropoutConvolutionLayerTest, TestWeightsThatThreadsShare) {
  EXPECT_GT(128 * 16 * 9, kParallelElements);
  EXPECT_GT(64 * 32 * 9, kParallelElements);
  const ConvolutionCase kCases[] = {
      {5, 32, 4, 5, 256, "kernel_size: 3 pad: 1", MakePattern(4, 2),
          MakePattern(4, 2), true, true},
      {6, 32, 4, 4, 64, "kernel_size: 3 pad: 1", MakePattern(4, 2, 2),
          MakePattern(4, 2, 3), false, true}};
  for (int i = 0; i < 2; ++i) {
    SCOPED_TRACE(testing::Message() << "case " << i);
    this->SetUpLayer(kCases[i]);
    this->CheckCase(kCases[i]);
  }
}

TYPED_TEST(ApproxDropoutConvolutionLayerTest, TestGradient) {
  typedef typename TypeParam::Dtype Dtype;
  const TestPattern half = MakePattern(2, 1);
  const ConvolutionCase kCases[] = {
      {2, 2, 3, 4, 4, "kernel_size: 3 pad: 1", half, kNone, true, true},
      {2, 4, 3, 3, 2, "kernel_size: 2 stride: 2 pad: 1", half, half, false,
          true},
      {2, 4, 4, 3, 4, "kernel_size: 2 dilation: 2 group: 2",
          MakePattern(2, 1, 2), MakePattern(2, 1, 2), true, true},
      {2, 4, 2, 2, 3, "kernel_size: 1", kNone, half, false, false}};
  for (int i = 0; i < 4; ++i) {
    SCOPED_TRACE(testing::Message() << "case " << i);
    this->SetUpLayer(kCases[i]);
    this->Draw(kCases[i], 1.25);
    GradientChecker<Dtype> checker(1e-2, 1e-3);
    for (int j = 0; j < this->y_.count(); ++j) {
      checker.CheckGradientSingle(
          this->layer_.get(), this->bottom_, this->top_, 0, 0, j);
    }
  }
}

TYPED_TEST(ApproxDropoutConvolutionLayerTest, TestNoImages) {
  typedef typename TypeParam::Dtype Dtype;
  const ConvolutionCase c = {4, 8, 6, 6, 8, "kernel_size: 3 pad: 1",
      MakePattern(4, 2, 2), MakePattern(4, 3), true, true};
  this->SetUpLayer(c);
  this->Draw(c, 1.5);
  CheckNoSamples<Dtype>(this->layer_.get(), this->bottom_, this->top_);
}

// Not all gradients are wanted: those that are do not change.
TYPED_TEST(ApproxDropoutConvolutionLayerTest, TestSomeGradients) {
  typedef typename TypeParam::Dtype Dtype;
  const ConvolutionCase c = {4, 8, 6, 6, 8, "kernel_size: 3 pad: 1",
      MakePattern(4, 2, 2), MakePattern(4, 3), true, true};
  this->SetUpLayer(c);
  EXPECT_TRUE(this->layer_->AllowForceBackward(0));
  EXPECT_FALSE(this->layer_->AllowForceBackward(1));
  EXPECT_FALSE(this->layer_->AllowForceBackward(2));
  this->Draw(c, 1.5);
  this->Pass();
  vector<double> all[3];
  Blob<Dtype>* const blobs[] = {&this->x_, this->layer_->blobs()[0].get(),
      this->layer_->blobs()[1].get()};
  for (int b = 0; b < 3; ++b) {
    all[b] = ToDouble(blobs[b]->cpu_diff(), blobs[b]->count());
  }
  for (int one = 0; one < 3; ++one) {
    for (int b = 0; b < 3; ++b) {
      caffe_set(blobs[b]->count(), Dtype(2), blobs[b]->mutable_cpu_diff());
    }
    this->layer_->set_param_propagate_down(0, one == 1);
    this->layer_->set_param_propagate_down(1, one == 2);
    this->layer_->Backward(
        this->top_, vector<bool>(3, one == 0), this->bottom_);
    for (int b = 0; b < 3; ++b) {
      EXPECT_EQ(b == one ? all[b] : vector<double>(blobs[b]->count(), 2),
          ToDouble(blobs[b]->cpu_diff(), blobs[b]->count()))
          << b;
    }
  }
}

template <typename Dtype>
class ApproxDropoutConvolutionLayerDeathTest
    : public ApproxDropoutConvolutionLayerTest<CPUDevice<Dtype> > {};

TYPED_TEST_CASE(ApproxDropoutConvolutionLayerDeathTest, TestDtypes);

TYPED_TEST(ApproxDropoutConvolutionLayerDeathTest, TestBadPatterns) {
  const TestPattern half = MakePattern(4, 2);
  ConvolutionCase c = {
      4, 12, 5, 5, 3, "kernel_size: 3", half, kNone, true, true};
  EXPECT_DEATH(this->SetUpLayer(c), "'conv'.* N = 4.*only 3 units");
  c.outputs = 12;
  c.inputs = 2;
  c.input = half;
  EXPECT_DEATH(this->SetUpLayer(c), "'conv'.* N = 4.*only 2 units");
  c.inputs = 12;
  c.param = "kernel_size: 3 group: 2";
  EXPECT_DEATH(this->SetUpLayer(c),
      "'conv': with group: 2 each group of its "
      "output has 6 channels, which the pattern's period, 4, must divide");
  c.outputs = 8;
  EXPECT_DEATH(this->SetUpLayer(c), "each group of its input has 6 channels");
  // PERIOD's next draw may be another period.
  c.inputs = 8;
  this->SetUpLayer(c);
  c.input = MakePattern(3, 1);
  EXPECT_DEATH(this->Draw(c, 1), "its input has 4 channels.*period, 3, must");
  c.param = "kernel_size: 3";
  c.output = MakePattern(4, 2, 3);
  EXPECT_DEATH(this->SetUpLayer(c), "groups: 3, which must divide the 4");
}

TYPED_TEST(ApproxDropoutConvolutionLayerDeathTest, TestBadInput) {
  const TestPattern half = MakePattern(4, 2);
  const ConvolutionCase c = {
      4, 8, 5, 5, 8, "kernel_size: 3", half, half, true, true};
  this->SetUpLayer(c);
  LayerParameter param = this->layer_->layer_param();
  const auto set_up = [&](const LayerParameter& wrong) {
    ApproxDropoutConvolutionLayer<TypeParam> layer(wrong);
    layer.SetUp(this->bottom_, this->top_);
  };
  param.mutable_approx_dropout_param()->set_recurrent(true);
  EXPECT_DEATH(set_up(param), "'conv': recurrent: true is for ApproxDropoutL");
  param = this->layer_->layer_param();
  param.mutable_approx_dropout_param()->set_pattern(
      ApproxDropoutParameter::TILE);
  EXPECT_DEATH(set_up(param), "'conv': pattern: TILE is for inner products");
  param = this->layer_->layer_param();
  param.mutable_convolution_param()->set_axis(2);
  EXPECT_DEATH(set_up(param), "'conv': convolves images.* and axis: 2");
  param = this->layer_->layer_param();
  this->x_.Reshape(vector<int>({4, 8, 5, 5, 5}));
  EXPECT_DEATH(set_up(param),
      "'conv': convolves images, .images x channels x "
      "height x width. with axis: 1, but its input has shape 4 8 5 5 5");
  this->x_.Reshape(4, 8, 5, 5);
  const auto set_up_with = [&](const string& text) {
    LayerParameter wrong = param;
    CHECK(google::protobuf::TextFormat::MergeFromString(
        "convolution_param {" + text + "}", &wrong));
    set_up(wrong);
  };
  EXPECT_DEATH(set_up_with("group: 0"), "'conv': group must be from 1 to");
  EXPECT_DEATH(set_up_with("stride_h: 1"),
      "'conv': stride and dilation are 0 and 1; they must be 1 or more");
  EXPECT_DEATH(set_up_with("dilation: 4294967295"), "'conv': stride and .* -1");
  EXPECT_DEATH(set_up_with("pad: 2147483647"),
      "'conv': pad is 2147483647; its input of 5 leaves room for 0 to 10737");
  EXPECT_DEATH(set_up_with("dilation: 1073741824"), "'conv': the kernel, dil");
  this->x_.Reshape(4, 8, 2, 5);
  EXPECT_DEATH(set_up(param),
      "'conv': the kernel, dilation included, is "
      "larger than its input of shape 4 8 2 5");
  this->Draw(c, 1);
  this->x_.Reshape(4, 5, 5, 5);
  EXPECT_DEATH(this->layer_->Reshape(this->bottom_, this->top_),
      "'conv': its "
      "input has 5 channels; the input's pattern keeps 4 of 8");
}

}  // namespace caffe
