#ifndef CAFFE_TEST_HDF5_SIZES_UTIL_HPP_
#define CAFFE_TEST_HDF5_SIZES_UTIL_HPP_

#include "caffe/util/use_hdf5.hpp"

#ifdef USE_HDF5
#include "hdf5.h"

namespace caffe {

/// @brief Makes a dataset of one axis, in the place of any other of that name,
///        of which nothing is in the file but its size.
inline void MakeLongDataset(
    hid_t where, const char* name, hsize_t size, hid_t type) {
  if (H5Lexists(where, name, H5P_DEFAULT) > 0) {
    H5Ldelete(where, name, H5P_DEFAULT);
  }
  const hsize_t chunk = 16;
  const hid_t space = H5Screate_simple(1, &size, NULL);
  const hid_t chunked = H5Pcreate(H5P_DATASET_CREATE);
  H5Pset_chunk(chunked, 1, &chunk);
  H5Dclose(
      H5Dcreate2(where, name, type, space, H5P_DEFAULT, chunked, H5P_DEFAULT));
  H5Pclose(chunked);
  H5Sclose(space);
}

}  // namespace caffe
#endif  // USE_HDF5

#endif  // CAFFE_TEST_HDF5_SIZES_UTIL_HPP_
