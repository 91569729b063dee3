#ifndef CAFFE_APPROX_DROPOUT_PATTERN_CELL_GRID_HPP_
#define CAFFE_APPROX_DROPOUT_PATTERN_CELL_GRID_HPP_

#include <cstddef>

#include "caffe/approx_dropout/math/host_device.hpp"

namespace caffe {

// How a matrix is cut into cells, rows or tiles, for host and device alike.

/// @brief The cells that one side of a matrix is cut into; the last may be
///        smaller.
CAFFE_HOST_DEVICE inline int NumCells(int length, int cell_length) {
  return length / cell_length + (length % cell_length > 0);
}

/// @brief Rows and columns of a cell.
struct CellRange {
  int first_row, num_rows, first_column, num_columns;
};

/// @brief A matrix cut into cells of cell_rows x cell_columns, smaller at the
///        right and lower edge; numbered row by row.
struct CellGrid {
  int rows, columns, cell_rows, cell_columns;

  CAFFE_HOST_DEVICE int down() const { return NumCells(rows, cell_rows); }
  CAFFE_HOST_DEVICE int across() const {
    return NumCells(columns, cell_columns);
  }
  CAFFE_HOST_DEVICE int count() const { return down() * across(); }
  CAFFE_HOST_DEVICE size_t offset(int row) const {
    return static_cast<size_t>(row) * columns;
  }
  /// @brief Columns of a cell that begins at one.
  CAFFE_HOST_DEVICE int width(int first_column) const {
    const int rest = columns - first_column;
    return cell_columns < rest ? cell_columns : rest;
  }
  CAFFE_HOST_DEVICE CellRange range(int cell) const {
    return range(cell / across(), cell % across());
  }
  /// @brief That of the cell in the i-th row and the j-th column of cells.
  CAFFE_HOST_DEVICE CellRange range(int i, int j) const {
    const int row = i * cell_rows;
    const int column = j * cell_columns;
    const CellRange range = { row,
        cell_rows < rows - row ? cell_rows : rows - row, column,
        width(column) };
    return range;
  }
};

}  // namespace caffe

#endif  // CAFFE_APPROX_DROPOUT_PATTERN_CELL_GRID_HPP_
