#include <algorithm>
#include <cmath>
#include <sstream>
#include <string>
#include <vector>

#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"

#include "caffe/caffe.hpp"
#include "caffe/sgd_solvers.hpp"

#include "caffe/test/test_caffe_main.hpp"

namespace caffe {

namespace {

const int kWords = 9;
const int kSteps = 7;
const int kSamples = 4;
const int kIterations = 200;

}  // namespace

// A small language model trained with Caffe's LSTM and with ApproxDropoutLSTM.
template <typename TypeParam>
class ApproxDropoutLSTMTrainingTest : public MultiDeviceTest<TypeParam> {
 protected:
  typedef typename TypeParam::Dtype Dtype;

  static string LSTM(const string& type, int index, const string& bottom) {
    std::ostringstream text;
    text << "layer { name: 'lstm" << index << "' type: '" << type
        << "' bottom: '" << bottom << "' bottom: 'cont' top: 'lstm" << index
        << "' recurrent_param { num_output: 8 "
        << "weight_filler { type: 'uniform' min: -0.8 max: 0.8 } "
        << "bias_filler { type: 'uniform' min: -0.8 max: 0.8 } } "
        << (type == "LSTM" ? "" : "approx_dropout_param { pattern: NONE } ")
        << "} ";
    return text.str();
  }

  static string NetText(const string& type) {
    std::ostringstream text;
    text << "layer { name: 'text' type: 'Input' top: 'token' top: 'target' "
        << "top: 'cont' input_param { shape { dim: " << kSteps << " dim: "
        << kSamples << " } } } "
        << "layer { name: 'embed' type: 'Embed' bottom: 'token' top: 'embed' "
        << "embed_param { num_output: 6 input_dim: " << kWords
        << " bias_term: false weight_filler { type: 'uniform' min: -0.8 "
        << "max: 0.8 } } } "
        << LSTM(type, 1, "embed") << LSTM(type, 2, "lstm1")
        << "layer { name: 'softmax' type: 'InnerProduct' bottom: 'lstm2' "
        << "top: 'softmax' inner_product_param { axis: 2 num_output: "
        << kWords << " weight_filler { type: 'uniform' min: -0.8 max: 0.8 } "
        << "} } layer { name: 'loss' type: 'SoftmaxWithLoss' "
        << "bottom: 'softmax' bottom: 'target' top: 'loss' "
        << "softmax_param { axis: 2 } } ";
    return text.str();
  }

  static shared_ptr<SGDSolver<Dtype> > Solver(const string& type) {
    std::ostringstream text;
    text << "random_seed: 7 base_lr: 1 lr_policy: 'fixed' "
        << "clip_gradients: 0.3 max_iter: " << kIterations << " solver_mode: "
        << (Caffe::mode() == Caffe::GPU ? "GPU" : "CPU")
        << " snapshot_after_train: false net_param {" << NetText(type) << "}";
    SolverParameter param;
    CHECK(google::protobuf::TextFormat::ParseFromString(text.str(), &param));
    return shared_ptr<SGDSolver<Dtype> >(new SGDSolver<Dtype>(param));
  }

  // The position-th word of a sample's text. Every 11, 12, 13 or 14 words it
  // begins anew and counts by 1 or by 2, so that a word can be told only by
  // one who remembers those before it.
  static int Length(int sample) { return 11 + sample; }
  static int Word(int sample, int position) {
    const int step = 1 + (position / Length(sample) + sample) % 2;
    return (sample + step * (position % Length(sample))) % kWords;
  }

  static void SetText(int iteration, Net<Dtype>* net) {
    Dtype* token = net->blob_by_name("token")->mutable_cpu_data();
    Dtype* target = net->blob_by_name("target")->mutable_cpu_data();
    Dtype* cont = net->blob_by_name("cont")->mutable_cpu_data();
    for (int t = 0; t < kSteps; ++t) {
      for (int n = 0; n < kSamples; ++n) {
        const int position = iteration * kSteps + t;
        const int i = t * kSamples + n;
        token[i] = Word(n, position);
        target[i] = Word(n, position + 1);
        cont[i] = position % Length(n) != 0;
      }
    }
  }

  static double Step(int iteration, SGDSolver<Dtype>* solver) {
    SetText(iteration, solver->net().get());
    solver->Step(1);
    return solver->net()->blob_by_name("loss")->cpu_data()[0];
  }

  static void CopyWeights(SGDSolver<Dtype>* from, SGDSolver<Dtype>* to) {
    NetParameter weights;
    from->net()->ToProto(&weights);
    to->net()->CopyTrainedLayersFrom(weights);
  }

  static void ExpectSame(double expected, double found, const char* what) {
    EXPECT_NEAR(expected, found, Tolerance() * std::max(1., expected)) << what;
  }

  // Rounding adds up over the steps, but hardly grows with these weights.
  static double Tolerance() { return sizeof(Dtype) == 4 ? 1e-4 : 1e-10; }
};

TYPED_TEST_CASE(ApproxDropoutLSTMTrainingTest, TestDtypesAndDevices);

// The same losses at every step and the same weights after the last one, from
// the weights of either, the state being carried from step to step.
TYPED_TEST(ApproxDropoutLSTMTrainingTest, TestTrainsAsCaffe) {
  typedef typename TypeParam::Dtype Dtype;
  for (int from_ours = 0; from_ours < 2; ++from_ours) {
    shared_ptr<SGDSolver<Dtype> > caffe = this->Solver("LSTM");
    shared_ptr<SGDSolver<Dtype> > ours = this->Solver("ApproxDropoutLSTM");
    this->CopyWeights((from_ours ? ours : caffe).get(),
        (from_ours ? caffe : ours).get());
    vector<double> losses;
    for (int i = 0; i < kIterations; ++i) {
      SCOPED_TRACE(testing::Message() << "step " << i);
      losses.push_back(this->Step(i, caffe.get()));
      this->ExpectSame(losses[i], this->Step(i, ours.get()), "loss");
    }
    EXPECT_LT(losses[kIterations - 1], losses[0] / 2);
    const vector<Blob<Dtype>*>& expected = caffe->net()->learnable_params();
    const vector<Blob<Dtype>*>& found = ours->net()->learnable_params();
    ASSERT_EQ(expected.size(), found.size());
    for (int i = 0; i < found.size(); ++i) {
      ASSERT_EQ(expected[i]->shape(), found[i]->shape());
      for (int j = 0; j < found[i]->count(); ++j) {
        this->ExpectSame(expected[i]->cpu_data()[j], found[i]->cpu_data()[j],
            "weight");
      }
    }
  }
}

}  // namespace caffe
