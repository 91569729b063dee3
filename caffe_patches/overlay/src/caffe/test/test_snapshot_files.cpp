#include <unistd.h>

#include <fstream>  // NOLINT(readability/streams)
#include <iterator>
#include <stdexcept>
#include <string>
#include <vector>

#include "caffe/approx_dropout/solver/snapshot_files.hpp"
#include "caffe/util/hdf5.hpp"

#include "caffe/test/test_run_state_util.hpp"

namespace caffe {

class SnapshotFilesTest : public RunStateTestBase<float> {
 protected:
  SnapshotFilesTest()
      : model_(folder_ + "/model"), state_(folder_ + "/state") {}

  bool Exists(const string& path) { return access(path.c_str(), F_OK) == 0; }

  string Content(const string& path) {
    std::ifstream file(path.c_str(), std::ios::binary);
    CHECK(file.good()) << path;
    return string(std::istreambuf_iterator<char>(file),
        std::istreambuf_iterator<char>());
  }

  // Whoever writes `path` finds a disk that is full.
  void FillDiskOf(const string& path) {
    ASSERT_EQ(symlink("/dev/full", PartOf(path).c_str()), 0);
  }

  // The pair of an earlier snapshot.
  void WriteOldPair() {
    std::ofstream(model_.c_str()) << "old model";
    std::ofstream(state_.c_str()) << "old state";
  }

  string NetText() {
    return "layer { name: 'x' type: 'DummyData' top: 'x' top: 'label' "
        "dummy_data_param { shape { dim: 5 dim: 4 } shape { dim: 5 } "
        "data_filler { type: 'gaussian' } data_filler { value: 1 } } } "
        + ClassifierText();
  }

  string model_, state_;
};

TEST_F(SnapshotFilesTest, TestPublish) {
  WriteOldPair();
  BlobProto state;
  state.add_data(1.5);
  WriteSynced(string("new model"), PartOf(model_));
  EXPECT_EQ(FileBytes(PartOf(model_)), 9);
  EXPECT_EQ(Content(model_), "old model");
  PublishSnapshot(state, state_, model_);
  EXPECT_EQ(Content(model_), "new model");
  EXPECT_EQ(Content(state_), state.SerializeAsString());
  EXPECT_FALSE(Exists(PartOf(model_)));
  EXPECT_FALSE(Exists(PartOf(state_)));
}

TEST_F(SnapshotFilesTest, TestStateThatDoesNotFitLeavesThePair) {
  WriteOldPair();
  WriteSynced(string("new model"), PartOf(model_));
  FillDiskOf(state_);
  try {
    PublishSnapshot(string("new state"), state_, model_);
    ADD_FAILURE() << "/dev/full was written";
  } catch (const std::runtime_error& error) {
    EXPECT_EQ(error.what(), "Cannot write " + PartOf(state_)
        + ": No space left on device");
  }
  EXPECT_EQ(Content(model_), "old model");
  EXPECT_EQ(Content(state_), "old state");
  EXPECT_FALSE(Exists(PartOf(model_)));
  EXPECT_FALSE(Exists(PartOf(state_)));
}

TEST_F(SnapshotFilesTest, TestMessageThatDoesNotFit) {
  BlobProto blob;
  blob.mutable_data()->Resize(100000, 1);
  FillDiskOf(model_);
  try {
    WriteSynced(blob, PartOf(model_));
    ADD_FAILURE() << "/dev/full was written";
  } catch (const std::runtime_error& error) {
    EXPECT_EQ(error.what(), "Cannot write " + PartOf(model_)
        + ": No space left on device");
  }
}

TEST_F(SnapshotFilesTest, TestFolderThatIsNotThere) {
  const string path = folder_ + "/none/model";
  try {
    WriteSynced(string("model"), path);
    ADD_FAILURE() << path << " was written";
  } catch (const std::runtime_error& error) {
    EXPECT_EQ(error.what(), "Cannot write " + path
        + ": No such file or directory");
  }
}

#ifdef USE_HDF5
TEST_F(SnapshotFilesTest, TestHDF5InMemory) {
  Blob<double> blob(vector<int>(1, 100));
  for (int i = 0; i < 100; ++i) { blob.mutable_cpu_data()[i] = i; }
  const hid_t file = CreateHDF5InMemory();
  hdf5_save_nd_dataset(file, "blob", blob);
  WriteSynced(CloseHDF5InMemory(file), model_);
  const hid_t read = H5Fopen(model_.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT);
  ASSERT_GE(read, 0);
  Blob<double> found(blob.shape());
  hdf5_load_nd_dataset(read, "blob", 1, 1, &found);
  H5Fclose(read);
  for (int i = 0; i < 100; ++i) { EXPECT_EQ(found.cpu_data()[i], i); }
}
#endif  // USE_HDF5

// Training goes on, the next snapshot is tried, and weights are the same.
TEST_F(SnapshotFilesTest, TestTrainingGoesOn) {
  const string kFormats[] = {"BINARYPROTO", "HDF5"};
  for (int f = 0; f < 2; ++f) {
    shared_ptr<SGDSolver<float> > solver =
        MakeSolver(NetText(), 3, "snapshot: 2", kFormats[f]);
    FillDiskOf(ModelFile(2, kFormats[f]));
    FillDiskOf(StateFile(4, kFormats[f]));
    LogText log;
    solver->Step(3);
    EXPECT_TRUE(solver->snapshot_failed());
    EXPECT_TRUE(log.Has("No snapshot of iteration 2. Cannot write "
        + PartOf(ModelFile(2, kFormats[f])))) << log.text();
    solver->Step(2);
    EXPECT_TRUE(solver->snapshot_failed());
    EXPECT_TRUE(log.Has("No snapshot of iteration 4. Cannot write "
        + PartOf(StateFile(4, kFormats[f])) + ": No space left on device"))
        << log.text();
    EXPECT_FALSE(Exists(ModelFile(4, kFormats[f])));
    solver->Step(2);
    EXPECT_FALSE(solver->snapshot_failed());
    EXPECT_TRUE(Exists(ModelFile(6, kFormats[f])));
    EXPECT_TRUE(Exists(StateFile(6, kFormats[f])));
    shared_ptr<SGDSolver<float> > plain = MakeSolver(NetText(), 3);
    plain->Step(7);
    EXPECT_TRUE(Weights(plain.get()) == Weights(solver.get()));
  }
}

// Where the last one was due within Step, Solve tries it once more.
TEST_F(SnapshotFilesTest, TestLastSnapshot) {
  const string kMore[] = {"snapshot: 2", "snapshot: 3", ""};
  for (int i = 0; i < 3; ++i) {
    shared_ptr<SGDSolver<float> > solver =
        MakeSolver(NetText(), 3, kMore[i] + " max_iter: 4");
    FillDiskOf(ModelFile(4));
    solver->Solve();
    // The first failure took the link away.
    EXPECT_EQ(solver->snapshot_failed(), i > 0);
    EXPECT_EQ(Exists(StateFile(4)), i == 0);
    unlink(ModelFile(4).c_str());
    unlink(StateFile(4).c_str());
  }
}

TEST_F(SnapshotFilesTest, TestSnapshotThatIsAskedForThrows) {
  shared_ptr<SGDSolver<float> > solver = MakeSolver(NetText(), 3);
  FillDiskOf(ModelFile(0));
  EXPECT_THROW(solver->Snapshot(), std::runtime_error);
  solver->Snapshot();
  EXPECT_TRUE(Exists(StateFile(0)));
}

}  // namespace caffe
