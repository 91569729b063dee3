#ifndef CAFFE_APPROX_DROPOUT_MATH_IMAGE_COLUMNS_HPP_
#define CAFFE_APPROX_DROPOUT_MATH_IMAGE_COLUMNS_HPP_

#include <stddef.h>

#include "caffe/approx_dropout/math/host_device.hpp"

namespace caffe {

/// @brief One axis, height or width, of a convolution.
struct ConvolutionAxis {
  int input, kernel, pad, stride, dilation;

  CAFFE_HOST_DEVICE int output() const {
    return (input + 2 * pad - dilation * (kernel - 1) - 1) / stride + 1;
  }
  /// @brief Where in the input, or in its padding, the k-th weight meets the
  ///        output at 0.
  CAFFE_HOST_DEVICE int offset(int k) const { return k * dilation - pad; }
  /// @brief The output at which the k-th weight meets an input, or -1.
  CAFFE_HOST_DEVICE int output_at(int k, int at) const {
    const int from_first = at - offset(k);
    return from_first >= 0 && from_first % stride == 0 &&
                   from_first / stride < output()
               ? from_first / stride
               : -1;
  }
};

/// @brief A convolution of images.
struct ConvolutionShape {
  ConvolutionAxis height, width;

  CAFFE_HOST_DEVICE int input_size() const {
    return height.input * width.input;
  }
  CAFFE_HOST_DEVICE int output_size() const {
    return height.output() * width.output();
  }
  CAFFE_HOST_DEVICE int kernel_size() const {
    return height.kernel * width.kernel;
  }
};

/// @brief Some rows of a channel's output.
struct OutputRows {
  int first, count;
};

/**
 * im2col and its transpose, of some output rows of an image at a time, so that
 * what is multiplied next stays in the cache. An image is (channels x height x
 * width), columns are (channels x kernel height x kernel width) rows, `stride`
 * elements apart, of rows.count x output width elements.
 */

/// @brief columns = what the weights meet, zeros in the padding.
template <typename Dtype>
void ImageToColumns(const ConvolutionShape& shape, int channels,
    const Dtype* image, const OutputRows& rows, int stride, Dtype* columns);

/// @brief image += columns, where they are not of the padding; there they may
///        be cleared.
template <typename Dtype>
void AddColumnsToImage(const ConvolutionShape& shape, int channels,
    const OutputRows& rows, int stride, Dtype* columns, Dtype* image);

// The same for one thread of a kernel each.

/// @brief What the k-th weight of a channel meets at an output: a value of that
///        channel, or 0 in the padding.
template <typename Dtype>
CAFFE_HOST_DEVICE inline Dtype ColumnValue(
    const ConvolutionShape& shape, const Dtype* channel, int k, int output) {
  const int outputs = shape.width.output();
  const int row = shape.height.offset(k / shape.width.kernel) +
                  output / outputs * shape.height.stride;
  const int column = shape.width.offset(k % shape.width.kernel) +
                     output % outputs * shape.width.stride;
  const bool inside = row >= 0 && row < shape.height.input && column >= 0 &&
                      column < shape.width.input;
  return inside ? channel[row * shape.width.input + column] : Dtype(0);
}

/// @brief The sum of a channel's columns, kernel_size() rows of them `stride`
///        apart, over all that meet its value `at`.
template <typename Dtype>
CAFFE_HOST_DEVICE inline Dtype ImageValue(const ConvolutionShape& shape,
    const Dtype* columns, size_t stride, int at) {
  Dtype sum = 0;
  for (int k = 0; k < shape.kernel_size(); ++k) {
    const int row =
        shape.height.output_at(k / shape.width.kernel, at / shape.width.input);
    const int column =
        shape.width.output_at(k % shape.width.kernel, at % shape.width.input);
    if (row >= 0 && column >= 0) {
      sum += columns[k * stride + row * shape.width.output() + column];
    }
  }
  return sum;
}

}  // namespace caffe

#endif  // CAFFE_APPROX_DROPOUT_MATH_IMAGE_COLUMNS_HPP_
