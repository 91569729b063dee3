#include <stdexcept>
#include <string>
#include <vector>

#include "caffe/approx_dropout/solver/hdf5_layers.hpp"
#include "caffe/test/test_run_state_util.hpp"
#include "caffe/util/hdf5.hpp"

#ifdef USE_HDF5

namespace caffe {

template <typename Dtype>
class HDF5LayersTest : public RunStateTestBase<Dtype> {
 protected:
  string Product(const string& name, const string& bottom, const string& top) {
    return "layer { name: '" + name + "' type: 'InnerProduct' bottom: '" +
           bottom + "' top: '" + top +
           "' inner_product_param { num_output: 3 "
           "weight_filler { type: 'gaussian' } "
           "bias_filler { type: 'gaussian' } } } ";
  }

  // Two products between layers without blobs.
  string NetText(const string& first, const string& second) {
    return "layer { name: 'in/x' type: 'DummyData' top: 'x' top: 't' "
           "dummy_data_param { shape { dim: 5 dim: 4 } shape { dim: 5 dim: 3 } "
           "data_filler { value: 1 } data_filler { value: 1 } } } " +
           Product(first, "x", "h") + Product(second, "h", "y") +
           "layer { name: 'in' type: 'EuclideanLoss' bottom: 'y' bottom: 't' }";
  }

  void ExpectNoPlace(
      const string& first, const string& second, const string& fault) {
    shared_ptr<SGDSolver<Dtype> > solver =
        this->MakeSolver(NetText(first, second), 3, "", "HDF5");
    try {
      solver->Snapshot();
      ADD_FAILURE() << first << ", " << second << " were saved";
    } catch (const std::runtime_error& error) {
      EXPECT_NE(string(error.what())
                    .find(fault + ". Rename it, or set "
                                  "snapshot_format: BINARYPROTO"),
          string::npos)
          << error.what();
    }
  }
};

TYPED_TEST_CASE(HDF5LayersTest, TestDtypes);

// A layer in none, in one without blobs, and in one with them.
TYPED_TEST(HDF5LayersTest, TestSlashes) {
  const string kFirst[] = {"inception_3a/1x1", "a/b/c", "a/b", "in/1", "a"};
  const string kSecond[] = {"inception_3a/3x3", "a/b", "a/b/c", "in/0", "a/2"};
  for (int i = 0; i < 5; ++i) {
    const string net = this->NetText(kFirst[i], kSecond[i]);
    const string more = "snapshot_diff: true";
    shared_ptr<SGDSolver<TypeParam> > whole =
        this->MakeSolver(net, 3, more, "HDF5");
    whole->Step(3);
    whole->Snapshot();
    shared_ptr<SGDSolver<TypeParam> > resumed =
        this->MakeSolver(net, 4, more, "HDF5");
    resumed->Restore(this->StateFile(3, "HDF5").c_str());
    EXPECT_TRUE(this->Weights(resumed.get()) == this->Weights(whole.get()));
    whole->Step(3);
    resumed->Step(3);
    EXPECT_TRUE(this->Weights(resumed.get()) == this->Weights(whole.get()));
  }
}

// Where stock Caffe looks for the blobs, and h5py by their paths.
TYPED_TEST(HDF5LayersTest, TestPlaces) {
  shared_ptr<SGDSolver<TypeParam> > solver =
      this->MakeSolver(this->NetText("a", "b/c"), 3, "", "HDF5");
  solver->Snapshot();
  const hid_t file =
      H5Fopen(this->ModelFile(0, "HDF5").c_str(), H5F_ACC_RDONLY, H5P_DEFAULT);
  ASSERT_GE(file, 0);
  const char* kGroups[] = {"data/a", "data/b/c"};
  for (int i = 0; i < 4; ++i) {
    const Blob<TypeParam>& saved = *solver->net()->learnable_params()[i];
    Blob<TypeParam> found(saved.shape());
    const hid_t group = H5Gopen2(file, kGroups[i / 2], H5P_DEFAULT);
    ASSERT_GE(group, 0);
    hdf5_load_nd_dataset(group, i % 2 ? "1" : "0", 1, 2, &found);
    H5Gclose(group);
    for (int j = 0; j < found.count(); ++j) {
      ASSERT_EQ(found.cpu_data()[j], saved.cpu_data()[j]);
    }
  }
  const hid_t data = H5Gopen2(file, "data", H5P_DEFAULT);
  const vector<HDF5Layer> layers = HDF5Layers(data);
  H5Gclose(data);
  H5Fclose(file);
  ASSERT_EQ(layers.size(), 3);
  EXPECT_EQ(layers[0].name, "a");
  EXPECT_EQ(layers[0].blobs, 2);
  EXPECT_EQ(layers[1].name, "b/c");
  EXPECT_EQ(layers[1].blobs, 2);
  EXPECT_EQ(layers[2].name, "in/x");  // not "in", which it lies in
  EXPECT_EQ(layers[2].blobs, 0);
}

// A group that lies in itself is visited once.
TYPED_TEST(HDF5LayersTest, TestLoop) {
  const hid_t file = H5Fcreate((this->folder_ + "/loop").c_str(), H5F_ACC_TRUNC,
      H5P_DEFAULT, H5P_DEFAULT);
  const hid_t layer = CreateHDF5Layer(file, "data/a/b");
  ASSERT_GE(layer, 0);
  hdf5_save_int(layer, "0", 7);
  ASSERT_GE(
      H5Lcreate_hard(file, "data", layer, "c", H5P_DEFAULT, H5P_DEFAULT), 0);
  const hid_t data = H5Gopen2(file, "data", H5P_DEFAULT);
  const vector<HDF5Layer> layers = HDF5Layers(data);
  ASSERT_EQ(layers.size(), 2);
  EXPECT_EQ(layers[0].name, "a/b");
  EXPECT_EQ(layers[0].blobs, 1);
  EXPECT_EQ(layers[1].name, "a/b/c");
  EXPECT_EQ(layers[1].blobs, 0);
  H5Gclose(data);
  H5Gclose(layer);
  H5Fclose(file);
}

TYPED_TEST(HDF5LayersTest, TestNamesWithoutAPlace) {
  this->ExpectNoPlace("a", "a/0",
      "Layer 'a/0' has no place in an HDF5 file: "
      "a/0 is a blob of layer 'a'");
  this->ExpectNoPlace("a/1/b", "a",
      "Layer 'a/1/b' has no place in an HDF5 "
      "file: a/1 is a blob of layer 'a'");
  this->ExpectNoPlace("a", "a",
      "Layer 'a' has no place in an HDF5 file: "
      "another layer has the same name");
  const string kNames[] = {"", "/", "/a", "a/", "a//b", ".", "a/./b"};
  for (int i = 0; i < 7; ++i) {
    this->ExpectNoPlace("a", kNames[i],
        "Layer '" + kNames[i] +
            "' has no "
            "place in an HDF5 file: before, between and behind slashes there "
            "must "
            "be names other than '.'");
  }
}

// Weights are those of a training without snapshots.
TYPED_TEST(HDF5LayersTest, TestTrainingGoesOn) {
  const string net = this->NetText("a", "a/0");
  shared_ptr<SGDSolver<TypeParam> > solver =
      this->MakeSolver(net, 3, "snapshot: 2", "HDF5");
  solver->Step(5);
  EXPECT_TRUE(solver->snapshot_failed());
  shared_ptr<SGDSolver<TypeParam> > plain = this->MakeSolver(net, 3);
  plain->Step(5);
  EXPECT_TRUE(this->Weights(plain.get()) == this->Weights(solver.get()));
}

}  // namespace caffe

#endif  // USE_HDF5
