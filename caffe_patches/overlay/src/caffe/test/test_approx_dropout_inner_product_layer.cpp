#include <string>
#include <vector>

#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"

#include "caffe/blob.hpp"
#include "caffe/common.hpp"
#include "caffe/layers/approx_dropout_inner_product_layer.hpp"
#include "caffe/layers/inner_product_layer.hpp"

#include "caffe/test/test_approx_dropout_inner_product_util.hpp"
#include "caffe/test/test_approx_dropout_util.hpp"
#include "caffe/test/test_caffe_main.hpp"
#include "caffe/test/test_gradient_check_util.hpp"

namespace caffe {

template <typename TypeParam>
class ApproxDropoutInnerProductLayerTest : public MultiDeviceTest<TypeParam> {
 protected:
  typedef typename TypeParam::Dtype Dtype;

  ApproxDropoutInnerProductLayerTest() { Caffe::set_random_seed(1701); }

  LayerParameter Param(const ProductCase& c) {
    std::ostringstream text;
    text << "name: 'fc' type: 'ApproxDropoutInnerProduct' "
        << "inner_product_param { num_output: " << c.outputs
        << " bias_term: " << (c.bias ? "true" : "false")
        << " axis: " << (c.outer ? 2 : 1)
        << " weight_filler { type: 'gaussian' }"
        << " bias_filler { type: 'gaussian' } } "
        << "approx_dropout_param { pattern: " << c.pattern
        << " tile_size: " << c.tile_size
        << " compact_input: " << (c.input.none() ? "false" : "true")
        << " compact_output: " << (c.compact_output ? "true" : "false") << "}";
    LayerParameter param;
    CHECK(google::protobuf::TextFormat::ParseFromString(text.str(), &param));
    return param;
  }

  void ShapeInput(const ProductCase& c, int units) {
    vector<int> shape;
    if (c.outer) { shape.push_back(c.outer); }
    shape.push_back(c.samples);
    shape.push_back(units);
    x_.Reshape(shape);
  }

  // Sets the layer up as a net does, with undrawn patterns and all units.
  void SetUpLayer(const ProductCase& c) {
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
    layer_.reset(new ApproxDropoutInnerProductLayer<Dtype>(Param(c)));
    layer_->SetUp(bottom_, top_);
    EXPECT_EQ(y_.shape(-1), c.outputs);
  }

  void Draw(const ProductCase& c, double scale) {
    if (!c.output.none()) { WritePattern(c.output, scale, &out_pattern_); }
    if (!c.input.none()) { WritePattern(c.input, 1, &in_pattern_); }
    ShapeInput(c, c.input.kept_units(c.inputs, 0, c.samples).size());
    FillGaussian(&x_);
    layer_->Reshape(bottom_, top_);
  }

  void ExpectAll(const vector<double>& expected, const vector<double>& size,
      const vector<double>& actual, const char* what) {
    ASSERT_EQ(expected.size(), actual.size());
    for (int i = 0; i < expected.size(); ++i) {
      ExpectNear(expected[i], Dtype(actual[i]), size[i], what, i);
      if (size[i] == 0) { EXPECT_EQ(actual[i], 0) << what << " at " << i; }
    }
  }

  void CheckCase(const ProductCase& c) {
    const double scale = c.output.none() ? 1 : 1.75;
    SetUpLayer(c);
    Draw(c, scale);
    const int rows = y_.count() / y_.shape(-1);
    Poison(y_.mutable_cpu_data(), y_.count());
    layer_->Forward(bottom_, top_);
    FillGaussian(&dy_like(y_));
    std::copy(dy_.cpu_data(), dy_.cpu_data() + y_.count(),
        y_.mutable_cpu_diff());
    Poison(x_.mutable_cpu_diff(), x_.count());
    // Parameter gradients are added to.
    for (int i = 0; i < layer_->blobs().size(); ++i) {
      caffe_set(layer_->blobs()[i]->count(), Dtype(2),
          layer_->blobs()[i]->mutable_cpu_diff());
    }
    layer_->Backward(top_, vector<bool>(bottom_.size(), true), bottom_);

    const TestPattern& stored = c.compact_output ? c.output : kNone;
    const vector<double> x = ExpandUnits(c.input, rows, c.samples, c.inputs,
        x_.cpu_data());
    const vector<double> dy = ExpandUnits(stored, rows, c.samples, c.outputs,
        y_.cpu_diff());
    ProductOracle oracle;
    RunOracle(c, scale, x, layer_->blobs()[0]->cpu_data(),
        c.bias ? layer_->blobs()[1]->cpu_data() : NULL, dy, &oracle);
    ExpectAll(oracle.y, oracle.y_size, ExpandUnits(stored, rows, c.samples,
        c.outputs, y_.cpu_data()), "y");
    const vector<double> dx = ExpandUnits(c.input, rows, c.samples, c.inputs,
        x_.cpu_diff());
    if (!c.input.none()) {  // the oracle knows the gradient of zeros too
      for (int i = 0; i < dx.size(); ++i) {
        if (!c.input.keeps(i % c.inputs, i / c.inputs, c.samples)) {
          oracle.dx[i] = oracle.dx_size[i] = 0;
        }
      }
    }
    ExpectAll(oracle.dx, oracle.dx_size, dx, "dx");
    ExpectAll(oracle.dw, oracle.dw_size, Minus2(*layer_->blobs()[0]), "dW");
    if (c.bias) {
      ExpectAll(oracle.db, oracle.db_size, Minus2(*layer_->blobs()[1]), "db");
    }
  }

  Blob<Dtype>& dy_like(const Blob<Dtype>& y) {
    dy_.ReshapeLike(y);
    return dy_;
  }

  vector<double> Minus2(const Blob<Dtype>& blob) {
    vector<double> values(blob.count());
    for (int i = 0; i < blob.count(); ++i) {
      values[i] = static_cast<double>(blob.cpu_diff()[i]) - 2;
      // What was not touched still is exactly 2.
    }
    return values;
  }

  Blob<Dtype> x_, y_, dy_, out_pattern_, in_pattern_;
  vector<Blob<Dtype>*> bottom_, top_;
  shared_ptr<ApproxDropoutInnerProductLayer<Dtype> > layer_;
};

TYPED_TEST_CASE(ApproxDropoutInnerProductLayerTest, TestDtypesAndDevices);

TYPED_TEST(ApproxDropoutInnerProductLayerTest, TestAgainstMaskedProduct) {
  const vector<ProductCase> cases = ProductCases();
  for (int i = 0; i < cases.size(); ++i) {
    SCOPED_TRACE(testing::Message() << "case " << i);
    this->CheckCase(cases[i]);
  }
}

// A layer meets a new pattern every pass: nothing may stay from the last.
TYPED_TEST(ApproxDropoutInnerProductLayerTest, TestPatternsInTurn) {
  ProductCase c = {"ROW", 0, 4, 20, 24, 32, MakePattern(8, 3),
      MakePattern(5, 2), true, true};
  this->SetUpLayer(c);
  const int kKept[] = {3, 8, 1, 6};
  for (int i = 0; i < 4; ++i) {
    c.output = MakePattern(8, kKept[i]);
    c.input = MakePattern(5, 1 + i);
    this->Draw(c, 1.5);
    Poison(this->y_.mutable_cpu_data(), this->y_.count());
    this->layer_->Forward(this->bottom_, this->top_);
    const vector<double> x = ExpandUnits(c.input, 4, 4, 20,
        this->x_.cpu_data());
    ProductOracle oracle;
    RunOracle(c, 1.5, x, this->layer_->blobs()[0]->cpu_data(),
        this->layer_->blobs()[1]->cpu_data(), vector<double>(96), &oracle);
    this->ExpectAll(oracle.y, oracle.y_size, ExpandUnits(c.output, 4, 4, 24,
        this->y_.cpu_data()), "y");
  }
}

// Undrawn patterns and scale 1: the layer is InnerProduct, but for rounding.
TYPED_TEST(ApproxDropoutInnerProductLayerTest, TestEverythingKeptIsDense) {
  typedef typename TypeParam::Dtype Dtype;
  // cuBLAS may sum in another order: as large as 40 normal products get.
  const double kLargest = Caffe::mode() == Caffe::GPU ? 8 : 1;
  const char* kPatterns[] = {"ROW", "TILE"};
  for (int p = 0; p < 2; ++p) {
    const ProductCase c = {kPatterns[p], 0, 6, 40, 30, 8, MakePattern(4, 2),
        MakePattern(4, 2), false, true};
    this->SetUpLayer(c);
    FillGaussian(&this->x_);
    InnerProductLayer<Dtype> dense(this->layer_->layer_param());
    Blob<Dtype> x(this->x_.shape()), y;
    x.CopyFrom(this->x_);
    vector<Blob<Dtype>*> bottom(1, &x), top(1, &y);
    dense.SetUp(bottom, top);
    for (int i = 0; i < 2; ++i) {
      dense.blobs()[i]->CopyFrom(*this->layer_->blobs()[i]);
      caffe_set(dense.blobs()[i]->count(), Dtype(0),
          dense.blobs()[i]->mutable_cpu_diff());
      caffe_set(dense.blobs()[i]->count(), Dtype(0),
          this->layer_->blobs()[i]->mutable_cpu_diff());
    }
    dense.Forward(bottom, top);
    this->layer_->Forward(this->bottom_, this->top_);
    FillGaussian(&this->y_, true);
    std::copy(this->y_.cpu_diff(), this->y_.cpu_diff() + y.count(),
        y.mutable_cpu_diff());
    dense.Forward(bottom, top);
    this->layer_->Forward(this->bottom_, this->top_);
    dense.Backward(top, vector<bool>(1, true), bottom);
    this->layer_->Backward(this->top_, vector<bool>(3, true), this->bottom_);
    for (int i = 0; i < y.count(); ++i) {
      ExpectNear(y.cpu_data()[i], this->y_.cpu_data()[i], kLargest, "y", i);
    }
    for (int i = 0; i < x.count(); ++i) {
      ExpectNear(x.cpu_diff()[i], this->x_.cpu_diff()[i], kLargest, "dx", i);
    }
    for (int b = 0; b < 2; ++b) {
      for (int i = 0; i < dense.blobs()[b]->count(); ++i) {
        ExpectNear(dense.blobs()[b]->cpu_diff()[i],
            this->layer_->blobs()[b]->cpu_diff()[i], kLargest, "dblob", i);
      }
    }
  }
}

TYPED_TEST(ApproxDropoutInnerProductLayerTest, TestGradient) {
  typedef typename TypeParam::Dtype Dtype;
  const ProductCase kCases[] = {
    {"ROW", 0, 2, 6, 7, 32, MakePattern(3, 2), kNone, true, true},
    {"ROW", 0, 2, 6, 7, 32, MakePattern(3, 1), MakePattern(4, 2), false, true},
    {"ROW", 2, 2, 4, 6, 32, MakePattern(3, 1, 2), MakePattern(2, 1, 2), true,
     true},
    {"NONE", 0, 2, 6, 5, 32, kNone, MakePattern(3, 2), false, true},
    {"TILE", 0, 2, 7, 9, 2, MakePattern(4, 2), kNone, false, true},
    {"TILE", 0, 2, 7, 5, 3, MakePattern(2, 1, 2), MakePattern(7, 3), false,
     false}};
  for (int i = 0; i < sizeof(kCases) / sizeof(ProductCase); ++i) {
    SCOPED_TRACE(testing::Message() << "case " << i);
    this->SetUpLayer(kCases[i]);
    this->Draw(kCases[i], 1.25);
    GradientChecker<Dtype> checker(1e-2, 1e-3);
    for (int j = 0; j < this->y_.count(); ++j) {
      checker.CheckGradientSingle(this->layer_.get(), this->bottom_,
          this->top_, 0, 0, j);
    }
  }
}

// As a layer that proposes regions may find none.
TYPED_TEST(ApproxDropoutInnerProductLayerTest, TestNoSamples) {
  typedef typename TypeParam::Dtype Dtype;
  const ProductCase kCases[] = {
      {"ROW", 0, 4, 12, 16, 32, MakePattern(4, 2, 2), MakePattern(4, 3, 2),
          true, true},
      {"TILE", 0, 4, 64, 64, 8, MakePattern(4, 2), kNone, false, true}};
  for (const ProductCase& c : kCases) {
    this->SetUpLayer(c);
    this->Draw(c, 1.5);
    CheckNoSamples<Dtype>(this->layer_.get(), this->bottom_, this->top_);
  }
}

TYPED_TEST(ApproxDropoutInnerProductLayerTest, TestInitialValues) {
  typedef typename TypeParam::Dtype Dtype;
  const ProductCase c = {"ROW", 0, 4, 12, 16, 32, MakePattern(4, 2), kNone,
      false, true};
  Caffe::set_random_seed(7);
  this->SetUpLayer(c);
  Blob<Dtype> y;
  vector<Blob<Dtype>*> bottom(1, &this->x_), top(1, &y);
  InnerProductLayer<Dtype> dense(this->layer_->layer_param());
  Caffe::set_random_seed(7);
  dense.SetUp(bottom, top);
  for (int b = 0; b < 2; ++b) {
    const Blob<Dtype>& blob = *dense.blobs()[b];
    EXPECT_EQ(ToDouble(blob.cpu_data(), blob.count()),
        ToDouble(this->layer_->blobs()[b]->cpu_data(), blob.count()));
  }
}

TYPED_TEST(ApproxDropoutInnerProductLayerTest, TestOnlyXGetsGradient) {
  const ProductCase c = {"ROW", 0, 2, 6, 8, 32, MakePattern(4, 2),
      MakePattern(3, 2), true, true};
  this->SetUpLayer(c);
  EXPECT_TRUE(this->layer_->AllowForceBackward(0));
  EXPECT_FALSE(this->layer_->AllowForceBackward(1));
  EXPECT_FALSE(this->layer_->AllowForceBackward(2));
  EXPECT_EQ(this->layer_->blobs()[0]->shape_string(), "8 6 (48)");
}

template <typename Dtype>
class ApproxDropoutInnerProductLayerDeathTest
    : public ApproxDropoutInnerProductLayerTest<CPUDevice<Dtype> > {
 protected:
  void SetUpAndDraw(const ProductCase& c) {
    this->SetUpLayer(c);
    this->Draw(c, 1);
  }
};

TYPED_TEST_CASE(ApproxDropoutInnerProductLayerDeathTest, TestDtypes);

TYPED_TEST(ApproxDropoutInnerProductLayerDeathTest, TestBadInput) {
  const TestPattern half = MakePattern(4, 2);
  ProductCase c = {"ROW", 0, 4, 12, 3, 32, half, kNone, true, true};
  EXPECT_DEATH(this->SetUpAndDraw(c), "'fc'.* output has N = 4.*only 3 units");
  c.outputs = 12;
  c.inputs = 2;
  c.input = half;
  EXPECT_DEATH(this->SetUpAndDraw(c), "'fc'.* input has N = 4.*only 2 units");
  const ProductCase tiles = {"TILE", 0, 4, 30, 40, 32, half, kNone, false,
      true};
  EXPECT_DEATH(this->SetUpAndDraw(tiles), "N = 4.*only 2 diagonals of tiles");
  const ProductCase compact = {"TILE", 0, 4, 64, 64, 8, half, kNone, true,
      true};
  EXPECT_DEATH(this->SetUpAndDraw(compact),
      "'fc': compact_output goes with pattern: ROW only, not with TILE");
  const ProductCase groups = {"ROW", 0, 5, 12, 12, 32,
      MakePattern(4, 2, 2), kNone, true, true};
  EXPECT_DEATH(this->SetUpAndDraw(groups),
      "groups: 2, which must divide the 5");
  const ProductCase uneven = {"ROW", 0, 4, 12, 14, 32,
      MakePattern(4, 2, 2), kNone, true, true};
  EXPECT_DEATH(this->SetUpAndDraw(uneven),
      "14 units must be divisible by N = 4");
  const ProductCase turning = {"ROW", 2, 4, 12, 12, 32,
      MakePattern(4, 2, 2), MakePattern(4, 2, 4), true, true};
  EXPECT_DEATH(this->SetUpAndDraw(turning), "'fc': the pattern of its output "
      "has groups: 2, that of its input groups: 4; .*must be the same, or one");
}

// Where everything is kept anyway, any batch can be tested.
TYPED_TEST(ApproxDropoutInnerProductLayerDeathTest, TestGroupsByPhase) {
  const ProductCase c = {"ROW", 0, 4, 12, 12, 32, MakePattern(4, 2, 2), kNone,
      true, true};
  this->SetUpLayer(c);
  LayerParameter param = this->layer_->layer_param();
  this->bottom_[0]->Reshape(vector<int>({5, 12}));
  EXPECT_DEATH(this->layer_->Reshape(this->bottom_, this->top_),
      "'fc'.*groups: 2, which must divide the 5 samples.*; legal: 1 5");
  param.set_phase(TEST);
  ApproxDropoutInnerProductLayer<TypeParam> tested(param);
  tested.SetUp(this->bottom_, this->top_);
  EXPECT_EQ(5, this->top_[0]->shape(0));
  EXPECT_EQ(12, this->top_[0]->shape(1));
}

TYPED_TEST(ApproxDropoutInnerProductLayerDeathTest, TestBadBottoms) {
  const ProductCase c = {"ROW", 0, 4, 12, 12, 32, MakePattern(4, 2), kNone,
      true, true};
  this->SetUpLayer(c);
  LayerParameter param = this->layer_->layer_param();
  param.mutable_approx_dropout_param()->set_compact_input(true);
  ApproxDropoutInnerProductLayer<TypeParam> missing(param);
  EXPECT_DEATH(missing.SetUp(this->bottom_, this->top_),
      "has 2 bottoms; with pattern: ROW and compact_input it takes 3");
  {
    Blob<TypeParam> images(vector<int>({4, 12, 0, 3}));
    vector<Blob<TypeParam>*> bottom(1, &images);
    bottom.resize(3, this->bottom_[1]);
    ApproxDropoutInnerProductLayer<TypeParam> empty(param);
    EXPECT_DEATH(empty.SetUp(bottom, this->top_),
        "'fc': its input of shape 4 12 0 3 .* has no values per channel");
  }
  param = this->layer_->layer_param();
  param.mutable_inner_product_param()->set_transpose(true);
  ApproxDropoutInnerProductLayer<TypeParam> transposed(param);
  EXPECT_DEATH(transposed.SetUp(this->bottom_, this->top_),
      "'fc': transpose: true is not supported");
  param = this->layer_->layer_param();
  param.mutable_approx_dropout_param()->set_recurrent(true);
  ApproxDropoutInnerProductLayer<TypeParam> recurrent(param);
  EXPECT_DEATH(recurrent.SetUp(this->bottom_, this->top_),
      "'fc': recurrent: true is for ApproxDropoutLSTM");
  param = this->layer_->layer_param();
  param.mutable_inner_product_param()->set_num_output(2147483647);
  ApproxDropoutInnerProductLayer<TypeParam> huge(param);
  EXPECT_DEATH(huge.SetUp(this->bottom_, this->top_),
      "'fc': num_output is "
      "2147483647; it must be from 1 to 268435456");
  this->Draw(c, 1);
  this->out_pattern_.mutable_cpu_data()[3] = 7;
  EXPECT_DEATH(this->layer_->Reshape(this->bottom_, this->top_),
      "'fc': residue 1 of a pattern of period 4 is 7");
  this->out_pattern_.mutable_cpu_data()[0] = 0;
  EXPECT_DEATH(this->layer_->Reshape(this->bottom_, this->top_), "scale 0");
}

}  // namespace caffe
