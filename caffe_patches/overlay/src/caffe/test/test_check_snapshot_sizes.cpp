#include "caffe/util/use_hdf5.hpp"

#ifdef USE_HDF5
#include <string>

#include "caffe/blob.hpp"
#include "caffe/test/test_caffe_main.hpp"
#include "caffe/test/test_hdf5_sizes_util.hpp"
#include "caffe/util/hdf5.hpp"
#include "caffe/util/io.hpp"
#include "gtest/gtest.h"

namespace caffe {

class CheckSnapshotSizesDeathTest : public ::testing::Test {
 protected:
  CheckSnapshotSizesDeathTest() {
    string folder;
    MakeTempDir(&folder);
    file_ = H5Fcreate((folder + "/sizes.h5").c_str(), H5F_ACC_TRUNC,
        H5P_DEFAULT, H5P_DEFAULT);
  }
  virtual ~CheckSnapshotSizesDeathTest() { H5Fclose(file_); }

  hid_t file_;
};

TEST_F(CheckSnapshotSizesDeathTest, TestAxisThatIsTooLong) {
  // As an int it would be 4.
  MakeLongDataset(file_, "x", (1ULL << 32) + 4, H5T_NATIVE_FLOAT);
  Blob<float> blob(vector<int>(1, 4));
  EXPECT_DEATH(hdf5_load_nd_dataset(file_, "x", 0, 4, &blob),
      "dataset x has 4294967300 numbers along axis 0");
}

TEST_F(CheckSnapshotSizesDeathTest, TestTexts) {
  const hsize_t many = 100;
  H5LTmake_dataset(
      file_, "numbers", 1, &many, H5T_NATIVE_UCHAR, string(many, 'a').data());
  EXPECT_DEATH(hdf5_load_string(file_, "numbers"), "numbers is not a text");
  const hid_t type = H5Tcopy(H5T_C_S1);
  H5Tset_size(type, 3);
  H5LTmake_dataset(file_, "texts", 1, &many, type, string(300, 'a').data());
  EXPECT_DEATH(hdf5_load_string(file_, "texts"), "texts is not a text");
  // Without a 0 at its end.
  H5Tset_strpad(type, H5T_STR_SPACEPAD);
  H5LTmake_dataset(file_, "text", 0, NULL, type, "abc");
  H5Tclose(type);
  EXPECT_EQ(hdf5_load_string(file_, "text"), "abc");
}

}  // namespace caffe
#endif  // USE_HDF5
