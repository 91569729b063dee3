#ifndef CAFFE_APPROX_DROPOUT_MATH_WIDE_ACCESS_HPP_
#define CAFFE_APPROX_DROPOUT_MATH_WIDE_ACCESS_HPP_

#include <cstddef>

#include "caffe/approx_dropout/math/host_device.hpp"

namespace caffe {

// Access to 16 bytes at a time, the most that one GPU thread reads at once.

/// @brief How many values are 16 bytes.
template <typename Dtype>
struct Aligned16 { static const int kWidth = 16 / sizeof(Dtype); };

/// @brief Values that are read and written together.
template <typename Dtype, int kWidth>
struct alignas(sizeof(Dtype) * kWidth) AlignedVector {
  Dtype value[kWidth];
};

template <typename Dtype, int kWidth>
CAFFE_HOST_DEVICE inline AlignedVector<Dtype, kWidth>* VectorAt(Dtype* data,
    size_t at) {
  return reinterpret_cast<AlignedVector<Dtype, kWidth>*>(data + at);
}

template <typename Dtype, int kWidth>
CAFFE_HOST_DEVICE inline const AlignedVector<Dtype, kWidth>* VectorAt(
    const Dtype* data, size_t at) {
  return reinterpret_cast<const AlignedVector<Dtype, kWidth>*>(data + at);
}

/// @brief *sum += more, value by value.
template <typename Dtype, int kWidth>
CAFFE_HOST_DEVICE inline void Add(const AlignedVector<Dtype, kWidth>& more,
    AlignedVector<Dtype, kWidth>* sum) {
  // At once: through the reference nvcc reads one value at a time.
  const AlignedVector<Dtype, kWidth> values = more;
  for (int k = 0; k < kWidth; ++k) {
    sum->value[k] += values.value[k];
  }
}

/// @brief Whether data begins at whole 16 bytes; NULL does.
inline bool IsAligned16(const void* data) {
  return reinterpret_cast<size_t>(data) % 16 == 0;
}

/// @brief Whether all rows do, `stride` values apart.
template <typename Dtype>
bool IsAligned16(const Dtype* data, int stride) {
  return IsAligned16(data) && stride % Aligned16<Dtype>::kWidth == 0;
}

}  // namespace caffe

#endif  // CAFFE_APPROX_DROPOUT_MATH_WIDE_ACCESS_HPP_
