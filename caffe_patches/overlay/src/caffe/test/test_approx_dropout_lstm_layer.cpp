#include <algorithm>
#include <vector>

#include "gtest/gtest.h"

#include "caffe/blob.hpp"
#include "caffe/common.hpp"
#include "caffe/layers/approx_dropout_lstm_layer.hpp"
#include "caffe/layers/lstm_layer.hpp"
#include "caffe/util/math_functions.hpp"

#include "caffe/test/test_approx_dropout_lstm_util.hpp"
#include "caffe/test/test_approx_dropout_util.hpp"
#include "caffe/test/test_caffe_main.hpp"

namespace caffe {

// Beside the layer written out, with masks, and beside Caffe's LSTM.
template <typename TypeParam>
class ApproxDropoutLSTMLayerTest : public ApproxDropoutLSTMTest<TypeParam> {
 protected:
  typedef ApproxDropoutLSTMTest<TypeParam> Base;
  typedef typename TypeParam::Dtype Dtype;
  using Base::bottom_;
  using Base::cont_;
  using Base::ExpectAll;
  using Base::layer_;
  using Base::top_;
  using Base::x_;
  using Base::y_;

  // One pass forward and backward beside the oracle, which has the state.
  void CheckPass(const LSTMCase& c, LSTMOracle* oracle) {
    const int rows = cont_.count();
    oracle->c = c;
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
    layer_->Backward(top_, AllButCont(), bottom_);

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
      if (!c.input.keeps(i % c.inputs, i / c.inputs, c.samples)) {
        oracle->dx[i] = 0;  // the oracle knows the gradient of zeros too
      }
    }
    ExpectAll(oracle->dx, ExpandUnits(c.input, rows, c.samples, c.inputs,
        x_.cpu_diff()), "dx");
    ExpectAll(oracle->dwx, Minus2(0), "dW_xc");
    ExpectAll(oracle->db, Minus2(1), "db_c");
    ExpectAll(oracle->dwh, Minus2(2), "dW_hc");
  }

  // What Backward is asked for: patterns get nothing all the same.
  vector<bool> AllButCont() const {
    vector<bool> propagate_down(bottom_.size(), true);
    propagate_down[1] = false;
    return propagate_down;
  }

  // Other residues than in the pass before.
  static void Shift(TestPattern* pattern) {
    for (int g = 0; g < pattern->groups.size(); ++g) {
      vector<int>& residues = pattern->groups[g];
      for (int r = 0; r < residues.size(); ++r) {
        residues[r] = (residues[r] + 1) % pattern->period;
      }
      std::sort(residues.begin(), residues.end());
    }
  }

  vector<double> Minus2(int blob) {
    vector<double> values = ToDouble(layer_->blobs()[blob]->cpu_diff(),
        layer_->blobs()[blob]->count());
    for (int i = 0; i < values.size(); ++i) { values[i] -= 2; }
    return values;
  }

  // cont is 0 where cuts has a bit, the lowest that of the first step.
  void CutCont(int cuts) {
    for (int i = 0; i < cont_.count(); ++i) {
      cont_.mutable_cpu_data()[i] = !(cuts >> i & 1);
    }
  }

  // dW_xc, db_c, dW_hc and dx, all first filled with 2, of a pass from h_0 = 0
  // that is not asked for the without-th.
  vector<vector<double> > GradientsBut(int without) {
    vector<Blob<Dtype>*> blobs(1, &x_);
    for (int i = 0; i < 3; ++i) {
      layer_->set_param_propagate_down(i, i != without);
      blobs.insert(blobs.end() - 1, layer_->blobs()[i].get());
    }
    layer_->Forward(bottom_, top_);
    caffe_set(y_.count(), Dtype(1), y_.mutable_cpu_diff());
    for (int i = 0; i < 4; ++i) {
      caffe_set(blobs[i]->count(), Dtype(2), blobs[i]->mutable_cpu_diff());
    }
    vector<bool> propagate_down = AllButCont();
    propagate_down[0] = without != 3;
    layer_->Backward(top_, propagate_down, bottom_);
    vector<vector<double> > gradients;
    for (int i = 0; i < 4; ++i) {
      gradients.push_back(ToDouble(blobs[i]->cpu_diff(), blobs[i]->count()));
    }
    return gradients;
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
      const int count = layer_->blobs()[i]->count();
      caffe_set(count, Dtype(0), layer_->blobs()[i]->mutable_cpu_diff());
      caffe_set(count, Dtype(0), caffe_->blobs()[i]->mutable_cpu_diff());
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
    layer_->Backward(top_, AllButCont(), bottom_);
    vector<bool> only_x(2, false);
    only_x[0] = true;
    caffe_->Backward(top2_, only_x, bottom2_);
    ExpectAll(ToDouble(x2_.cpu_diff(), x2_.count()),
        ToDouble(x_.cpu_diff(), x_.count()), "dx");
    const char* kNames[] = {"dW_xc", "db_c", "dW_hc"};
    for (int i = 0; i < 3; ++i) {
      const int count = layer_->blobs()[i]->count();
      ExpectAll(ToDouble(caffe_->blobs()[i]->cpu_diff(), count),
          ToDouble(layer_->blobs()[i]->cpu_diff(), count), kNames[i]);
    }
  }

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
      this->Shift(&c.output);
      this->Shift(&c.input);
      this->Draw(c, pass > 0);
      this->CheckPass(c, &oracle);
    }
  }
}

TYPED_TEST(ApproxDropoutLSTMLayerTest, TestEqualsCaffe) {
  const int kSizes[][4] = {{5, 3, 6, 7}, {1, 4, 6, 5}, {6, 1, 3, 9},
      {1, 1, 1, 1}, {4, 5, 20, 33}, {2, 33, 6, 64}};  // the last by threads
  const char* kPatterns[] = {"NONE", "ROW", "TILE"};
  for (int i = 0; i < 6; ++i) {
    for (int p = 0; p < 3; ++p) {
      SCOPED_TRACE(testing::Message() << "size " << i << kPatterns[p]);
      const int* s = kSizes[i];
      const LSTMCase c = {kPatterns[p], s[0], s[1], s[2], s[3], 1,
          p ? MakePattern(1, 1) : kNone, kNone, false, p > 0};
      this->SetUpLayer(c);
      this->SetUpCaffe();
      for (int pass = 0; pass < 4; ++pass) {
        SCOPED_TRACE(testing::Message() << "pass " << pass);
        FillGaussian(&this->x_);
        this->FillCont(pass % 3 != 0);
        this->CheckPassOfCaffe();
      }
    }
  }
}

// Other kept counts and numbers of steps in every pass: shapes change, the
// state is carried on, nothing else stays from the last pass.
TYPED_TEST(ApproxDropoutLSTMLayerTest, TestPatternsInTurn) {
  const LSTMCase kCases[] = {
    {"ROW", 3, 4, 10, 16, 32, MakePattern(8, 3), MakePattern(5, 2), true,
     true},
    {"ROW", 3, 4, 10, 16, 32, MakePattern(8, 3, 2), MakePattern(5, 2, 2), true,
     false},
    {"TILE", 3, 4, 10, 16, 3, MakePattern(8, 3, 2), MakePattern(5, 2), false,
     true}};
  const int kKept[] = {3, 8, 1, 6};
  for (int i = 0; i < 3; ++i) {
    LSTMCase c = kCases[i];
    this->SetUpLayer(c);
    LSTMOracle oracle = this->MakeOracle(c);
    for (int pass = 0; pass < 4; ++pass) {
      SCOPED_TRACE(testing::Message() << "case " << i << ", pass " << pass);
      c.steps = 1 + (3 * pass + i) % 4;
      c.output = MakePattern(8, kKept[pass], c.output.groups.size());
      c.input = MakePattern(5, 1 + pass, c.input.groups.size());
      this->Draw(c, pass > 0);
      this->CheckPass(c, &oracle);
    }
  }
}

// Every way in which text can begin in 3 steps of 2 samples, the state of the
// pass before waiting.
TYPED_TEST(ApproxDropoutLSTMLayerTest, TestContCutAnywhere) {
  const LSTMCase kCases[] = {
    {"NONE", 3, 2, 4, 5, 32, kNone, kNone, false, false},
    {"ROW", 3, 2, 4, 5, 32, MakePattern(5, 3), MakePattern(4, 2), true, false},
    {"ROW", 3, 2, 4, 5, 32, MakePattern(5, 3), kNone, false, true},
    {"TILE", 3, 2, 4, 5, 2, MakePattern(5, 3), kNone, false, true}};
  for (int i = 0; i < 4; ++i) {
    const LSTMCase& c = kCases[i];
    this->SetUpLayer(c);
    LSTMOracle oracle = this->MakeOracle(c);
    for (int cuts = 0; cuts < 64; ++cuts) {
      SCOPED_TRACE(testing::Message() << "case " << i << ", cuts " << cuts);
      this->Draw(c, 1);
      this->CutCont(cuts);
      this->CheckPass(c, &oracle);
    }
    if (i == 0) {
      this->layer_->Reset();
      this->SetUpCaffe();
      for (int cuts = 0; cuts < 64; ++cuts) {
        SCOPED_TRACE(testing::Message() << "Caffe, cuts " << cuts);
        this->CutCont(cuts);
        this->CheckPassOfCaffe();
      }
    }
  }
}

TYPED_TEST(ApproxDropoutLSTMLayerTest, TestSeveralAxesOfFeatures) {
  const LSTMCase kCases[] = {
    {"NONE", 3, 2, 12, 5, 32, kNone, kNone, false, false},
    {"ROW", 3, 2, 12, 5, 32, MakePattern(5, 5), kNone, false, true}};
  for (int i = 0; i < 2; ++i) {
    this->SetUpLayer(kCases[i]);
    vector<int> shape(4, 3);
    shape[1] = 2;
    shape[3] = 4;
    this->x_.Reshape(shape);
    this->layer_->Reshape(this->bottom_, this->top_);
    this->SetUpCaffe();
    FillGaussian(&this->x_);
    this->FillCont(0);
    this->CheckPassOfCaffe();
  }
}

// A gradient that is not asked for is left as it was; the others are the same.
TYPED_TEST(ApproxDropoutLSTMLayerTest, TestGradientsNotAskedFor) {
  const LSTMCase kCases[] = {
    {"NONE", 3, 2, 8, 9, 2, kNone, kNone, false, false},
    {"ROW", 3, 2, 8, 9, 2, MakePattern(4, 2), MakePattern(4, 3), true, true},
    {"TILE", 3, 2, 8, 9, 2, MakePattern(4, 2), MakePattern(4, 3), false,
     true}};
  for (int i = 0; i < 3; ++i) {
    this->SetUpLayer(kCases[i]);
    this->Draw(kCases[i], 0);
    const vector<vector<double> > all = this->GradientsBut(-1);
    for (int without = 0; without < 4; ++without) {
      SCOPED_TRACE(testing::Message() << "case " << i << " but " << without);
      const vector<vector<double> > found = this->GradientsBut(without);
      for (int g = 0; g < 4; ++g) {
        if (g == without) {
          EXPECT_TRUE(found[g] == vector<double>(all[g].size(), 2)) << g;
        } else {
          this->ExpectAll(all[g], found[g], "gradient");
        }
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

}  // namespace caffe
