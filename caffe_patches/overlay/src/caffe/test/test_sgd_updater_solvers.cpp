#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "caffe/test/test_sgd_updater_util.hpp"
#include "caffe/util/format.hpp"
#include "caffe/util/io.hpp"

namespace caffe {

// The solvers made of SGDSolver.
template <typename TypeParam>
class SGDUpdaterSolversTest : public SGDUpdaterTestBase<TypeParam> {
 protected:
  typedef typename TypeParam::Dtype Dtype;

  // One of them, by Caffe's generator.
  template <typename Value, size_t kSize>
  static const Value& Any(const Value (&values)[kSize]) {
    return values[caffe_rng_rand() % kSize];
  }

  // A solver of any type with any policy, and what goes with it.
  static string AnySolver(const string& type) {
    const string kPolicies[] = {"lr_policy: 'fixed' ",
        "lr_policy: 'step' gamma: 0.5 stepsize: 30 ",
        "lr_policy: 'exp' gamma: 0.99 ",
        "lr_policy: 'inv' gamma: 0.01 power: 0.75 ",
        "lr_policy: 'multistep' gamma: 0.5 stepvalue: 20 stepvalue: 90 ",
        "lr_policy: 'poly' power: 0.5 ",
        "lr_policy: 'sigmoid' gamma: 0.05 stepsize: 100 "};
    const string kDecays[] = {"", "weight_decay: 0.01 ",
        "weight_decay: 0.001 regularization_type: 'L1' "};
    const string kClips[] = {"", "", "clip_gradients: 0.5 "};
    const string kIterations[] = {"", "", "iter_size: 2 "};
    const string kMomenta[] = {"momentum: 0.9 ", "momentum: 0.5 ", ""};
    const string kDeltas[] = {"", "delta: 0.01 "};
    string text = "type: '" + type + "' " + Any(kPolicies) + Any(kDecays) +
                  Any(kClips) + Any(kIterations) + Any(kDeltas);
    if (type == "RMSProp") {
      return text + "rms_decay: 0.9 ";
    }
    return type == "AdaGrad" ? text : text + Any(kMomenta);
  }

  string AnyNet() const {
    const string kNets[] = {this->RowNet(), this->GroupNet(), this->TileNet(""),
        this->TileNet("groups: 3 "), this->EmbedNet(), this->RectifiedNet()};
    return Any(kNets);
  }

  // As many steps as Train's.
  vector<Dtype> TrainEagerly(const string& net, const string& solver_text) {
    const shared_ptr<SGDSolver<Dtype> > solver =
        this->MakeSolver(net, "base_lr: 0.002 " + solver_text, false);
    this->StepEagerly(200, solver.get());
    return this->Values(solver.get());
  }
};

const char* const kSolverTypes[] = {
    "SGD", "Nesterov", "AdaGrad", "RMSProp", "AdaDelta", "Adam"};

typedef ::testing::Types<CPUDevice<float>, CPUDevice<double> > CPUTypes;
TYPED_TEST_CASE(SGDUpdaterSolversTest, CPUTypes);

TYPED_TEST(SGDUpdaterSolversTest, TestLazyIsEager) {
  typedef typename TypeParam::Dtype Dtype;
  Caffe::set_random_seed(1701);
  for (const char* type : kSolverTypes) {
    for (int i = 0; i < 2; ++i) {
      const string solver = this->AnySolver(type);
      const string net = this->AnyNet();
      const unsigned int next = caffe_rng_rand();
      SCOPED_TRACE(solver + net);
      const vector<Dtype> lazy = this->Train(net, solver, false);
      EXPECT_TRUE(this->Same(lazy, this->TrainEagerly(net, solver)));
      for (Dtype value : lazy) {
        ASSERT_TRUE(std::isfinite(value));
      }
      Caffe::set_random_seed(next);  // a solver sets it to its own
    }
  }
}

// Caffe's update calls pow where ours squares and takes the root, so that a
// value differs in its last place now and then.
TYPED_TEST(SGDUpdaterSolversTest, TestLazyIsCaffes) {
  typedef typename TypeParam::Dtype Dtype;
  Caffe::set_random_seed(1702);
  for (const char* type : kSolverTypes) {
    const string solver = this->AnySolver(type);
    const string net = this->AnyNet();
    const unsigned int next = caffe_rng_rand();
    SCOPED_TRACE(solver + net);
    const vector<Dtype> lazy = this->Train(net, solver, false);
    const vector<Dtype> dense = this->Train(net, solver, true);
    ASSERT_EQ(lazy.size(), dense.size());
    for (size_t v = 0; v < lazy.size(); ++v) {
      ASSERT_NEAR(dense[v], lazy[v], sizeof(Dtype) == 4 ? 1e-4 : 1e-10) << v;
    }
    Caffe::set_random_seed(next);
  }
}

// A snapshot in the middle of a call of Step, and what goes on from it, in both
// formats.
TYPED_TEST(SGDUpdaterSolversTest, TestSnapshots) {
  typedef typename TypeParam::Dtype Dtype;
  const string kFormats[] = {"BINARYPROTO", "HDF5"};
  string folder;
  MakeTempDir(&folder);
  for (const char* type : kSolverTypes) {
    for (const string& format : kFormats) {
      SCOPED_TRACE(string(type) + " " + format);
      const bool has_momentum =
          type != string("AdaGrad") && type != string("RMSProp");
      const string solver =
          "base_lr: 0.002 lr_policy: 'inv' gamma: 0.01 "
          "power: 0.75 snapshot: 20 snapshot_prefix: '" +
          folder + "/model' snapshot_format: " + format + " type: '" + type +
          "' " + (has_momentum ? "momentum: 0.9 " : "");
      // The same numbers in every iteration, on both sides of the snapshot.
      string net = this->RowNet();
      for (size_t at; (at = net.find("{ type: 'gaussian' }")) < net.size();) {
        net.replace(at, 20, "{ type: 'constant' value: 0.5 }");
      }
      const shared_ptr<SGDSolver<Dtype> > whole =
          this->MakeSolver(net, solver, false);
      whole->Step(50);
      const shared_ptr<SGDSolver<Dtype> > resumed =
          this->MakeSolver(net, solver, false);
      resumed->Restore((folder + "/model_iter_20.solverstate" +
                        (format == "HDF5" ? ".h5" : ""))
                           .c_str());
      resumed->Step(30);
      EXPECT_TRUE(
          this->Same(this->Values(whole.get()), this->Values(resumed.get())));
    }
  }
}

// Negative, and none at all.
TYPED_TEST(SGDUpdaterSolversTest, TestLearningRateFactors) {
  typedef typename TypeParam::Dtype Dtype;
  for (const char* type : kSolverTypes) {
    SCOPED_TRACE(type);
    const string net =
        this->Data(20) +
        this->Pattern("p",
            "probability: 0 probability: 0.7 "
            "probability: 0.3") +
        this->Product("a", "bottom: 'x' bottom: 'p'", 24, "",
            "param { lr_mult: 0 } param { lr_mult: -0.5 }") +
        this->Product("b", "bottom: 'a' bottom: 'p'", 3, "",
            "param { lr_mult: -1 decay_mult: 0 } param { lr_mult: 0.1 }") +
        this->Loss("b");
    const string solver =
        string("type: '") + type + "' lr_policy: 'fixed' weight_decay: 0.01";
    const vector<Dtype> lazy = this->Train(net, solver, false);
    EXPECT_TRUE(this->Same(lazy, this->TrainEagerly(net, solver)));
    const vector<Dtype> dense = this->Train(net, solver, true);
    for (size_t v = 0; v < lazy.size(); ++v) {
      ASSERT_NEAR(dense[v], lazy[v], sizeof(Dtype) == 4 ? 1e-4 : 1e-10) << v;
    }
  }
}

}  // namespace caffe
