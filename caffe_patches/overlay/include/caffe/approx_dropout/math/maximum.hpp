#ifndef CAFFE_APPROX_DROPOUT_MATH_MAXIMUM_HPP_
#define CAFFE_APPROX_DROPOUT_MATH_MAXIMUM_HPP_

#include "caffe/approx_dropout/math/host_device.hpp"

namespace caffe {

/// @brief Whether a value takes the place of the maximum of those before it:
///        the first does, whatever it is, and what is not a number, for good.
template <typename Dtype>
CAFFE_HOST_DEVICE inline bool IsNewMaximum(
    Dtype value, Dtype maximum, bool first) {
  return first || value > maximum || value != value;
}

}  // namespace caffe

#endif  // CAFFE_APPROX_DROPOUT_MATH_MAXIMUM_HPP_
