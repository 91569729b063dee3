#ifndef CAFFE_APPROX_DROPOUT_MATH_PANELS_HPP_
#define CAFFE_APPROX_DROPOUT_MATH_PANELS_HPP_

#include <stddef.h>
#include <stdint.h>

#include <vector>

namespace caffe {

/**
 * Packed panels, as BLIS has them: copies of matrices for products on the
 * CPU, cut into panels of 64 bytes of columns, a cache line, panel after
 * panel, in each of them row after row.
 */
const int kPanelBytes = 64;

template <typename Dtype>
struct Panel {
  static const int kWidth = kPanelBytes / sizeof(Dtype);
  /// @brief The number of panels that hold this many columns.
  static int count(int columns) { return (columns + kWidth - 1) / kWidth; }
};

/// @brief Makes a buffer larger, if needed.
template <typename Dtype>
void GrowTo(size_t size, std::vector<Dtype>* buffer) {
  if (buffer->size() < size) { buffer->resize(size); }
}

/// @brief Where panels begin in a buffer with room for a panel's row more than
///        they need: with a cache line. A vector that is in two takes twice as
///        long to load.
template <typename Pointer>
Pointer AlignPanels(Pointer buffer) {
  const uintptr_t end = reinterpret_cast<uintptr_t>(buffer) + kPanelBytes - 1;
  return reinterpret_cast<Pointer>(end - end % kPanelBytes);
}

/// @brief Memory for panels.
template <typename Dtype>
class PanelBuffer {
 public:
  /// @brief At least so many elements, in no particular state.
  Dtype* Grow(size_t size) {
    GrowTo(size + Panel<Dtype>::kWidth, &memory_);
    return data();
  }
  Dtype* data() { return AlignPanels(memory_.data()); }

 private:
  std::vector<Dtype> memory_;
};

/// @brief Panel j of the transpose of a (rows x columns) matrix: its row k
/// holds
///        column k of the matrix for the panel's rows, those from j times the
///        width on. The last panel is filled up with zeros. Single-threaded.
template <typename Dtype>
void PackRows(
    int j, int rows, int columns, const Dtype* from, int stride, Dtype* panels);

/// @brief Panel j of a (rows x columns) matrix, the same way.
template <typename Dtype>
void PackColumns(
    int j, int rows, int columns, const Dtype* from, int stride, Dtype* panels);

/// @brief Panels of samples: row k of panel j holds column k of `from`, whose
///        rows have `columns` elements, for the panel's samples, that is rows
///        samples[j * width] and on. The last is filled up with zeros. Uses
///        OpenMP's threads.
template <typename Dtype>
void PackSamples(const std::vector<int>& samples, int columns,
    const Dtype* from, PanelBuffer<Dtype>* panels);

}  // namespace caffe

#endif  // CAFFE_APPROX_DROPOUT_MATH_PANELS_HPP_
