#ifndef CAFFE_UTIL_USE_HDF5_HPP_
#define CAFFE_UTIL_USE_HDF5_HPP_

/**
 * Defines USE_HDF5 for Caffe 1.0 and older forks, which know no other way.
 * Caffe's own header is empty in a build without HDF5.
 */
#include "caffe/util/hdf5.hpp"

#if defined(CAFFE_UTIL_HDF5_H_) && !defined(USE_HDF5)
#define USE_HDF5
#endif

#endif  // CAFFE_UTIL_USE_HDF5_HPP_
