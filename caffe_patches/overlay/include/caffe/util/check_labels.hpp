#ifndef CAFFE_UTIL_CHECK_LABELS_HPP_
#define CAFFE_UTIL_CHECK_LABELS_HPP_

#include <climits>
#include <string>

#include "caffe/blob.hpp"
#include "caffe/common.hpp"

namespace caffe {

/// @brief Stops unless every label is from 0 to size - 1, or *ignored. They are
///        numbers of Dtype; what is behind the point is cut off, as Caffe does.
template <typename Dtype>
void CheckLabels(const Blob<Dtype>& labels, int size, const string& layer,
    const int* ignored = NULL) {
  const Dtype* label = labels.cpu_data();
  for (int i = 0; i < labels.count(); ++i) {
    if (label[i] > -1 && label[i] < size) {
      continue;
    }
    // Other numbers are not there as int.
    const bool is_int = label[i] > INT_MIN / 2 && label[i] < INT_MAX / 2;
    CHECK(ignored && is_int && static_cast<int>(label[i]) == *ignored)
        << "layer '" << layer << "': label or index " << i << " is " << label[i]
        << "; it must be from 0 to " << size - 1;
  }
}

}  // namespace caffe

#endif  // CAFFE_UTIL_CHECK_LABELS_HPP_
