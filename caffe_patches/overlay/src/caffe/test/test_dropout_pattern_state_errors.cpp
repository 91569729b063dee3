#include <cmath>
#include <stdexcept>
#include <string>

#include "caffe/test/test_dropout_pattern_state_util.hpp"
#include "caffe/test/test_hdf5_sizes_util.hpp"
#include "caffe/util/hdf5.hpp"
#include "caffe/util/use_hdf5.hpp"

namespace caffe {

// Forks give their own fields of LayerParameter the numbers that follow
// Caffe's.
class DropoutPatternFieldTest : public ::testing::Test {};

TEST_F(DropoutPatternFieldTest, TestModelOfAForkLoads) {
  LayerParameter layer;
  layer.set_name("fc");
  google::protobuf::UnknownFieldSet* fields =
      layer.GetReflection()->MutableUnknownFields(&layer);
  for (int number = 149; number < 156; ++number) {
    // A message of one field, then a number, under numbers that follow.
    fields->AddLengthDelimited(number, "\x08\x07");
    fields->AddVarint(number + 7, 3);
  }
  SolverState state;
  state.set_iter(6);
  fields = state.GetReflection()->MutableUnknownFields(&state);
  for (int number = 5; number < 12; ++number) {
    fields->AddLengthDelimited(number, "\x08\x07");
  }
  LayerParameter read;
  ASSERT_TRUE(read.ParseFromString(layer.SerializeAsString()));
  EXPECT_EQ(read.name(), "fc");
  EXPECT_FALSE(read.has_dropout_pattern_param());
  EXPECT_FALSE(read.has_approx_dropout_param());
  SolverState read_state;
  ASSERT_TRUE(read_state.ParseFromString(state.SerializeAsString()));
  EXPECT_EQ(read_state.iter(), 6);
  EXPECT_EQ(read_state.dropout_pattern_size(), 0);
}

template <typename Dtype>
class DropoutPatternStateErrorsTest
    : public DropoutPatternStateTest<CPUDevice<Dtype> > {
 protected:
  void ExpectRefused(const string& format, const string& damage) {
    const string file = this->StateFile(2, format);
    try {
      this->MakeSolver(this->NetText(), format)->Restore(file.c_str());
      ADD_FAILURE() << file << " was taken; expected: " << damage;
    } catch (const std::runtime_error& error) {
      EXPECT_NE(string(error.what())
                    .find("Solver state " + file +
                          ": it is "
                          "damaged: " +
                          damage),
          string::npos)
          << error.what();
    }
  }

  // Of a state whose first pattern is this one.
  void ExpectRefused(const DropoutPatternState& pattern, const string& damage) {
    const string file = this->StateFile(2, "BINARYPROTO");
    SolverState state;
    ReadProtoFromBinaryFile(file, &state);
    *state.mutable_dropout_pattern(0) = pattern;
    WriteProtoToBinaryFile(state, file);
    ExpectRefused("BINARYPROTO", "entry 0 of dropout_pattern (layer '" +
                                     pattern.layer() + "') " + damage);
  }
};

TYPED_TEST_CASE(DropoutPatternStateErrorsTest, TestDtypes);

TYPED_TEST(DropoutPatternStateErrorsTest, TestDamagedState) {
  const DropoutPatternState good = this->Save(this->NetText(), "BINARYPROTO");
  DropoutPatternState bad;
  this->ExpectRefused(bad, "has no layer");
  // A field of a fork that has our number.
  google::protobuf::UnknownFieldSet* fields =
      bad.GetReflection()->MutableUnknownFields(&bad);
  fields->AddLengthDelimited(9, "other");
  this->ExpectRefused(bad, "has no layer");
  bad = good;
  bad.clear_family();
  this->ExpectRefused(bad, "has no family");
  bad = good;
  bad.add_probability(0);
  this->ExpectRefused(bad, "has 4 values of probability, but max_period is 3");
  bad = good;
  bad.set_probability(1, NAN);
  this->ExpectRefused(bad, "has probability nan");
  bad.set_probability(1, 0.5);
  this->ExpectRefused(bad, "has probabilities that sum to 1.25");
}

#ifdef USE_HDF5
TYPED_TEST(DropoutPatternStateErrorsTest, TestDamagedHDF5) {
  this->Save(this->NetText(), "HDF5");
  const string file = this->StateFile(2, "HDF5");
  hid_t id = H5Fopen(file.c_str(), H5F_ACC_RDWR, H5P_DEFAULT);
  H5Ldelete(id, "dropout_pattern/1/seed", H5P_DEFAULT);
  H5Fclose(id);
  this->ExpectRefused("HDF5",
      "entry 1 of dropout_pattern (layer 'pattern2') "
      "has no seed");
  id = H5Fopen(file.c_str(), H5F_ACC_RDWR, H5P_DEFAULT);
  H5Ldelete(id, "dropout_pattern/0", H5P_DEFAULT);
  H5Fclose(id);
  this->ExpectRefused("HDF5", "dropout_pattern has no group 0");
  id = H5Fopen(file.c_str(), H5F_ACC_RDWR, H5P_DEFAULT);
  H5Ldelete(id, "dropout_pattern", H5P_DEFAULT);
  hdf5_save_int(id, "dropout_pattern", 3);
  H5Fclose(id);
  this->ExpectRefused("HDF5", "dropout_pattern is no group");
}

// Datasets of another kind than the field's.
TYPED_TEST(DropoutPatternStateErrorsTest, TestForeignHDF5) {
  this->Save(this->NetText(), "HDF5");
  const string file = this->StateFile(2, "HDF5");
  hid_t id = H5Fopen(file.c_str(), H5F_ACC_RDWR, H5P_DEFAULT);
  H5Ldelete(id, "dropout_pattern/0/probability", H5P_DEFAULT);
  hdf5_save_string(id, "dropout_pattern/0/probability", "half");
  H5Fclose(id);
  this->ExpectRefused("HDF5",
      "probability of DropoutPattern layer 'pattern1' "
      "is not numbers");
  id = H5Fopen(file.c_str(), H5F_ACC_RDWR, H5P_DEFAULT);
  H5Ldelete(id, "dropout_pattern/0/probability", H5P_DEFAULT);
  H5Ldelete(id, "dropout_pattern/0/layer", H5P_DEFAULT);
  hdf5_save_int(id, "dropout_pattern/0/layer", 3);
  H5Fclose(id);
  this->ExpectRefused("HDF5",
      "entry 0 of dropout_pattern (layer '') has no "
      "layer");
}

TYPED_TEST(DropoutPatternStateErrorsTest, TestSizesInHDF5) {
  this->Save(this->NetText(), "HDF5");
  const string file = this->StateFile(2, "HDF5");
  const string all = "dropout_pattern/0/probability";
  hid_t id = H5Fopen(file.c_str(), H5F_ACC_RDWR, H5P_DEFAULT);
  // As an int its length would be 3, as it was.
  MakeLongDataset(id, all.c_str(), (1ULL << 32) + 3, H5T_NATIVE_DOUBLE);
  H5Fclose(id);
  this->ExpectRefused("HDF5",
      "DropoutPattern layer 'pattern1' has 4294967299 "
      "values of probability");
}
#endif  // USE_HDF5

}  // namespace caffe
