#ifndef CAFFE_APPROX_DROPOUT_PRODUCT_TILE_PRODUCT_HPP_
#define CAFFE_APPROX_DROPOUT_PRODUCT_TILE_PRODUCT_HPP_

#include <vector>

#include "caffe/approx_dropout/product/product.hpp"
#include "caffe/approx_dropout/product/tile_panels.hpp"
#include "caffe/common.hpp"

namespace caffe {

/**
 * @brief Block-sparse products on the CPU, for TILE: with W or its gradient
 *        sparse in tiles, y = x W' and dx = dy W are dds (dense = dense x
 *        sparse), dW = dy' x is sdd (sparse = dense x dense). W and its
 *        gradient are used in place, and the sums over all kept tiles of a row
 *        or column stay in registers.
 *
 * x has rows of num_input elements, y of num_output; `samples` says which rows
 * of both take part. The dense operand is copied into panels, of 64 bytes of
 * columns, so that they are read in order. Each thread takes rows or columns of
 * tiles.
 */
template <typename Dtype>
class TileProduct : public Product<Dtype> {
 public:
  TileProduct() : has_columns_(false) {}

  virtual void Pack(const ProductSpec<Dtype>& spec, const Dtype* weight);
  virtual void Forward(int outer, const Dtype* x, const Dtype* bias,
      bool accumulate, Dtype* y);
  virtual void Backward(int outer, const Dtype* x, const Dtype* dy, Dtype* dx,
      Dtype* dweight, Dtype* dbias);

  // The products of one group of samples.

  /// @brief dds: y = alpha x (W o tiles)', or y += it. If `lazy` is not NULL,
  ///        brings each tile row's kept tiles up to date before it is used.
  ///        With `again`, the next call of InputGradient must have the same
  ///        grid and weights.
  void ForwardGroup(const TileGrid& grid, Dtype alpha, const Dtype* weight,
      const vector<int>& samples, const Dtype* x, bool accumulate, Dtype* y,
      LazyParameter<Dtype>* lazy = NULL, bool again = false);
  /// @brief dds: dx = alpha dy (W o tiles).
  void InputGradient(const TileGrid& grid, Dtype alpha, const Dtype* weight,
      const vector<int>& samples, const Dtype* dy, Dtype* dx);
  /// @brief sdd: dW = alpha dy' x in kept tiles, or dW += it. Others are left
  ///        alone.
  void WeightGradient(const TileGrid& grid, Dtype alpha,
      const vector<int>& samples, const Dtype* x, const Dtype* dy,
      bool accumulate, Dtype* dweight);

 private:
  using Product<Dtype>::spec_;
  using Product<Dtype>::weight_;

  TileGrid Grid(int group) const;
  /// @brief Rows of x and y that belong to a group.
  vector<int> Samples(int outer, int group) const;
  /// @brief Memory of columns_ for the grid's kept tiles.
  Dtype* GrowColumns(const TileGrid& grid);

  PanelBuffer<Dtype> x_panels_, y_panels_, columns_;
  vector<PanelBuffer<Dtype> > sums_;  // of each thread
  bool has_columns_;  // columns_ are of the last ForwardGroup's W
};

}  // namespace caffe

#endif  // CAFFE_APPROX_DROPOUT_PRODUCT_TILE_PRODUCT_HPP_
