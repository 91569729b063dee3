#include <algorithm>
#include <string>
#include <vector>

#include "caffe/test/test_dropout_pattern_state_util.hpp"

namespace caffe {

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
  EXPECT_EQ(this->Pattern(*solver, "pattern1").draws(), 0);
  EXPECT_EQ(this->Pattern(*solver, "pattern1").seed(), 3);
  // Also when this solver has drawn already.
  solver->Step(1);
  solver->Restore(file.c_str());
  EXPECT_EQ(this->Pattern(*solver, "pattern1").draws(), 0);
}

// What the net says now wins, layer by layer.
TYPED_TEST(DropoutPatternStateTest, TestNetThatHasChanged) {
  const string kFormats[] = {"BINARYPROTO", "HDF5"};
  for (int f = 0; f < 2; ++f) {
    const string net = this->NetText();
    this->Save(net, kFormats[f]);
    // Another name.
    DropoutPatternState pattern =
        this->Resume(this->NetText("renamed"), kFormats[f], "renamed");
    EXPECT_EQ(pattern.draws(), 0);
    EXPECT_EQ(pattern.seed(), 4);
    // Another rate: the sequence goes on with the net's K.
    pattern = this->Resume(this->NetText("pattern2", "probability: 1 "
        "probability: 0 probability: 0 probability: 0"), kFormats[f]);
    EXPECT_EQ(pattern.draws(), 2);
    EXPECT_EQ(pattern.seed(), 3);
    EXPECT_EQ(pattern.probability(0), 1);
    // The same to 1e-6: the state's.
    pattern = this->Resume(this->NetText("pattern2", "probability: 0 "
        "probability: 0.5000005 probability: 0.4999995 probability: 0"),
        kFormats[f]);
    EXPECT_EQ(pattern.draws(), 2);
    EXPECT_EQ(pattern.probability(1), 0.5);
    // Another length.
    pattern = this->Resume(this->NetText("pattern2",
        "probability: 0.25 probability: 0.75"), kFormats[f]);
    EXPECT_EQ(pattern.draws(), 0);
    EXPECT_EQ(pattern.probability_size(), 2);
    EXPECT_EQ(pattern.probability(1), 0.75);
    // Another family.
    string other = this->NetText();
    other.replace(other.find("family: PERIOD"), 14, "family: RESIDUE");
    pattern = this->Resume(other, kFormats[f], "pattern1");
    EXPECT_EQ(pattern.draws(), 0);
    EXPECT_EQ(pattern.family(), DropoutPatternParameter::RESIDUE);
    EXPECT_EQ(pattern.seed(), 4);
    // The layer beside it is not concerned.
    EXPECT_EQ(this->Resume(other, kFormats[f], "pattern2").draws(), 2);
  }
}

// Layers are found by name, in whatever order and number.
TYPED_TEST(DropoutPatternStateTest, TestMoreFewerAndReorderedLayers) {
  const string kFormats[] = {"BINARYPROTO", "HDF5"};
  const string kMore = "layer { name: 'zeroth' type: 'DropoutPattern' "
      "top: 'z' dropout_pattern_param { probability: 0 probability: 1 } } ";
  for (int f = 0; f < 2; ++f) {
    this->Save(this->NetText(), kFormats[f]);
    string net = kMore + this->NetText();
    EXPECT_EQ(this->Resume(net, kFormats[f], "zeroth").draws(), 0);
    EXPECT_EQ(this->Resume(net, kFormats[f], "pattern1").draws(), 2);
    // In another order; then fewer.
    this->Save(net, kFormats[f]);
    net = this->NetText() + kMore;
    EXPECT_EQ(this->Resume(net, kFormats[f], "zeroth").draws(), 2);
    EXPECT_EQ(this->Resume(net, kFormats[f], "pattern2").draws(), 2);
    EXPECT_EQ(this->Resume(this->NetText(), kFormats[f]).draws(), 2);
  }
}

TYPED_TEST(DropoutPatternStateTest, TestNetWithoutPatterns) {
  typedef typename TypeParam::Dtype Dtype;
  const string kFormats[] = {"BINARYPROTO", "HDF5"};
  for (int f = 0; f < 2; ++f) {
    this->Save(this->NetText(), kFormats[f]);
    // The same weights, everything kept.
    string net = this->NetText();
    const char* const kChanges[][2] = {
      {"type: 'DropoutPattern'", "type: 'Input'"},
      {"dropout_pattern_param { family: PERIOD probability: 0.25 "
       "probability: 0.25 probability: 0.5 }",
       "input_param { shape { dim: 1 dim: 5 } }"},
      {"type: 'DropoutPattern'", "type: 'Input'"},
      {"dropout_pattern_param { groups: 2 probability: 0 probability: 0.5 "
       "probability: 0.5 probability: 0}",
       "input_param { shape { dim: 1 dim: 6 } }"}};
    for (int i = 0; i < 4; ++i) {
      const size_t at = net.find(kChanges[i][0]);
      ASSERT_NE(at, string::npos) << kChanges[i][0];
      net.replace(at, string(kChanges[i][0]).size(), kChanges[i][1]);
    }
    shared_ptr<SGDSolver<Dtype> > solver = this->MakeSolver(net, kFormats[f]);
    solver->Restore(this->StateFile(2, kFormats[f]).c_str());
    solver->Step(1);
    EXPECT_EQ(solver->iter(), 3);
  }
}

// A K that comes by a bottom may be there only in the next forward pass.
TYPED_TEST(DropoutPatternStateTest, TestNetThatReadsAnotherK) {
  typedef typename TypeParam::Dtype Dtype;
  string net = this->NetText();
  const string kInline = "probability: 0 probability: 0.5 probability: 0.5 "
      "probability: 0";
  net.replace(net.find(kInline), kInline.size(), "");
  net.replace(net.find("top: 'pattern2'"), 0, "bottom: 'k' ");
  net = "layer { name: 'k' type: 'Input' top: 'k' "
      "input_param { shape { dim: 4 } } } " + net;
  const Dtype kValues[][4] = {{0, 1, 0, 0}, {0, 0, 0, 1}};
  for (int change = 0; change < 2; ++change) {
    shared_ptr<SGDSolver<Dtype> > solver =
        this->MakeSolver(net, "BINARYPROTO");
    Blob<Dtype>* k = solver->net()->blob_by_name("k").get();
    std::copy(kValues[0], kValues[0] + 4, k->mutable_cpu_data());
    solver->Step(2);
    solver->Snapshot();
    solver = this->MakeSolver(net, "BINARYPROTO", 4);
    solver->Restore(this->StateFile(2, "BINARYPROTO").c_str());
    EXPECT_EQ(this->Pattern(*solver, "pattern2").probability(1), 1);
    k = solver->net()->blob_by_name("k").get();
    std::copy(kValues[change], kValues[change] + 4, k->mutable_cpu_data());
    solver->Step(1);
    const DropoutPatternState pattern = this->Pattern(*solver, "pattern2");
    EXPECT_EQ(pattern.draws(), 3);
    EXPECT_EQ(pattern.seed(), 3);
    for (int i = 0; i < 4; ++i) {
      EXPECT_EQ(pattern.probability(i), kValues[change][i]);
    }
  }
}

}  // namespace caffe
