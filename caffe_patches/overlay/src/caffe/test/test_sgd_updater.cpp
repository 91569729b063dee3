#include <stdexcept>
#include <string>
#include <vector>

#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"

#include "caffe/caffe.hpp"
#include "caffe/sgd_solvers.hpp"

#include "caffe/test/test_approx_dropout_util.hpp"
#include "caffe/test/test_caffe_main.hpp"

namespace caffe {

// SGDSolver with SGDUpdater against SGDSolver with Caffe's own dense update,
// which snapshot_diff asks for.
template <typename TypeParam>
class SGDUpdaterTest : public MultiDeviceTest<TypeParam> {
 protected:
  typedef typename TypeParam::Dtype Dtype;
  // cuBLAS and the update's kernels round differently.
  static double Magnitude(Dtype value) {
    return TypeParam::device == Caffe::GPU ? 10 : std::abs(value);
  }

  static string Data(int inputs) {
    std::ostringstream text;
    text << "layer { name: 'data' type: 'DummyData' top: 'x' top: 't' "
        << "dummy_data_param { shape { dim: 6 dim: " << inputs << " } "
        << "shape { dim: 6 dim: 3 } data_filler { type: 'gaussian' } "
        << "data_filler { type: 'gaussian' } } } ";
    return text.str();
  }

  static string Pattern(const string& name, const string& text) {
    return "layer { name: '" + name + "' type: 'DropoutPattern' top: '" + name
        + "' dropout_pattern_param {" + text + "} } ";
  }

  static string Product(const string& name, const string& bottoms, int outputs,
      const string& approx, const string& more = "") {
    std::ostringstream text;
    text << "layer { name: '" << name << "' type: 'ApproxDropoutInnerProduct' "
        << bottoms << " top: '" << name << "' inner_product_param { num_output:"
        << outputs << " weight_filler { type: 'gaussian' std: 0.2 } } "
        << "approx_dropout_param {" << approx << "} " << more << "} ";
    return text.str();
  }

  static string Loss(const string& bottom) {
    return "layer { name: 'loss' type: 'EuclideanLoss' top: 'loss' bottom: '"
        + bottom + "' bottom: 't' }";
  }

  static string RowNet() {
    return Data(20)
        + Pattern("p", "probability: 0 probability: 0.7 probability: 0.3 "
            "probability: 0")
        + Pattern("q", "family: PERIOD probability: 0.3 probability: 0.3 "
            "probability: 0.4")
        + Product("a", "bottom: 'x' bottom: 'p'", 24, "compact_output: true")
        + Product("b", "bottom: 'a' bottom: 'q' bottom: 'p'", 17,
            "compact_input: true compact_output: true",
            "param { lr_mult: 2 decay_mult: 0.5 } param { lr_mult: 1 }")
        + Product("c", "bottom: 'b' bottom: 'q'", 3,
            "pattern: NONE compact_input: true") + Loss("c");
  }

  static string GroupNet() {
    return Data(20)
        + Pattern("p", "groups: 3 probability: 0 probability: 0.7 "
            "probability: 0.3 probability: 0")
        + Product("a", "bottom: 'x' bottom: 'p'", 24, "compact_output: true")
        + Product("b", "bottom: 'a' bottom: 'p' bottom: 'p'", 16,
            "compact_input: true")
        + Product("c", "bottom: 'b'", 3, "pattern: NONE") + Loss("c");
  }

  // Products with every pattern, each with a ReLU behind it.
  static string RectifiedNet() {
    const string kReLU = "layer { name: 'r' type: 'ReLU' ";
    return Data(20)
        + Pattern("p", "probability: 0 probability: 0.7 probability: 0.3")
        + Pattern("g", "groups: 3 probability: 0 probability: 1 "
            "probability: 0")
        + Product("a", "bottom: 'x' bottom: 'p'", 24, "compact_output: true")
        + kReLU + "bottom: 'a' top: 'a' } "
        + Product("b", "bottom: 'a' bottom: 'p' bottom: 'p'", 21,
            "compact_input: true")
        + kReLU + "bottom: 'b' top: 'b' } "
        + Product("c", "bottom: 'b' bottom: 'g'", 18, "")
        + kReLU + "bottom: 'c' top: 'c' } "
        + Product("d", "bottom: 'c' bottom: 'p'", 30,
            "pattern: TILE tile_size: 4")
        + kReLU + "bottom: 'd' top: 'd' } "
        + Product("e", "bottom: 'd'", 3, "pattern: NONE") + Loss("e");
  }

  // Some passes keep every tile.
  static string TileNet(const string& groups) {
    return Data(37)
        + Pattern("p", groups + "probability: 0 probability: 0.6 "
            "probability: 0.3 probability: 0.1")
        + Product("a", "bottom: 'x' bottom: 'p'", 45,
            "pattern: TILE tile_size: 8")
        + Product("c", "bottom: 'a'", 3, "pattern: NONE") + Loss("c");
  }

  // A lazily updated product whose outputs, two of three at a time, are to
  // have this value.
  static string Tower(const string& name, const string& value) {
    return "layer { name: '" + name + "x' type: 'DummyData' top: '" + name
        + "x' top: '" + name + "t' dummy_data_param { "
        "shape { dim: 6 dim: 20 } shape { dim: 6 dim: 3 } "
        "data_filler { value: 1 } data_filler { value: " + value + " } } } "
        + Pattern(name + "p", "probability: 0 probability: 1 probability: 0")
        + Product(name, "bottom: '" + name + "x' bottom: '" + name + "p'", 3,
            "")
        + "layer { name: '" + name + "loss' type: 'EuclideanLoss' bottom: '"
        + name + "' bottom: '" + name + "t' }";
  }

  static string EmbedNet() {
    return "layer { name: 'data' type: 'DummyData' top: 'w' top: 't' "
        "dummy_data_param { shape { dim: 6 } shape { dim: 6 dim: 3 } "
        "data_filler { type: 'uniform' min: 0 max: 40 } "
        "data_filler { type: 'gaussian' } } } "
        // Words are whole numbers.
        "layer { name: 'word' type: 'Threshold' bottom: 'w' top: 'word' "
        "threshold_param { threshold: 20 } } "
        "layer { name: 'e' type: 'Embed' bottom: 'word' top: 'e' "
        "embed_param { num_output: 9 input_dim: 41 "
        "weight_filler { type: 'gaussian' } } } "
        "layer { name: 'c' type: 'InnerProduct' bottom: 'e' top: 'c' "
        "inner_product_param { num_output: 3 "
        "weight_filler { type: 'gaussian' } } } " + Loss("c");
  }

  // Weights, momentum and last updates after the steps, taken in several
  // calls.
  static vector<Dtype> Train(const string& net, const string& solver_text,
      bool dense) {
    SolverParameter param;
    CHECK(google::protobuf::TextFormat::ParseFromString(
        "random_seed: 7 max_iter: 300 base_lr: 0.002 "
        + solver_text + (dense ? " snapshot_diff: true" : "")
        + " net_param {" + net + "}", &param));
    SGDSolver<Dtype> solver(param);
    const int kCalls[] = {1, 2, 50, 97, 50};
    for (int i = 0; i < 5; ++i) { solver.Step(kCalls[i]); }
    vector<Dtype> all;
    const vector<Blob<Dtype>*>& blobs = solver.net()->learnable_params();
    for (int i = 0; i < blobs.size(); ++i) {
      all.insert(all.end(), blobs[i]->cpu_data(),
          blobs[i]->cpu_data() + blobs[i]->count());
      const Blob<Dtype>& history = *solver.history()[i];
      all.insert(all.end(), history.cpu_data(),
          history.cpu_data() + history.count());
      all.insert(all.end(), blobs[i]->cpu_diff(),
          blobs[i]->cpu_diff() + blobs[i]->count());
    }
    return all;
  }

  static void ExpectSame(const string& net, const string& solver_text) {
    SCOPED_TRACE(solver_text);
    const vector<Dtype> lazy = Train(net, solver_text, false);
    const vector<Dtype> dense = Train(net, solver_text, true);
    ASSERT_EQ(lazy.size(), dense.size());
    for (int i = 0; i < lazy.size(); ++i) {
      ExpectNear(dense[i], lazy[i], Magnitude(dense[i]), "weight", i);
      ASSERT_TRUE(std::isfinite(lazy[i]));
    }
  }
};

TYPED_TEST_CASE(SGDUpdaterTest, TestDtypesAndDevices);

TYPED_TEST(SGDUpdaterTest, TestRegularizationAndMomentum) {
  const string kSolvers[] = {
    "lr_policy: 'fixed'",
    "lr_policy: 'fixed' momentum: 0.9",
    "lr_policy: 'fixed' momentum: 0.9 weight_decay: 0.05",
    "lr_policy: 'fixed' weight_decay: 0.05",
    "lr_policy: 'fixed' momentum: 0.9 weight_decay: 0.001 "
    "regularization_type: 'L1'",
    "lr_policy: 'fixed' momentum: 0.9 iter_size: 3",
    "lr_policy: 'fixed' momentum: 0.5 clip_gradients: 0.5",
    "lr_policy: 'fixed' momentum: 0.9 weight_decay: 0.01 clip_gradients: 1 "
    "iter_size: 2"};
  for (int i = 0; i < 8; ++i) {
    this->ExpectSame(this->RowNet(), kSolvers[i]);
    this->ExpectSame(this->TileNet(""), kSolvers[i]);
    this->ExpectSame(this->TileNet("groups: 3 "), kSolvers[i]);
    this->ExpectSame(this->GroupNet(), kSolvers[i]);
    this->ExpectSame(this->EmbedNet(), kSolvers[i]);
  }
}

// As in Caffe: by a norm that is not a number nothing is clipped, so that what
// has nothing to do with it trains on; by an infinite one the step is skipped.
TYPED_TEST(SGDUpdaterTest, TestClipsByNormsThatAreNotFinite) {
  typedef typename TypeParam::Dtype Dtype;
  const string kSolver = "lr_policy: 'fixed' momentum: 0.9 ";
  const string kClip = kSolver + "clip_gradients: 0.5";
  const vector<Dtype> alone =
      this->Train(this->Tower("b", "1"), kSolver, false);
  const vector<Dtype> with_nan = this->Train(
      this->Tower("b", "1") + this->Tower("a", "nan"), kClip, false);
  ASSERT_GT(with_nan.size(), alone.size());
  for (size_t i = 0; i < alone.size(); ++i) {
    ASSERT_TRUE(std::isfinite(alone[i]));
    EXPECT_EQ(with_nan[i], alone[i]);
  }
  // Infinite gradients, and those whose squares a float does not hold.
  const string kValues[] = {"inf", "1e25"};
  for (int v = 0; v < 2; ++v) {
    SCOPED_TRACE(kValues[v]);
    const string net =
        this->Tower("b", "1") + this->Tower("a", kValues[v]);
    const vector<Dtype> lazy = this->Train(net, kClip, false);
    const vector<Dtype> dense = this->Train(net, kClip, true);
    for (size_t i = 0; i < lazy.size(); ++i) {
      ASSERT_TRUE(std::isfinite(lazy[i]));
      // cuBLAS multiplies infinities by 0.
      if (std::isfinite(dense[i])) {
        ExpectNear(dense[i], lazy[i], this->Magnitude(dense[i]), "weight", i);
      }
    }
  }
}

// With one solver: the more values, the likelier is one so near 0 that
// rounding decides whether it is rectified.
TYPED_TEST(SGDUpdaterTest, TestRectified) {
  this->ExpectSame(this->RectifiedNet(),
      "lr_policy: 'fixed' momentum: 0.9 weight_decay: 0.05");
}

TYPED_TEST(SGDUpdaterTest, TestLearningRatePolicies) {
  const string kPolicies[] = {
    "lr_policy: 'step' gamma: 0.5 stepsize: 30",
    "lr_policy: 'exp' gamma: 0.99",
    "lr_policy: 'inv' gamma: 0.01 power: 0.75",
    "lr_policy: 'multistep' gamma: 0.5 stepvalue: 20 stepvalue: 90",
    "lr_policy: 'poly' power: 0.5",
    "lr_policy: 'sigmoid' gamma: 0.05 stepsize: 100"};
  for (int i = 0; i < 6; ++i) {
    this->ExpectSame(this->RowNet(),
        kPolicies[i] + " momentum: 0.9 weight_decay: 0.005");
  }
}

// Tied weights have two layers that read them: they are updated at once.
TYPED_TEST(SGDUpdaterTest, TestTiedWeights) {
  const string param = "param { name: 'tied' } param { name: 'bias' }";
  const string net = this->Data(8)
      + this->Pattern("p", "probability: 0.5 probability: 0.5")
      + this->Product("a", "bottom: 'x' bottom: 'p'", 8, "", param)
      + this->Product("b", "bottom: 'a' bottom: 'p'", 8, "", param)
      + this->Product("c", "bottom: 'b'", 3, "pattern: NONE")
      + this->Loss("c");
  this->ExpectSame(net, "lr_policy: 'fixed' momentum: 0.9 weight_decay: 0.05");
}

// Tests within Step see weights that are up to date.
TYPED_TEST(SGDUpdaterTest, TestTestsSeeUpToDateWeights) {
  typedef typename TypeParam::Dtype Dtype;
  vector<Dtype> weights[2];
  for (int dense = 0; dense < 2; ++dense) {
    SolverParameter param;
    CHECK(google::protobuf::TextFormat::ParseFromString(
        "random_seed: 7 base_lr: 0.002 lr_policy: 'fixed' momentum: 0.9 "
        "weight_decay: 0.01 test_iter: 1 test_interval: 10 "
        + string(dense ? "snapshot_diff: true " : "")
        + "net_param {" + this->RowNet() + "}", &param));
    SGDSolver<Dtype> solver(param);
    solver.Step(41);  // the last test is at the beginning of step 40
    const Blob<Dtype>& loss = *solver.test_nets()[0]->output_blobs()[0];
    weights[dense].push_back(loss.cpu_data()[0]);
  }
  ExpectNear(weights[1][0], weights[0][0],
      this->Magnitude(1), "loss", 0);
}

// Throws in one forward pass, as a Python layer does on Ctrl-C.
template <typename Dtype>
class InterruptLayer : public Layer<Dtype> {
 public:
  explicit InterruptLayer(const LayerParameter& param)
      : Layer<Dtype>(param) {}
  virtual void Reshape(const vector<Blob<Dtype>*>& bottom,
      const vector<Blob<Dtype>*>& top) {}
  virtual const char* type() const { return "Interrupt"; }
  static int passes;  // until then

 protected:
  virtual void Forward_cpu(const vector<Blob<Dtype>*>& bottom,
      const vector<Blob<Dtype>*>& top) {
    if (--passes == 0) { throw std::runtime_error("interrupted"); }
  }
  virtual void Backward_cpu(const vector<Blob<Dtype>*>& top,
      const vector<bool>& propagate_down, const vector<Blob<Dtype>*>& bottom) {}
};

template <typename Dtype>
int InterruptLayer<Dtype>::passes = 0;
INSTANTIATE_CLASS(InterruptLayer);
REGISTER_LAYER_CLASS(Interrupt);

TYPED_TEST(SGDUpdaterTest, TestInterruptedStep) {
  typedef typename TypeParam::Dtype Dtype;
  vector<Dtype> weights[2];
  for (int dense = 0; dense < 2; ++dense) {
    SolverParameter param;
    CHECK(google::protobuf::TextFormat::ParseFromString(
        "random_seed: 7 base_lr: 0.002 lr_policy: 'fixed' momentum: 0.9 "
        + string(dense ? "snapshot_diff: true " : "") + "net_param {"
        + this->RowNet() + "layer { name: 'i' type: 'Interrupt' bottom: 'x' }"
        + "}", &param));
    SGDSolver<Dtype> solver(param);
    InterruptLayer<Dtype>::passes = 8;
    EXPECT_THROW(solver.Step(20), std::runtime_error);
    for (int more = 0; more < 2; ++more) {
      const vector<Blob<Dtype>*>& blobs = solver.net()->learnable_params();
      for (int i = 0; i < blobs.size(); ++i) {
        weights[dense].insert(weights[dense].end(), blobs[i]->cpu_data(),
            blobs[i]->cpu_data() + blobs[i]->count());
      }
      solver.Step(20);
    }
  }
  ASSERT_EQ(weights[1].size(), weights[0].size());
  for (int i = 0; i < weights[0].size(); ++i) {
    ExpectNear(weights[1][i], weights[0][i], this->Magnitude(weights[1][i]),
        "weight", i);
  }
}

}  // namespace caffe
