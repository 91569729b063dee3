#include <stdexcept>
#include <string>
#include <vector>

#include "caffe/test/test_sgd_updater_util.hpp"

namespace caffe {

// SGDSolver with SGDUpdater against SGDSolver with Caffe's own dense update,
// which snapshot_diff asks for.
template <typename TypeParam>
class SGDUpdaterTest : public SGDUpdaterTestBase<TypeParam> {
 protected:
  typedef typename TypeParam::Dtype Dtype;
  // cuBLAS and the update's kernels round differently.
  static double Magnitude(Dtype value) {
    return TypeParam::device == Caffe::GPU ? 10 : std::abs(value);
  }

  static void ExpectSame(const string& net, const string& solver_text) {
    SCOPED_TRACE(solver_text);
    const vector<Dtype> lazy = SGDUpdaterTest::Train(net, solver_text, false);
    const vector<Dtype> dense = SGDUpdaterTest::Train(net, solver_text, true);
    SGDUpdaterTest::ExpectNearDense(lazy, dense);
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
    const shared_ptr<SGDSolver<Dtype> > solver =
        this->MakeSolver(this->RowNet(),
            "base_lr: 0.002 lr_policy: 'fixed' momentum: 0.9 "
            "weight_decay: 0.01 test_iter: 1 test_interval: 10",
            dense);
    solver->Step(41);  // the last test is at the beginning of step 40
    const Blob<Dtype>& loss = *solver->test_nets()[0]->output_blobs()[0];
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
    const shared_ptr<SGDSolver<Dtype> > solver = this->MakeSolver(
        this->RowNet() + "layer { name: 'i' type: 'Interrupt' bottom: 'x' }",
        "base_lr: 0.002 lr_policy: 'fixed' momentum: 0.9", dense);
    InterruptLayer<Dtype>::passes = 8;
    EXPECT_THROW(solver->Step(20), std::runtime_error);
    for (int more = 0; more < 2; ++more) {
      const vector<Blob<Dtype>*>& blobs = solver->net()->learnable_params();
      for (int i = 0; i < blobs.size(); ++i) {
        weights[dense].insert(weights[dense].end(), blobs[i]->cpu_data(),
            blobs[i]->cpu_data() + blobs[i]->count());
      }
      solver->Step(20);
    }
  }
  ASSERT_EQ(weights[1].size(), weights[0].size());
  for (int i = 0; i < weights[0].size(); ++i) {
    ExpectNear(weights[1][i], weights[0][i], this->Magnitude(weights[1][i]),
        "weight", i);
  }
}

}  // namespace caffe
