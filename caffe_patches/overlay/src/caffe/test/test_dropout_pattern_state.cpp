#include <string>
#include <vector>

#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"

#include "caffe/caffe.hpp"
#include "caffe/layers/dropout_pattern_layer.hpp"
#include "caffe/sgd_solvers.hpp"
#include "caffe/util/io.hpp"

#include "caffe/test/test_caffe_main.hpp"

namespace caffe {

template <typename TypeParam>
class DropoutPatternStateTest : public MultiDeviceTest<TypeParam> {
 protected:
  typedef typename TypeParam::Dtype Dtype;

  DropoutPatternStateTest() { MakeTempDir(&folder_); }

  // A regression net of two layers that drop units, K being given inline.
  string NetText(const string& name2 = "pattern2",
      const string& pattern2 = "probability: 0 probability: 0.5 "
      "probability: 0.5 probability: 0") {
    const string shape = " shape { dim: 8 dim: 6 } ";
    return "layer { name: 'data' type: 'DummyData' top: 'x' top: 't' "
        "dummy_data_param {" + shape + "shape { dim: 8 dim: 3 } "
        "data_filler { type: 'constant' value: 0.7 } } } "
        "layer { name: 'pattern1' type: 'DropoutPattern' top: 'pattern1' "
        "dropout_pattern_param { family: PERIOD probability: 0.25 "
        "probability: 0.25 probability: 0.5 } } "
        "layer { name: '" + name2 + "' type: 'DropoutPattern' "
        "top: 'pattern2' dropout_pattern_param { groups: 2 " + pattern2
        + "} } "
        "layer { name: 'fc1' type: 'ApproxDropoutInnerProduct' bottom: 'x' "
        "bottom: 'pattern1' top: 'h' inner_product_param { num_output: 7 "
        "weight_filler { type: 'gaussian' std: 0.3 } } "
        "approx_dropout_param { compact_output: true } } "
        "layer { name: 'fc2' type: 'ApproxDropoutInnerProduct' bottom: 'h' "
        "bottom: 'pattern2' bottom: 'pattern1' top: 'g' "
        "inner_product_param { num_output: 8 "
        "weight_filler { type: 'gaussian' std: 0.3 } } "
        "approx_dropout_param { compact_input: true compact_output: true } } "
        "layer { name: 'fc3' type: 'ApproxDropoutInnerProduct' bottom: 'g' "
        "bottom: 'pattern2' top: 'y' inner_product_param { num_output: 3 "
        "weight_filler { type: 'gaussian' std: 0.3 } } "
        "approx_dropout_param { pattern: NONE compact_input: true } } "
        "layer { name: 'loss' type: 'EuclideanLoss' bottom: 'y' bottom: 't' }";
  }

  shared_ptr<SGDSolver<Dtype> > MakeSolver(const string& net,
      const string& format, int seed = 3) {
    std::ostringstream text;
    text << "base_lr: 0.05 momentum: 0.9 lr_policy: 'fixed' max_iter: 100 "
        << "snapshot_prefix: '" << folder_ << "/model' snapshot_format: "
        << format << " solver_mode: "
        << (Caffe::mode() == Caffe::GPU ? "GPU" : "CPU")
        << (seed < 0 ? string() : format_seed(seed)) << " net_param { " << net
        << "}";
    SolverParameter param;
    CHECK(google::protobuf::TextFormat::ParseFromString(text.str(), &param));
    return shared_ptr<SGDSolver<Dtype> >(new SGDSolver<Dtype>(param));
  }

  string format_seed(int seed) {
    std::ostringstream text;
    text << " random_seed: " << seed;
    return text.str();
  }

  string StateFile(int iter, const string& format) {
    std::ostringstream name;
    name << folder_ << "/model_iter_" << iter << ".solverstate"
        << (format == "HDF5" ? ".h5" : "");
    return name.str();
  }

  vector<Dtype> Weights(const Solver<Dtype>& solver) {
    vector<Dtype> all;
    const vector<Blob<Dtype>*>& blobs =
        const_cast<Solver<Dtype>&>(solver).net()->learnable_params();
    for (int i = 0; i < blobs.size(); ++i) {
      all.insert(all.end(), blobs[i]->cpu_data(),
          blobs[i]->cpu_data() + blobs[i]->count());
    }
    return all;
  }

  string folder_;
};

TYPED_TEST_CASE(DropoutPatternStateTest, TestDtypesAndDevices);

// n + restore + n steps are 2n steps, bit for bit, whatever the seed of the
// restoring solver.
TYPED_TEST(DropoutPatternStateTest, TestResumedRunIsTheSameRun) {
  const string kFormats[] = {"BINARYPROTO", "HDF5"};
  for (int f = 0; f < 2; ++f) {
    const string net = this->NetText();
    shared_ptr<SGDSolver<typename TypeParam::Dtype> > whole =
        this->MakeSolver(net, kFormats[f]);
    whole->Step(15);
    whole->Snapshot();
    const vector<typename TypeParam::Dtype> middle = this->Weights(*whole);
    whole->Step(15);
    shared_ptr<SGDSolver<typename TypeParam::Dtype> > resumed =
        this->MakeSolver(net, kFormats[f], 4);
    resumed->Restore(this->StateFile(15, kFormats[f]).c_str());
    EXPECT_TRUE(this->Weights(*resumed) == middle);
    resumed->Step(15);
    EXPECT_TRUE(this->Weights(*resumed) == this->Weights(*whole));
    shared_ptr<SGDSolver<typename TypeParam::Dtype> > other =
        this->MakeSolver(net, kFormats[f], 4);
    other->Step(30);
    EXPECT_FALSE(this->Weights(*other) == this->Weights(*whole));
  }
}

TYPED_TEST(DropoutPatternStateTest, TestStateHoldsSeedKAndDraws) {
  shared_ptr<SGDSolver<typename TypeParam::Dtype> > solver =
      this->MakeSolver(this->NetText(), "BINARYPROTO", 12);
  solver->Step(5);
  solver->Snapshot();
  SolverState state;
  ReadProtoFromBinaryFile(this->StateFile(5, "BINARYPROTO"), &state);
  ASSERT_EQ(state.dropout_pattern_size(), 2);
  EXPECT_EQ(state.dropout_pattern(0).layer(), "pattern1");
  EXPECT_EQ(state.dropout_pattern(0).family(), DropoutPatternParameter::PERIOD);
  EXPECT_EQ(state.dropout_pattern(0).max_period(), 3);
  EXPECT_EQ(state.dropout_pattern(1).layer(), "pattern2");
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(state.dropout_pattern(i).seed(), 12);
    EXPECT_EQ(state.dropout_pattern(i).draws(), 5);
  }
  EXPECT_EQ(state.dropout_pattern(0).probability(2), 0.5);
}

// Another GPU's solver is made of the first one's parameters.
TYPED_TEST(DropoutPatternStateTest, TestFreshSeedReachesReplicas) {
  typedef typename TypeParam::Dtype Dtype;
  shared_ptr<SGDSolver<Dtype> > solver =
      this->MakeSolver(this->NetText(), "BINARYPROTO", -1);
  SGDSolver<Dtype> replica(solver->param());
  const shared_ptr<Net<Dtype> > nets[] = { solver->net(), replica.net() };
  for (int i = 0; i < 2; ++i) {
    for (int j = 1; j <= 2; ++j) {
      DropoutPatternState pattern;
      dynamic_cast<const DropoutPatternLayer<Dtype>&>(*nets[i]->layer_by_name(
          j == 1 ? "pattern1" : "pattern2")).ToProto(&pattern);
      EXPECT_EQ(pattern.seed(), solver->param().random_seed());
    }
  }
}

// Stock Caffe's state says nothing of patterns.
TYPED_TEST(DropoutPatternStateTest, TestStockStateStartsAtDrawZero) {
  typedef typename TypeParam::Dtype Dtype;
  shared_ptr<SGDSolver<Dtype> > solver =
      this->MakeSolver(this->NetText(), "BINARYPROTO");
  solver->Step(5);
  solver->Snapshot();
  const string file = this->StateFile(5, "BINARYPROTO");
  SolverState state;
  ReadProtoFromBinaryFile(file, &state);
  state.clear_dropout_pattern();
  WriteProtoToBinaryFile(state, file);
  solver = this->MakeSolver(this->NetText(), "BINARYPROTO");
  solver->Restore(file.c_str());
  EXPECT_EQ(solver->iter(), 5);
  DropoutPatternState pattern;
  dynamic_cast<const DropoutPatternLayer<Dtype>&>(
      *solver->net()->layer_by_name("pattern1")).ToProto(&pattern);
  EXPECT_EQ(pattern.draws(), 0);
  EXPECT_EQ(pattern.seed(), 3);
}

template <typename Dtype>
class DropoutPatternStateDeathTest
    : public DropoutPatternStateTest<CPUDevice<Dtype> > {
 protected:
  void Restore(const string& net, const string& format) {
    this->MakeSolver(net, format)->Restore(
        this->StateFile(2, format).c_str());
  }
};

TYPED_TEST_CASE(DropoutPatternStateDeathTest, TestDtypes);

TYPED_TEST(DropoutPatternStateDeathTest, TestStateThatDoesNotFit) {
  const string kFormats[] = {"BINARYPROTO", "HDF5"};
  for (int f = 0; f < 2; ++f) {
    shared_ptr<SGDSolver<TypeParam> > solver =
        this->MakeSolver(this->NetText(), kFormats[f]);
    solver->Step(2);
    solver->Snapshot();
    EXPECT_DEATH(this->Restore(this->NetText("renamed"), kFormats[f]),
        "saved with the DropoutPattern layers pattern1, pattern2; the net has "
        "pattern1, renamed");
    EXPECT_DEATH(this->Restore(this->NetText("pattern2",
        "probability: 0.5 probability: 0.5"), kFormats[f]),
        "'pattern2': it was saved with another length N");
  }
}

}  // namespace caffe
