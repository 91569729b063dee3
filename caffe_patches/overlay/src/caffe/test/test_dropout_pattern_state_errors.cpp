#include <cmath>
#include <string>

#include "caffe/test/test_dropout_pattern_state_util.hpp"
#include "caffe/test/test_hdf5_sizes_util.hpp"
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
class DropoutPatternStateDeathTest
    : public DropoutPatternStateTest<CPUDevice<Dtype> > {
 protected:
  // Restores a state whose first pattern is this one.
  void Restore(const DropoutPatternState& pattern) {
    const string file = this->StateFile(2, "BINARYPROTO");
    SolverState state;
    ReadProtoFromBinaryFile(file, &state);
    *state.mutable_dropout_pattern(0) = pattern;
    WriteProtoToBinaryFile(state, file);
    this->MakeSolver(this->NetText(), "BINARYPROTO")->Restore(file.c_str());
  }
};

TYPED_TEST_CASE(DropoutPatternStateDeathTest, TestDtypes);

TYPED_TEST(DropoutPatternStateDeathTest, TestDamagedState) {
  const DropoutPatternState good = this->Save(this->NetText(), "BINARYPROTO");
  DropoutPatternState bad;
  EXPECT_DEATH(this->Restore(bad), "damaged: entry 0 .* has no layer");
  // A field of a fork that has our number.
  google::protobuf::UnknownFieldSet* fields =
      bad.GetReflection()->MutableUnknownFields(&bad);
  fields->AddLengthDelimited(9, "other");
  EXPECT_DEATH(this->Restore(bad), "damaged: entry 0 .* has no layer");
  bad = good;
  bad.clear_family();
  EXPECT_DEATH(this->Restore(bad), "'pattern1'. has no family");
  bad = good;
  bad.add_probability(0);
  EXPECT_DEATH(this->Restore(bad),
      "'pattern1'. has 4 values of probability, but max_period is 3");
  bad = good;
  bad.set_probability(1, NAN);
  EXPECT_DEATH(this->Restore(bad), "'pattern1'. has probability -?nan");
  bad.set_probability(1, 0.5);
  EXPECT_DEATH(this->Restore(bad), "probabilities that sum to 1.25");
}

#ifdef USE_HDF5
TYPED_TEST(DropoutPatternStateDeathTest, TestDamagedHDF5) {
  this->Save(this->NetText(), "HDF5");
  const string file = this->StateFile(2, "HDF5");
  hid_t id = H5Fopen(file.c_str(), H5F_ACC_RDWR, H5P_DEFAULT);
  H5Ldelete(id, "dropout_pattern/1/seed", H5P_DEFAULT);
  H5Fclose(id);
  EXPECT_DEATH(this->MakeSolver(this->NetText(), "HDF5")->Restore(
      file.c_str()), "damaged: entry 1 of dropout_pattern .layer 'pattern2'. "
      "has no seed");
  id = H5Fopen(file.c_str(), H5F_ACC_RDWR, H5P_DEFAULT);
  H5Ldelete(id, "dropout_pattern/0", H5P_DEFAULT);
  H5Fclose(id);
  EXPECT_DEATH(this->MakeSolver(this->NetText(), "HDF5")->Restore(
      file.c_str()), "damaged: dropout_pattern has no group 0");
}

TYPED_TEST(DropoutPatternStateDeathTest, TestSizesInHDF5) {
  this->Save(this->NetText(), "HDF5");
  const string file = this->StateFile(2, "HDF5");
  const string all = "dropout_pattern/0/probability";
  hid_t id = H5Fopen(file.c_str(), H5F_ACC_RDWR, H5P_DEFAULT);
  // As an int its length would be 3, as it was.
  MakeLongDataset(id, all.c_str(), (1ULL << 32) + 3, H5T_NATIVE_DOUBLE);
  H5Fclose(id);
  EXPECT_DEATH(this->MakeSolver(this->NetText(), "HDF5")->Restore(
      file.c_str()), "damaged: DropoutPattern layer 'pattern1' has 4294967299 "
      "values of probability");
}
#endif  // USE_HDF5

}  // namespace caffe
