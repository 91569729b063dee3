#ifndef CAFFE_APPROX_DROPOUT_PRODUCT_TILE_BLOCKS_HPP_
#define CAFFE_APPROX_DROPOUT_PRODUCT_TILE_BLOCKS_HPP_

#include <vector>

#include "caffe/approx_dropout/math/panels.hpp"
#include "caffe/approx_dropout/product/tile_panels.hpp"
#include "caffe/approx_dropout/update/lazy_parameter.hpp"
#include "caffe/common.hpp"

namespace caffe {

/// @brief Units from `begin` to before `end`.
struct Span {
  int begin, end;
  int size() const { return end - begin; }
};

/// @brief What TileProduct's products for one group of samples are given; each
///        of them says which fields it needs.
template <typename Dtype>
struct TileOperands {
  const TileGrid* grid;
  Dtype alpha;
  const Dtype* weight;
  const vector<int>* samples;  // rows of `out` for the panels' samples
  const Dtype* x_panels;
  const Dtype* y_panels;
  bool accumulate;  // adds to `out`
  Dtype* out;
  LazyParameter<Dtype>* lazy;  // NULL: the weights are up to date
  Dtype* packed;               // W's kept tiles, see PackColumns

  /// @brief Outputs of a tile row.
  Span rows(int tile) const {
    const CellRange range = grid->cells().range(tile, 0);
    const Span span = {range.first_row, range.first_row + range.num_rows};
    return span;
  }
  /// @brief Inputs of a tile column.
  Span columns(int tile) const {
    const CellRange range = grid->cells().range(0, tile);
    const Span span = {
        range.first_column, range.first_column + range.num_columns};
    return span;
  }
};

// The loops of TileProduct, once the dense operands are packed. OpenMP's
// threads share the work; `sums` has a buffer for each.

/// @brief y into `out`, from weight, samples and x_panels (PackSamples). Brings
///        weights up to date and packs them.
template <typename Dtype>
void ForwardTiles(
    const TileOperands<Dtype>& operands, vector<PanelBuffer<Dtype> >* sums);
/// @brief dx into `out`, from packed, samples and y_panels (PackSamples).
template <typename Dtype>
void InputGradientTiles(
    const TileOperands<Dtype>& operands, vector<PanelBuffer<Dtype> >* sums);
/// @brief dW into `out`, from x_panels and y_panels (PackTiles, those of y as
///        wide as a tile); of samples, only the number.
template <typename Dtype>
void WeightGradientTiles(
    const TileOperands<Dtype>& operands, vector<PanelBuffer<Dtype> >* sums);

}  // namespace caffe

#endif  // CAFFE_APPROX_DROPOUT_PRODUCT_TILE_BLOCKS_HPP_
