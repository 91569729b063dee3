#ifndef CAFFE_APPROX_DROPOUT_MATH_PANEL_PRODUCT_HPP_
#define CAFFE_APPROX_DROPOUT_MATH_PANEL_PRODUCT_HPP_

#include <stddef.h>

#include "caffe/approx_dropout/math/panels.hpp"

namespace caffe {

/// @brief The factors of a product: that of sum r for row k of the panels is
///        data[r * row + k * next]. Of more than `block_rows` sums, each so
///        many have a block of their own, `block` elements behind the last.
template <typename Dtype>
struct Factors {
  const Dtype* data;
  size_t row, next;
  int block_rows;  // 0: all of them
  size_t block;
};

/// @brief C = A B, or C += it, single-threaded. A is (rows x depth), B (depth x
///        columns) packed into panels, one after the other; row r of C begins
///        at C[r]. The order of each sum depends on the depth alone.
template <typename Dtype>
void multiply_panels(int rows, int depth, int columns, const Factors<Dtype>& A,
    const Dtype* panels, bool accumulate, Dtype* const* C);

}  // namespace caffe

#endif  // CAFFE_APPROX_DROPOUT_MATH_PANEL_PRODUCT_HPP_
