#ifndef CAFFE_APPROX_DROPOUT_MATH_WIDE_ACCESS_HPP_
#define CAFFE_APPROX_DROPOUT_MATH_WIDE_ACCESS_HPP_

#include <cstddef>
#include <vector>

namespace caffe {

/// @brief How many values are 16 bytes, the most that a thread reads at a time.
template <typename Dtype>
struct Wide16 { static const int kWidth = 16 / sizeof(Dtype); };

/// @brief Whether a list of positions is made of runs of `width` neighbours,
///        each beginning at a multiple of width: a kernel may then read so
///        many values at a time.
inline bool HasAlignedRuns(const std::vector<int>& index, int width) {
  if (index.size() % width != 0) { return false; }
  for (size_t i = 0; i < index.size(); ++i) {
    const int within = i % width;
    if (index[i] != index[i - within] + within || index[i] % width != within) {
      return false;
    }
  }
  return true;
}

}  // namespace caffe

#endif  // CAFFE_APPROX_DROPOUT_MATH_WIDE_ACCESS_HPP_
