#ifndef CAFFE_APPROX_DROPOUT_UPDATE_DEVICE_VIEWS_HPP_
#define CAFFE_APPROX_DROPOUT_UPDATE_DEVICE_VIEWS_HPP_

#include <cstdint>

#include "caffe/blob.hpp"

namespace caffe {

/// @brief Where a blob's values lie on the GPU. Nobody knows for how long the
///        address is used, so somebody sees them from now on (MemoryView).
template <typename Dtype>
uintptr_t DeviceDataView(Blob<Dtype>* blob) {
  blob->data()->add_views(1);
  return reinterpret_cast<uintptr_t>(blob->mutable_gpu_data());
}

/// @brief The same of its gradients.
template <typename Dtype>
uintptr_t DeviceDiffView(Blob<Dtype>* blob) {
  blob->data()->add_views(1);
  return reinterpret_cast<uintptr_t>(blob->mutable_gpu_diff());
}

}  // namespace caffe

#endif  // CAFFE_APPROX_DROPOUT_UPDATE_DEVICE_VIEWS_HPP_
