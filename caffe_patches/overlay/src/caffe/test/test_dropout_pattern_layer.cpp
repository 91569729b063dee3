#include <cmath>
#include <set>
#include <string>
#include <vector>

#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"

#include "caffe/blob.hpp"
#include "caffe/common.hpp"
#include "caffe/layers/dropout_pattern_layer.hpp"

#include "caffe/test/test_caffe_main.hpp"

namespace caffe {

template <typename TypeParam>
class DropoutPatternLayerTest : public MultiDeviceTest<TypeParam> {
  typedef typename TypeParam::Dtype Dtype;

 protected:
  DropoutPatternLayerTest() : k_(vector<int>(1, 4)) {
    const Dtype kProbability[] = {0.125, 0.5, 0.25, 0.125};
    std::copy(kProbability, kProbability + 4, k_.mutable_cpu_data());
    bottom_.push_back(&k_);
    top_.push_back(&pattern_);
  }

  LayerParameter Param(const string& text, Phase phase = TRAIN) {
    LayerParameter param;
    CHECK(google::protobuf::TextFormat::ParseFromString(
        "name: 'pattern' type: 'DropoutPattern' " + text, &param));
    param.set_phase(phase);
    return param;
  }

  void ExpectEverything() {
    EXPECT_EQ(pattern_.shape(1), 6);
    for (int g = 0; g < pattern_.shape(0); ++g) {
      const Dtype* row = pattern_.cpu_data() + g * 6;
      EXPECT_EQ(row[0], 1);
      EXPECT_EQ(row[1], 4);
      for (int i = 0; i < 4; ++i) { EXPECT_EQ(row[2 + i], i); }
    }
  }

  vector<Dtype> Draw(DropoutPatternLayer<Dtype>* layer) {
    layer->Forward(bottom_, top_);
    return vector<Dtype>(pattern_.cpu_data(),
        pattern_.cpu_data() + pattern_.count());
  }

  Blob<Dtype> k_, pattern_;
  vector<Blob<Dtype>*> bottom_, top_;
};

TYPED_TEST_CASE(DropoutPatternLayerTest, TestDtypesAndDevices);

TYPED_TEST(DropoutPatternLayerTest, TestEverythingAtSetUpAndInTest) {
  typedef typename TypeParam::Dtype Dtype;
  DropoutPatternLayer<Dtype> layer(
      this->Param("dropout_pattern_param { groups: 3 }", TEST));
  layer.SetUp(this->bottom_, this->top_);
  EXPECT_EQ(this->pattern_.shape(0), 3);
  this->ExpectEverything();
  layer.Forward(this->bottom_, this->top_);
  this->ExpectEverything();
  DropoutPatternLayer<Dtype> train(this->Param(""));
  train.SetUp(this->bottom_, this->top_);
  this->ExpectEverything();
}

TYPED_TEST(DropoutPatternLayerTest, TestResidueFamily) {
  typedef typename TypeParam::Dtype Dtype;
  const int kGroups = 3;
  DropoutPatternLayer<Dtype> layer(
      this->Param("dropout_pattern_param { groups: 3 }"));
  layer.SetUp(this->bottom_, this->top_);
  layer.SetSeed(5);
  // p = sum K_m (1 - m / 4) = 0.09375 + 0.25 + 0.0625
  const double scale = 1 / (1 - 0.40625);
  vector<int> counts(5);
  vector<vector<int> > kept(kGroups, vector<int>(4));
  const int kDraws = 4000;
  for (int i = 0; i < kDraws; ++i) {
    layer.Forward(this->bottom_, this->top_);
    const int m = this->pattern_.shape(1) - 2;
    ASSERT_EQ(this->pattern_.shape(0), kGroups);
    ++counts[m];
    vector<int> keeping(4);  // groups that keep a residue
    for (int g = 0; g < kGroups; ++g) {
      const Dtype* row = this->pattern_.cpu_data() + g * (m + 2);
      EXPECT_NEAR(row[0], scale, 1e-6);
      EXPECT_EQ(row[1], 4);
      for (int j = 0; j < m; ++j) {
        if (j) { EXPECT_LT(row[1 + j], row[2 + j]); }
        const int r = static_cast<int>(row[2 + j]);
        ASSERT_TRUE(r >= 0 && r < 4);
        ++kept[g][r];
        ++keeping[r];
      }
    }
    const int least = kGroups * m / 4;
    for (int r = 0; r < 4; ++r) {
      EXPECT_GE(keeping[r], least);
      EXPECT_LE(keeping[r], least + (kGroups * m % 4 > 0));
    }
  }
  for (int m = 1; m <= 4; ++m) {
    const double p = this->k_.cpu_data()[m - 1];
    EXPECT_NEAR(counts[m], kDraws * p, 5 * std::sqrt(kDraws * p * (1 - p)));
  }
  for (int g = 0; g < kGroups; ++g) {
    for (int r = 0; r < 4; ++r) {
      EXPECT_NEAR(kept[g][r], kDraws * (1 - 0.40625),
          5 * std::sqrt(kDraws * 0.25));
    }
  }
}

TYPED_TEST(DropoutPatternLayerTest, TestPeriodFamily) {
  typedef typename TypeParam::Dtype Dtype;
  DropoutPatternLayer<Dtype> layer(
      this->Param("dropout_pattern_param { family: PERIOD }"));
  layer.SetUp(this->bottom_, this->top_);
  layer.SetSeed(5);
  // p = 0.5 (1/2) + 0.25 (2/3) + 0.125 (3/4)
  const double scale = 1 / (1 - 0.25 - 0.5 / 3 - 0.09375);
  vector<vector<int> > counts(5, vector<int>(4));
  const int kDraws = 4000;
  for (int i = 0; i < kDraws; ++i) {
    layer.Forward(this->bottom_, this->top_);
    ASSERT_EQ(this->pattern_.count(), 3);
    const Dtype* row = this->pattern_.cpu_data();
    EXPECT_NEAR(row[0], scale, 1e-6);
    ASSERT_TRUE(row[1] >= 1 && row[1] <= 4);
    ASSERT_TRUE(row[2] >= 0 && row[2] < row[1]);
    ++counts[static_cast<int>(row[1])][static_cast<int>(row[2])];
  }
  for (int period = 1; period <= 4; ++period) {
    for (int r = 0; r < period; ++r) {
      const double p = this->k_.cpu_data()[period - 1] / period;
      EXPECT_NEAR(counts[period][r], kDraws * p, 5 * std::sqrt(kDraws * p));
    }
  }
}

TYPED_TEST(DropoutPatternLayerTest, TestSequenceBelongsToSeedAndName) {
  typedef typename TypeParam::Dtype Dtype;
  LayerParameter param = this->Param("");
  DropoutPatternLayer<Dtype> a(param), b(param), other_seed(param);
  param.set_name("other");
  DropoutPatternLayer<Dtype> other_name(param);
  DropoutPatternLayer<Dtype>* layers[] = {&a, &b, &other_seed, &other_name};
  vector<vector<vector<Dtype> > > drawn(4);
  for (int i = 0; i < 4; ++i) {
    layers[i]->SetUp(this->bottom_, this->top_);
    layers[i]->SetSeed(i == 2 ? 8 : 7);
    for (int j = 0; j < 20; ++j) { drawn[i].push_back(this->Draw(layers[i])); }
  }
  EXPECT_TRUE(drawn[0] == drawn[1]);
  EXPECT_FALSE(drawn[0] == drawn[2]);
  EXPECT_FALSE(drawn[0] == drawn[3]);
}

TYPED_TEST(DropoutPatternLayerTest, TestSeedFromCaffesGenerator) {
  typedef typename TypeParam::Dtype Dtype;
  vector<vector<Dtype> > drawn[3];
  for (int i = 0; i < 3; ++i) {
    Caffe::set_random_seed(i == 2 ? 43 : 42);
    DropoutPatternLayer<Dtype> layer(this->Param(""));
    layer.SetUp(this->bottom_, this->top_);
    for (int j = 0; j < 20; ++j) { drawn[i].push_back(this->Draw(&layer)); }
  }
  EXPECT_TRUE(drawn[0] == drawn[1]);
  EXPECT_FALSE(drawn[0] == drawn[2]);
}

TYPED_TEST(DropoutPatternLayerTest, TestStateResumesTheSequence) {
  typedef typename TypeParam::Dtype Dtype;
  DropoutPatternLayer<Dtype> layer(this->Param(""));
  layer.SetUp(this->bottom_, this->top_);
  layer.SetSeed(9);
  for (int j = 0; j < 7; ++j) { this->Draw(&layer); }
  DropoutPatternState state;
  layer.ToProto(&state);
  EXPECT_EQ(state.seed(), 9);
  EXPECT_EQ(state.draws(), 7);
  EXPECT_EQ(state.max_period(), 4);
  vector<vector<Dtype> > expected;
  for (int j = 0; j < 7; ++j) { expected.push_back(this->Draw(&layer)); }
  // The bottom's K is the same to 1e-6: the state's is used.
  DropoutPatternLayer<Dtype> resumed(this->Param(""));
  resumed.SetUp(this->bottom_, this->top_);
  resumed.FromProto(state);
  this->k_.mutable_cpu_data()[1] += 5e-7;
  for (int j = 0; j < 7; ++j) {
    EXPECT_TRUE(this->Draw(&resumed) == expected[j]);
  }
  resumed.ToProto(&state);
  EXPECT_EQ(state.probability(1), 0.5);
  // It is another: the net's is used.
  resumed.FromProto(state);
  this->k_.mutable_cpu_data()[0] = 1;
  for (int i = 1; i < 4; ++i) { this->k_.mutable_cpu_data()[i] = 0; }
  this->Draw(&resumed);
  EXPECT_EQ(this->pattern_.shape(1), 3);
  EXPECT_EQ(this->pattern_.cpu_data()[0], 4);
  resumed.ToProto(&state);
  EXPECT_EQ(state.draws(), 15);
  EXPECT_EQ(state.probability(0), 1);
}

TYPED_TEST(DropoutPatternLayerTest, TestRateZeroKeepsEverything) {
  typedef typename TypeParam::Dtype Dtype;
  DropoutPatternLayer<Dtype> layer(this->Param("dropout_pattern_param { "
      "probability: 0 probability: 0 probability: 0 probability: 1 }"));
  this->bottom_.clear();
  layer.SetUp(this->bottom_, this->top_);
  layer.Forward(this->bottom_, this->top_);
  this->ExpectEverything();
}

TYPED_TEST(DropoutPatternLayerTest, TestGradientIsLeftAlone) {
  typedef typename TypeParam::Dtype Dtype;
  DropoutPatternLayer<Dtype> layer(this->Param(""));
  layer.SetUp(this->bottom_, this->top_);
  layer.Forward(this->bottom_, this->top_);
  for (int i = 0; i < 4; ++i) { this->k_.mutable_cpu_diff()[i] = 3; }
  layer.Backward(this->top_, vector<bool>(1, true), this->bottom_);
  for (int i = 0; i < 4; ++i) { EXPECT_EQ(this->k_.cpu_diff()[i], 3); }
  EXPECT_FALSE(layer.AllowForceBackward(0));
}

template <typename Dtype>
class DropoutPatternLayerDeathTest : public DropoutPatternLayerTest<
    CPUDevice<Dtype> > {
 protected:
  void SetUpLayer(const string& text) {
    DropoutPatternLayer<Dtype> layer(this->Param(text));
    layer.SetUp(this->bottom_, this->top_);
    layer.Forward(this->bottom_, this->top_);
  }
};

TYPED_TEST_CASE(DropoutPatternLayerDeathTest, TestDtypes);

TYPED_TEST(DropoutPatternLayerDeathTest, TestBadInput) {
  EXPECT_DEATH(this->SetUpLayer(
      "dropout_pattern_param { family: PERIOD groups: 2 }"),
      "'pattern' has groups: 2; family: PERIOD takes groups: 1 only");
  EXPECT_DEATH(this->SetUpLayer("dropout_pattern_param { probability: 1 }"),
      "it has 1 bottoms and 1 values of probability");
  this->k_.mutable_cpu_data()[2] = 0.5;
  EXPECT_DEATH(this->SetUpLayer(""), "4 probabilities of K sum to 1.25");
  this->k_.mutable_cpu_data()[2] = -0.5;
  EXPECT_DEATH(this->SetUpLayer(""), "K.2. is -0.5");
  this->k_.mutable_cpu_data()[2] = NAN;
  EXPECT_DEATH(this->SetUpLayer(""), "K.2. is -?nan");
  this->k_.Reshape(vector<int>(1, 257));
  EXPECT_DEATH(this->SetUpLayer(""), "N = 257; family: RESIDUE takes 1 to 256");
  this->k_.Reshape(vector<int>(2, 2));
  EXPECT_DEATH(this->SetUpLayer(""), "K has shape 2 2 .4.; it must have one");
  this->bottom_.clear();
  EXPECT_DEATH(this->SetUpLayer(""), "takes K either from one bottom or");
}

}  // namespace caffe
