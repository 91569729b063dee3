#ifndef CAFFE_APPROX_DROPOUT_PRODUCT_TILE_PANELS_HPP_
#define CAFFE_APPROX_DROPOUT_PRODUCT_TILE_PANELS_HPP_

#include <stddef.h>

#include <vector>

#include "caffe/approx_dropout/math/panels.hpp"
#include "caffe/approx_dropout/pattern/cell_grid.hpp"
#include "caffe/approx_dropout/pattern/kept_cells.hpp"
#include "caffe/common.hpp"

namespace caffe {

/// @brief The tiles of W (num_output x num_input) that one group of samples
///        keeps.
struct TileGrid {
  KeptCells kept;
  int tile_size;
  int num_output, num_input;

  CellGrid cells() const {
    const CellGrid cells = { num_output, num_input, tile_size, tile_size };
    return cells;
  }
  int tile_rows() const { return cells().down(); }
  int tile_columns() const { return cells().across(); }
  /// @brief The tile columns that a tile row keeps, ascending, and the tile
  ///        rows that a tile column keeps.
  vector<int> kept_columns(int tile_row) const {
    return Kept(tile_row, tile_columns());
  }
  vector<int> kept_rows(int tile_column) const {
    return Kept(tile_column, tile_rows());
  }
  /// @brief Capacity of one tile column, in elements.
  size_t column_size() const;
  /// @brief Where PackColumns puts a kept tile.
  size_t offset_in_columns(int tile_row, int tile_column) const;
  /// @brief The numbers of a tile row's kept tiles, or of all, ascending; tiles
  ///        are numbered row by row.
  vector<int> kept_tiles(int tile_row) const;
  vector<int> kept_tiles() const;

 private:
  vector<int> Kept(int line, int tiles) const;
};

// TILE's operands as panels (math/panels.hpp).

/// @brief Panels of each tile's columns, of the given width: row k holds those
///        of row samples[k]. All tiles have the same number of panels, filled
///        up with zeros. OpenMP's threads share the work.
template <typename Dtype>
void PackTiles(const vector<int>& samples, int tile_size, int width,
    int columns, const Dtype* from, PanelBuffer<Dtype>* panels);

/// @brief The kept tiles of W, tile column by tile column, grid.column_size()
///        elements apart; in each, the rows of its tiles one after the other,
///        tile_size apart. Copies those of one tile row, single-threaded:
///        a column of W is spread over too many pages of memory to be copied
///        by itself.
template <typename Dtype>
void PackColumns(const TileGrid& grid, const Dtype* weight, int tile_row,
    Dtype* columns);

}  // namespace caffe

#endif  // CAFFE_APPROX_DROPOUT_PRODUCT_TILE_PANELS_HPP_
