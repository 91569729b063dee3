#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"

#include "caffe/blob.hpp"
#include "caffe/common.hpp"
#include "caffe/layers/approx_dropout_lstm_layer.hpp"
#include "caffe/layers/lstm_layer.hpp"

#include "caffe/test/test_approx_dropout_lstm_util.hpp"
#include "caffe/test/test_approx_dropout_util.hpp"
#include "caffe/test/test_caffe_main.hpp"
#include "caffe/test/test_gradient_check_util.hpp"

namespace caffe {

namespace {

template <typename Dtype>
vector<double> ToDouble(const Dtype* data, int count) {
  return vector<double>(data, data + count);
}

// full[row][kept unit] = stored[row][place], zero elsewhere.
template <typename Dtype>
vector<double> ExpandUnits(const TestPattern& pattern, int rows, int samples,
    int units, const Dtype* stored) {
  vector<double> full(rows * units);
  for (int row = 0; row < rows; ++row) {
    const vector<int> kept = pattern.kept_units(units, row % samples, samples);
    for (int j = 0; j < kept.size(); ++j) {
      full[row * units + kept[j]] = stored[row * kept.size() + j];
    }
  }
  return full;
}

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

template <typename TypeParam>
class ApproxDropoutLSTMLayerTest : public MultiDeviceTest<TypeParam> {
 protected:
  typedef typename TypeParam::Dtype Dtype;

  ApproxDropoutLSTMLayerTest() { Caffe::set_random_seed(1701); }

  LayerParameter Param(const LSTMCase& c) {
    std::ostringstream text;
    text << "name: 'lstm' type: 'ApproxDropoutLSTM' "
        << "recurrent_param { num_output: " << c.units
        << " weight_filler { type: 'gaussian' std: 0.4 }"
        << " bias_filler { type: 'gaussian' std: 0.2 } } "
        << "approx_dropout_param { pattern: " << c.pattern
        << " tile_size: " << c.tile_size
        << " recurrent: " << (c.recurrent ? "true" : "false")
        << " compact_input: " << (c.input.none() ? "false" : "true")
        << " compact_output: " << (c.compact_output ? "true" : "false") << "}";
    LayerParameter param;
    CHECK(google::protobuf::TextFormat::ParseFromString(text.str(), &param));
    return param;
  }

  void ShapeInput(int steps, int samples, int units) {
    vector<int> shape(2, steps);
    shape[1] = samples;
    cont_.Reshape(shape);
    shape.push_back(units);
    x_.Reshape(shape);
  }

  // Sets the layer up as a net does, with undrawn patterns and all units.
  void SetUpLayer(const LSTMCase& c,
      ApproxDropoutLSTMLayer<Dtype>* layer = NULL) {
    bottom_.assign(1, &x_);
    bottom_.push_back(&cont_);
    top_.assign(1, &y_);
    ShapeInput(c.steps, c.samples, c.inputs);
    if (!c.output.none()) {
      WriteUndrawn(c.output.groups.size(), c.output.period, &out_pattern_);
      bottom_.push_back(&out_pattern_);
    }
    if (!c.input.none()) {
      WriteUndrawn(c.input.groups.size(), c.input.period, &in_pattern_);
      bottom_.push_back(&in_pattern_);
    }
    layer_.reset(layer ? layer : new ApproxDropoutLSTMLayer<Dtype>(Param(c)));
    layer_->SetUp(bottom_, top_);
    EXPECT_EQ(y_.shape(-1), c.units);
  }

  // first: cont of the first step; later ones are 0 here and there.
  void Draw(const LSTMCase& c, int first) {
    if (!c.output.none()) { WritePattern(c.output, kScale, &out_pattern_); }
    if (!c.input.none()) { WritePattern(c.input, 1, &in_pattern_); }
    ShapeInput(c.steps, c.samples,
        c.input.kept_units(c.inputs, 0, c.samples).size());
    FillGaussian(&x_);
    FillCont(first);
    layer_->Reshape(bottom_, top_);
  }

  void FillCont(int first) {
    for (int i = 0; i < cont_.count(); ++i) {
      cont_.mutable_cpu_data()[i] = i < x_.shape(1) ? first : i % 4 != 1;
    }
  }

  void ExpectAll(const vector<double>& expected, const vector<double>& actual,
      const char* what) {
    ASSERT_EQ(expected.size(), actual.size());
    double largest = 0;
    for (int i = 0; i < expected.size(); ++i) {
      largest = std::max(largest, std::abs(expected[i]));
    }
    for (int i = 0; i < expected.size(); ++i) {
      ExpectNear(expected[i], Dtype(actual[i]), largest, what, i);
      if (expected[i] == 0) { EXPECT_EQ(actual[i], 0) << what << " at " << i; }
    }
  }

  // One pass forward and backward beside the oracle, which has the state.
  void CheckPass(const LSTMCase& c, LSTMOracle* oracle) {
    const int rows = c.steps * c.samples;
    Poison(y_.mutable_cpu_data(), y_.count());
    Poison(x_.mutable_cpu_diff(), x_.count());
    layer_->Forward(bottom_, top_);
    Blob<Dtype> dy(y_.shape());
    FillGaussian(&dy);
    std::copy(dy.cpu_data(), dy.cpu_data() + y_.count(),
        y_.mutable_cpu_diff());
    // Parameter gradients are added to.
    for (int i = 0; i < 3; ++i) {
      caffe_set(layer_->blobs()[i]->count(), Dtype(2),
          layer_->blobs()[i]->mutable_cpu_diff());
    }
    vector<bool> propagate_down(bottom_.size(), false);
    propagate_down[0] = true;
    layer_->Backward(top_, propagate_down, bottom_);

    const TestPattern& stored = c.compact_output ? c.output : kNone;
    oracle->x = ExpandUnits(c.input, rows, c.samples, c.inputs,
        x_.cpu_data());
    oracle->cont = ToDouble(cont_.cpu_data(), rows);
    oracle->dy = ExpandUnits(stored, rows, c.samples, c.units,
        y_.cpu_diff());
    const vector<double> first_cell = oracle->c0;
    oracle->Forward();
    oracle->Backward(first_cell);
    ExpectAll(oracle->y, ExpandUnits(stored, rows, c.samples, c.units,
        y_.cpu_data()), "y");
    for (int i = 0; i < oracle->dx.size(); ++i) {
      if (!c.input.keeps(i % c.inputs, i / c.inputs % c.samples, c.samples)) {
        oracle->dx[i] = 0;  // the oracle knows the gradient of zeros too
      }
    }
    ExpectAll(oracle->dx, ExpandUnits(c.input, rows, c.samples, c.inputs,
        x_.cpu_diff()), "dx");
    ExpectAll(oracle->dwx, Minus2(0), "dW_xc");
    ExpectAll(oracle->db, Minus2(1), "db_c");
    ExpectAll(oracle->dwh, Minus2(2), "dW_hc");
  }

  vector<double> Minus2(int blob) {
    vector<double> values = ToDouble(layer_->blobs()[blob]->cpu_diff(),
        layer_->blobs()[blob]->count());
    for (int i = 0; i < values.size(); ++i) { values[i] -= 2; }
    return values;
  }

  LSTMOracle MakeOracle(const LSTMCase& c) {
    LSTMOracle oracle;
    oracle.c = c;
    oracle.scale = c.output.none() ? 1 : kScale;
    vector<double>* blobs[] = {&oracle.wx, &oracle.b, &oracle.wh};
    for (int i = 0; i < 3; ++i) {
      *blobs[i] = ToDouble(layer_->blobs()[i]->cpu_data(),
          layer_->blobs()[i]->count());
    }
    oracle.h0.assign(c.samples * c.units, 0);
    oracle.c0 = oracle.h0;
    return oracle;
  }

  // Caffe's LSTM with the same parameters, on copies of x and cont.
  void SetUpCaffe() {
    LayerParameter param = layer_->layer_param();
    param.set_type("LSTM");
    x2_.ReshapeLike(x_);
    cont2_.ReshapeLike(cont_);
    bottom2_.assign(1, &x2_);
    bottom2_.push_back(&cont2_);
    top2_.assign(1, &y2_);
    caffe_.reset(new LSTMLayer<Dtype>(param));
    caffe_->SetUp(bottom2_, top2_);
    ASSERT_EQ(caffe_->blobs().size(), 3);
    for (int i = 0; i < 3; ++i) {
      ASSERT_EQ(caffe_->blobs()[i]->shape(), layer_->blobs()[i]->shape());
      caffe_->blobs()[i]->CopyFrom(*layer_->blobs()[i]);
    }
  }

  // One pass of both, with gradients that go on adding up.
  void CheckPassOfCaffe() {
    x2_.CopyFrom(x_);
    cont2_.CopyFrom(cont_);
    caffe_->Forward(bottom2_, top2_);
    layer_->Forward(bottom_, top_);
    ExpectAll(ToDouble(y2_.cpu_data(), y2_.count()),
        ToDouble(y_.cpu_data(), y_.count()), "y");
    Blob<Dtype> dy(y_.shape());
    FillGaussian(&dy);
    std::copy(dy.cpu_data(), dy.cpu_data() + dy.count(),
        y_.mutable_cpu_diff());
    std::copy(dy.cpu_data(), dy.cpu_data() + dy.count(),
        y2_.mutable_cpu_diff());
    vector<bool> propagate_down(bottom_.size(), false);
    propagate_down[0] = true;
    layer_->Backward(top_, propagate_down, bottom_);
    propagate_down.resize(2);
    caffe_->Backward(top2_, propagate_down, bottom2_);
    ExpectAll(ToDouble(x2_.cpu_diff(), x2_.count()),
        ToDouble(x_.cpu_diff(), x_.count()), "dx");
    const char* kNames[] = {"dW_xc", "db_c", "dW_hc"};
    for (int i = 0; i < 3; ++i) {
      const int count = layer_->blobs()[i]->count();
      ExpectAll(ToDouble(caffe_->blobs()[i]->cpu_diff(), count),
          ToDouble(layer_->blobs()[i]->cpu_diff(), count), kNames[i]);
    }
  }

  Blob<Dtype> x_, cont_, y_, out_pattern_, in_pattern_;
  vector<Blob<Dtype>*> bottom_, top_;
  shared_ptr<ApproxDropoutLSTMLayer<Dtype> > layer_;
  Blob<Dtype> x2_, cont2_, y2_;
  vector<Blob<Dtype>*> bottom2_, top2_;
  shared_ptr<LSTMLayer<Dtype> > caffe_;
};

TYPED_TEST_CASE(ApproxDropoutLSTMLayerTest, TestDtypesAndDevices);

TYPED_TEST(ApproxDropoutLSTMLayerTest, TestAgainstMaskedLSTM) {
  const vector<LSTMCase> cases = LSTMCases();
  for (int i = 0; i < cases.size(); ++i) {
    SCOPED_TRACE(testing::Message() << "case " << i);
    LSTMCase c = cases[i];
    this->SetUpLayer(c);
    LSTMOracle oracle = this->MakeOracle(c);
    for (int pass = 0; pass < 3; ++pass) {
      SCOPED_TRACE(testing::Message() << "pass " << pass);
      // Other residues than in the pass before.
      for (int g = 0; g < c.output.groups.size(); ++g) {
        vector<int>& residues = c.output.groups[g];
        for (int r = 0; r < residues.size(); ++r) {
          residues[r] = (residues[r] + 1) % c.output.period;
        }
        std::sort(residues.begin(), residues.end());
      }
      oracle.c = c;
      this->Draw(c, pass > 0);
      this->CheckPass(c, &oracle);
    }
  }
}

TYPED_TEST(ApproxDropoutLSTMLayerTest, TestEqualsCaffe) {
  const int kSizes[][4] = {{5, 3, 6, 7}, {1, 4, 6, 5}, {6, 1, 3, 9},
      {1, 1, 1, 1}, {4, 5, 20, 33}};
  const char* kPatterns[] = {"NONE", "ROW", "TILE"};
  for (int i = 0; i < 5; ++i) {
    for (int p = 0; p < 3; ++p) {
      SCOPED_TRACE(testing::Message() << "size " << i << kPatterns[p]);
      const int* s = kSizes[i];
      const LSTMCase c = {kPatterns[p], s[0], s[1], s[2], s[3], 1,
          p ? MakePattern(1, 1) : kNone, kNone, false, p > 0};
      this->SetUpLayer(c);
      this->SetUpCaffe();
      for (int j = 0; j < 3; ++j) {
        const int count = this->layer_->blobs()[j]->count();
        caffe_set(count, typename TypeParam::Dtype(0),
            this->layer_->blobs()[j]->mutable_cpu_diff());
        caffe_set(count, typename TypeParam::Dtype(0),
            this->caffe_->blobs()[j]->mutable_cpu_diff());
      }
      for (int pass = 0; pass < 4; ++pass) {
        SCOPED_TRACE(testing::Message() << "pass " << pass);
        FillGaussian(&this->x_);
        this->FillCont(pass % 3 != 0);
        this->CheckPassOfCaffe();
      }
    }
  }
}

// All features of several axes, and the parameters of Caffe at the same seed.
TYPED_TEST(ApproxDropoutLSTMLayerTest, TestSetUpAsCaffe) {
  typedef typename TypeParam::Dtype Dtype;
  const LSTMCase c = {"NONE", 3, 2, 1, 5, 32, kNone, kNone, false, false};
  vector<int> shape(4, 3);
  shape[1] = 2;
  this->ShapeInput(3, 2, 1);
  this->x_.Reshape(shape);
  this->bottom_.push_back(&this->x_);
  this->bottom_.push_back(&this->cont_);
  this->top_.push_back(&this->y_);
  LayerParameter param = this->Param(c);
  Caffe::set_random_seed(3);
  this->layer_.reset(new ApproxDropoutLSTMLayer<Dtype>(param));
  this->layer_->SetUp(this->bottom_, this->top_);
  Caffe::set_random_seed(3);
  LSTMLayer<Dtype> caffe(param);
  caffe.SetUp(this->bottom_, this->top_);
  for (int i = 0; i < 3; ++i) {
    const Blob<Dtype>& blob = *this->layer_->blobs()[i];
    ASSERT_EQ(caffe.blobs()[i]->shape(), blob.shape());
    for (int j = 0; j < blob.count(); ++j) {
      EXPECT_EQ(caffe.blobs()[i]->cpu_data()[j], blob.cpu_data()[j]);
    }
  }
  EXPECT_TRUE(this->layer_->AllowForceBackward(0));
  for (int i = 1; i < 4; ++i) {
    EXPECT_FALSE(this->layer_->AllowForceBackward(i));
  }
}

TYPED_TEST(ApproxDropoutLSTMLayerTest, TestGradient) {
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

TYPED_TEST(ApproxDropoutLSTMLayerTest, TestTwoHalvesAreTheWhole) {
  typedef typename TypeParam::Dtype Dtype;
  const LSTMCase kCases[] = {
    {"NONE", 6, 2, 5, 8, 32, kNone, kNone, false, false},
    {"ROW", 6, 2, 5, 8, 32, MakePattern(4, 3), kNone, true, true},
    {"TILE", 6, 2, 5, 8, 2, MakePattern(4, 3), kNone, false, true}};
  for (int i = 0; i < 3; ++i) {
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
      this->ShapeInput(3, 2, 5);
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

TYPED_TEST(ApproxDropoutLSTMLayerTest, TestReset) {
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
TYPED_TEST(ApproxDropoutLSTMLayerTest, TestContForgetsNaN) {
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

template <typename Dtype>
class ApproxDropoutLSTMLayerDeathTest
    : public ApproxDropoutLSTMLayerTest<CPUDevice<Dtype> > {
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

TYPED_TEST_CASE(ApproxDropoutLSTMLayerDeathTest, TestDtypes);

TYPED_TEST(ApproxDropoutLSTMLayerDeathTest, TestBadSizes) {
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
  const LSTMCase compact = {"TILE", 2, 4, 8, 8, 2, half, kNone, true, false};
  EXPECT_DEATH(this->SetUpAndDraw(compact),
      "compact_output goes with pattern: ROW only, not with TILE");
  const LSTMCase none = {"NONE", 2, 4, 8, 8, 2, kNone, kNone, false, true};
  EXPECT_DEATH(this->SetUpAndDraw(none),
      "'lstm': recurrent: true needs pattern: ROW or TILE, not NONE");
}

TYPED_TEST(ApproxDropoutLSTMLayerDeathTest, TestBadBottoms) {
  const LSTMCase c = {"ROW", 2, 4, 6, 8, 32, MakePattern(4, 2), kNone, true,
      false};
  this->SetUpLayer(c);
  LayerParameter param = this->Param(c);
  param.mutable_recurrent_param()->set_expose_hidden(true);
  EXPECT_DEATH(this->SetUpWith(param),
      "'lstm': expose_hidden: true is not supported");
  param = this->Param(c);
  param.mutable_recurrent_param()->clear_num_output();
  EXPECT_DEATH(this->SetUpWith(param), "num_output must be at least 1");
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

TYPED_TEST(ApproxDropoutLSTMLayerDeathTest, TestBadWidth) {
  const LSTMCase c = {"NONE", 2, 4, 6, 8, 32, kNone, MakePattern(3, 2), false,
      false};
  this->SetUpLayer(c);
  this->Draw(c, 0);
  this->ShapeInput(2, 4, 5);
  EXPECT_DEATH(this->layer_->Reshape(this->bottom_, this->top_),
      "'lstm': its input has 5 features a sample; the input's pattern keeps "
      "4 of 6");
  vector<int> shape(4, 2);
  shape[1] = 4;
  this->x_.Reshape(shape);
  EXPECT_DEATH(this->layer_->Reshape(this->bottom_, this->top_),
      "compact_input needs an input with one axis of features");
}

}  // namespace caffe
