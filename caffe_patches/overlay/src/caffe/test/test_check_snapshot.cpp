#include <unistd.h>

#include <fstream>  // NOLINT(readability/streams)
#include <iterator>
#include <stdexcept>
#include <string>
#include <vector>

#include "caffe/approx_dropout/solver/check_snapshot.hpp"
#include "caffe/test/test_hdf5_sizes_util.hpp"
#include "caffe/test/test_run_state_util.hpp"
#include "caffe/util/hdf5.hpp"

namespace caffe {

class CheckSnapshotTest : public RunStateTestBase<float> {
 protected:
  string NetText(int hidden = 6, const string& fc2 = "fc2") {
    return "layer { name: 'x' type: 'DummyData' top: 'x' top: 't' "
        "dummy_data_param { shape { dim: 5 dim: 4 } shape { dim: 5 dim: 3 } "
        "data_filler { type: 'gaussian' } data_filler { value: 1 } } } "
        "layer { name: 'fc1' type: 'InnerProduct' bottom: 'x' top: 'h' "
        "inner_product_param { num_output: " + format_int(hidden)
        + " weight_filler { type: 'gaussian' } } } "
        "layer { name: '" + fc2 + "' type: 'InnerProduct' bottom: 'h' "
        "top: 'y' inner_product_param { num_output: 3 "
        "weight_filler { type: 'gaussian' } } } "
        "layer { name: 'loss' type: 'EuclideanLoss' bottom: 'y' bottom: 't' }";
  }

  // A solver that has been saved at iteration 2.
  void SavePair(const string& format = "BINARYPROTO",
      const string& type = "SGD") {
    shared_ptr<SGDSolver<float> > solver =
        MakeSolver(NetText(), 3, "", format, type);
    solver->Step(2);
    solver->Snapshot();
  }

  string Content(const string& path) {
    std::ifstream file(path.c_str(), std::ios::binary);
    return string(std::istreambuf_iterator<char>(file),
        std::istreambuf_iterator<char>());
  }

  void Write(const string& content, const string& path) {
    std::ofstream(path.c_str(), std::ios::binary) << content;
  }

  // Restoring throws this, and leaves the solver as it is.
  void ExpectRefused(const string& state, const string& fault,
      const shared_ptr<SGDSolver<float> >& solver) {
    const vector<float> weights = Weights(solver.get());
    try {
      solver->Restore(state.c_str());
      ADD_FAILURE() << state << " was taken; expected: " << fault;
    } catch (const std::runtime_error& error) {
      EXPECT_NE(string(error.what()).find(fault), string::npos)
          << error.what();
      EXPECT_NE(string(error.what()).find(state), string::npos)
          << error.what();
    }
    EXPECT_EQ(solver->iter(), 0);
    EXPECT_TRUE(Weights(solver.get()) == weights);
  }

  void ExpectRefused(const string& state, const string& fault) {
    ExpectRefused(state, fault, MakeSolver(NetText(), 4));
  }
};

// Every state that is cut off is refused; but up to where stock Caffe's state
// ends it is one of stock Caffe.
TEST_F(CheckSnapshotTest, TestStateThatIsCutOff) {
  SavePair();
  const string whole = Content(StateFile(2));
  SolverState stock;
  ASSERT_TRUE(stock.ParseFromString(whole));
  stock.clear_run();
  const int stock_size = stock.ByteSizeLong();
  shared_ptr<SGDSolver<float> > solver = MakeSolver(NetText(), 4);
  // The end, which is long, is text.
  for (int size = 0; size < whole.size();
       size += size < stock_size + 100 ? 1 : 97) {
    // Without current_step, which is 2 bytes, it is 0 as it was.
    if (size == stock_size || size == stock_size - 2) { continue; }
    Write(whole.substr(0, size), StateFile(2));
    ExpectRefused(StateFile(2), "cut off", solver);
  }
  Write(whole, StateFile(2));
  solver->Restore(StateFile(2).c_str());
  EXPECT_EQ(solver->iter(), 2);
}

TEST_F(CheckSnapshotTest, TestHDF5StateThatIsCutOff) {
  SavePair("HDF5");
  const string whole = Content(StateFile(2, "HDF5"));
  for (int size = 0; size < whole.size(); size += whole.size() / 50) {
    Write(whole.substr(0, size), StateFile(2, "HDF5"));
    ExpectRefused(StateFile(2, "HDF5"), "cut off, or not an HDF5 file");
  }
}

TEST_F(CheckSnapshotTest, TestModelThatIsCutOff) {
  const string kFormats[] = {"BINARYPROTO", "HDF5"};
  for (int f = 0; f < 2; ++f) {
    SavePair(kFormats[f]);
    const string model = ModelFile(2, kFormats[f]);
    const string whole = Content(model);
    for (int size = 0; size < whole.size(); size += whole.size() / 20) {
      Write(whole.substr(0, size), model);
      ExpectRefused(StateFile(2, kFormats[f]), "Model " + model);
    }
    unlink(model.c_str());
    ExpectRefused(StateFile(2, kFormats[f]), "No such file or directory");
  }
}

// A state of stock Caffe does not say how long its model is.
TEST_F(CheckSnapshotTest, TestModelWithoutALayer) {
  SavePair();
  SolverState state;
  ReadProtoFromBinaryFileOrDie(StateFile(2), &state);
  state.clear_run();
  WriteProtoToBinaryFile(state, StateFile(2));
  NetParameter model;
  ReadProtoFromBinaryFileOrDie(ModelFile(2), &model);
  const NetParameter whole = model;
  model.mutable_layer()->RemoveLast();
  model.mutable_layer()->RemoveLast();
  WriteProtoToBinaryFile(model, ModelFile(2));
  ExpectRefused(StateFile(2), "it has 0 blobs of layer 'fc2'; in this net that "
      "has 2");
  model = whole;
  model.mutable_layer(1)->mutable_blobs(0)->mutable_data()->RemoveLast();
  WriteProtoToBinaryFile(model, ModelFile(2));
  ExpectRefused(StateFile(2), "blob 0 of its layer 'fc1' has not as many "
      "numbers as its shape says");
}

TEST_F(CheckSnapshotTest, TestForeignFiles) {
  SavePair();
  SavePair("HDF5");
  const string text = folder_ + "/text.solverstate";
  Write("Not a solver state at all.\n", text);
  ExpectRefused(text, "not a solver state");
  ExpectRefused(folder_ + "/none.solverstate", "No such file or directory");
  ExpectRefused(folder_ + "/none.solverstate.h5", "No such file or directory");
  ExpectRefused(folder_, "Is a directory");
  ExpectRefused(ModelFile(2), "not a solver state");
  ExpectRefused(ModelFile(2, "HDF5"), "it is not a solver state");
  const string renamed = folder_ + "/renamed.solverstate.h5";
  Write(Content(StateFile(2)), renamed);
  ExpectRefused(renamed, "not an HDF5 file");
}

TEST_F(CheckSnapshotTest, TestAnotherTypeOfSolver) {
  const string kFormats[] = {"BINARYPROTO", "HDF5"};
  for (int f = 0; f < 2; ++f) {
    SavePair(kFormats[f], "Adam");
    ExpectRefused(StateFile(2, kFormats[f]), "it was saved by a solver of "
        "type: \"Adam\"; this one has type: \"SGD\"");
  }
  SavePair("BINARYPROTO", "Adam");
  SolverState state;
  ReadProtoFromBinaryFileOrDie(StateFile(2), &state);
  state.clear_run();
  WriteProtoToBinaryFile(state, StateFile(2));
  ExpectRefused(StateFile(2), "it holds 8 history blobs; a solver of type: "
      "\"SGD\" has 4 for this net");
}

TEST_F(CheckSnapshotTest, TestAnotherNet) {
  const string kFormats[] = {"BINARYPROTO", "HDF5"};
  for (int f = 0; f < 2; ++f) {
    SavePair(kFormats[f]);
    ExpectRefused(StateFile(2, kFormats[f]), "it is of another net: its "
        "history blob 0 has shape (6 x 4); blob 0 of layer 'fc1' has shape "
        "(7 x 4)", MakeSolver(NetText(7), 4));
    ExpectRefused(StateFile(2, kFormats[f]), "it has 0 blobs of layer "
        "'renamed'; in this net that has 2",
        MakeSolver(NetText(6, "renamed"), 4));
  }
}

TEST_F(CheckSnapshotTest, TestDamagedGenerator) {
  SavePair();
  SolverState state;
  ReadProtoFromBinaryFileOrDie(StateFile(2), &state);
  state.mutable_run()->set_generator("1 2 3");
  WriteProtoToBinaryFile(state, StateFile(2));
  ExpectRefused(StateFile(2), "it holds a generator of random numbers that is "
      "not 624 numbers");
}

#ifdef USE_HDF5
TEST_F(CheckSnapshotTest, TestSizesInHDF5) {
  const string file = StateFile(2, "HDF5");
  SavePair("HDF5");
  hid_t id = H5Fopen(file.c_str(), H5F_ACC_RDWR, H5P_DEFAULT);
  MakeLongDataset(id, "run_state", 1ULL << 60, H5T_NATIVE_UCHAR);
  H5Fclose(id);
  ExpectRefused(file, "its dataset run_state is damaged");
  SavePair("HDF5");
  id = H5Fopen(file.c_str(), H5F_ACC_RDWR, H5P_DEFAULT);
  // As an int its length would be 6, as that of the bias.
  MakeLongDataset(id, "history/1", (1ULL << 32) + 6, H5T_NATIVE_FLOAT);
  H5Fclose(id);
  ExpectRefused(file, "its history blob 1 is not numbers");
  SavePair("HDF5");
  id = H5Fopen(file.c_str(), H5F_ACC_RDWR, H5P_DEFAULT);
  H5Ldelete(id, "learned_net", H5P_DEFAULT);
  H5LTmake_dataset_string(id, "learned_net", string(100000, 'a').c_str());
  H5Fclose(id);
  ExpectRefused(file, "its 'learned_net' is not a text");
}
#endif  // USE_HDF5

// An HDF5 model leaves out what a layer shares.
TEST_F(CheckSnapshotTest, TestSharedWeights) {
  const string fc = "type: 'InnerProduct' param { name: 'w' } param { name: "
      "'b' } inner_product_param { num_output: 4 weight_filler { type: "
      "'gaussian' } } } ";
  const string net = "layer { name: 'x' type: 'DummyData' top: 'x' top: 't' "
      "dummy_data_param { shape { dim: 5 dim: 4 } data_filler { value: 1 } } } "
      "layer { name: 'a' bottom: 'x' top: 'h' " + fc
      + "layer { name: 'b' bottom: 'h' top: 'y' " + fc
      + "layer { name: 'loss' type: 'EuclideanLoss' bottom: 'y' bottom: 't' }";
  const string kFormats[] = {"BINARYPROTO", "HDF5"};
  for (int f = 0; f < 2; ++f) {
    shared_ptr<SGDSolver<float> > saved = MakeSolver(net, 3, "", kFormats[f]);
    saved->Step(1);
    saved->Snapshot();
    shared_ptr<SGDSolver<float> > solver = MakeSolver(net, 4);
    solver->Restore(StateFile(1, kFormats[f]).c_str());
    EXPECT_TRUE(Weights(solver.get()) == Weights(saved.get()));
  }
}

TEST_F(CheckSnapshotTest, TestNewest) {
  const string prefix = folder_ + "/model";
  EXPECT_EQ(NewestSnapshot(prefix), "");
  EXPECT_EQ(NewestSnapshot(folder_ + "/none/model"), "");
  shared_ptr<SGDSolver<float> > solver = MakeSolver(NetText(), 3);
  for (int i = 0; i < 4; ++i) {
    solver->Step(i == 0 ? 9 : 1);
    solver->Snapshot();
  }
  // By number, not by name; other names are not looked at.
  Write("", folder_ + "/model_iter_99.solverstate.part");
  Write("", folder_ + "/model_iter_.solverstate");
  Write("", folder_ + "/another_iter_99.solverstate");
  EXPECT_EQ(NewestSnapshot(prefix), StateFile(12));
  Write("", StateFile(12));
  unlink(ModelFile(11).c_str());
  LogText log;
  EXPECT_EQ(NewestSnapshot(prefix), StateFile(10));
  EXPECT_TRUE(log.Has("Passed over. Solver state " + StateFile(12)
      + ": it is cut off, or not a solver state")) << log.text();
  EXPECT_TRUE(log.Has("Passed over. Model " + ModelFile(11) + " of solver "
      "state " + StateFile(11) + ": No such file")) << log.text();
}

}  // namespace caffe
