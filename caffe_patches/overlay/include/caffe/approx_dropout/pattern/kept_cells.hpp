#ifndef CAFFE_APPROX_DROPOUT_PATTERN_KEPT_CELLS_HPP_
#define CAFFE_APPROX_DROPOUT_PATTERN_KEPT_CELLS_HPP_

#include "caffe/approx_dropout/math/host_device.hpp"

/**
 * The arithmetic on dropout patterns, for host and device alike.
 *
 * The words, used everywhere (prototxt, C++, Python, reports):
 *   unit      one output of a layer; a row of its weights
 *   tile      tile_size x tile_size synapses of the weights, fewer at the
 *             right and lower edge
 *   cell      what a pattern keeps or drops: a unit (ROW) or a tile (TILE)
 *   period    n; the paper's dp
 *   residues  R, a set of m numbers below n; cell i is kept if i mod n is in
 *             R. The paper's bias b, counted from 1 there, is b - 1 here: the
 *             one residue of its family.
 *   scale     s, what kept outputs are multiplied with in training
 *   family    PERIOD (n is drawn, m = 1) or RESIDUE (n is fixed, m is drawn)
 *   K         `probability`, the distribution over the family; N, its length
 *   groups    G; each of G equal ranges of the samples has its own residues,
 *             and where there are axes before the samples, time steps, each
 *             range goes on to the next group at each step (GroupRows)
 *   compact   holding the kept units only, in ascending order
 *
 * Eq. (1) of the paper calls the rows with (i - b) mod dp = 0 dropped; its
 * text and its Fig. 3, which we follow, keep them.
 */

namespace caffe {

/// Residues a pattern can have; RESIDUE's largest period.
const int kMaxResidues = 256;
/// The largest period of a pattern with fewer residues.
const int kMaxPeriod = 65535;

/**
 * @brief The cells i >= 0 with i mod period in residues[0..kept-1], which
 *        ascend; small enough to be passed to a kernel by value.
 *        1 <= period <= kMaxPeriod, 1 <= kept <= min(period, kMaxResidues).
 */
struct KeptCells {
  int period;
  int kept;
  unsigned short residues[kMaxResidues];  // NOLINT(runtime/int)

  CAFFE_HOST_DEVICE bool keeps_all() const { return kept == period; }

  /// @brief Whether a cell is kept.
  CAFFE_HOST_DEVICE bool has(int cell) const {
    const int residue = cell % period;
    const int i = below(residue);
    return i < kept && residues[i] == residue;
  }

  /// @brief How many of the cells 0..cells-1 are kept; for a kept cell, its
  ///        index in compact storage.
  CAFFE_HOST_DEVICE int count(int cells) const {
    return cells / period * kept + below(cells % period);
  }

  /// @brief The j-th kept cell, counted from 0.
  CAFFE_HOST_DEVICE int cell(int j) const {
    return j / kept * period + residues[j % kept];
  }

  // TILE keeps tile (r, c) of a matrix if cell r + c is kept. Nowhere else is
  // this said. Rows and columns of tiles are alike: a `line` is either.
  CAFFE_HOST_DEVICE bool has_tile(int r, int c) const { return has(r + c); }
  /// @brief How many of the first `end` tiles of a line are kept.
  CAFFE_HOST_DEVICE int count_tiles(int line, int end) const {
    return count(line + end) - count(line);
  }
  /// @brief The j-th kept tile of a line.
  CAFFE_HOST_DEVICE int tile(int line, int j) const {
    return cell(count(line) + j) - line;
  }

  /// @brief How many residues are below the given one.
  CAFFE_HOST_DEVICE int below(int residue) const {
    int low = 0;
    int high = kept;
    while (low < high) {
      const int middle = (low + high) / 2;
      if (residues[middle] < residue) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low;
  }
};

/// @brief The cells i with i mod period = residue.
inline KeptCells EveryNth(int period, int residue) {
  KeptCells cells = {};
  cells.period = period;
  cells.kept = 1;
  cells.residues[0] = residue;
  return cells;
}

/// @brief Every cell.
inline KeptCells AllCells() { return EveryNth(1, 0); }

/**
 * @brief The units of one side of a weight matrix that take part in one
 *        product: those kept by a pattern of rows, each of `width` units side
 *        by side, and by one of tiles,
 *
 *            unit u:  rows.has(u / width) and
 *                     tiles.has_tile(line, u / tile_size).
 *
 *        width is 1 but where a row is a channel of several weights each. All
 *        lines of tiles with the same number mod the period keep the same
 *        tiles, so they make one product: `line` stands for all of them.
 */
struct KeptUnits {
  KeptCells rows;
  KeptCells tiles;
  int tile_size;
  int line;
  int units;  // of the whole side
  int width;

  CAFFE_HOST_DEVICE bool has(int unit) const {
    return rows.has(unit / width) && tiles.has_tile(line, unit / tile_size);
  }

  /// @brief How many of the units below `unit` are in kept rows.
  CAFFE_HOST_DEVICE int count_in_rows(int unit) const {
    const int row = unit / width;
    const int inside = unit % width;
    return rows.count(row) * width + (inside > 0 && rows.has(row) ? inside : 0);
  }
  /// @brief The j-th unit in kept rows.
  CAFFE_HOST_DEVICE int unit_in_rows(int j) const {
    return rows.cell(j / width) * width + j % width;
  }

  /// @brief How many of the units below `unit` take part.
  CAFFE_HOST_DEVICE int count(int unit) const {
    if (tiles.keeps_all()) {
      return count_in_rows(unit);
    }
    const int tile = unit / tile_size;
    int sum = 0;
    if (rows.keeps_all()) {
      sum = tiles.count_tiles(line, tile) * tile_size;
    } else {
      for (int t = 0; t < tile; ++t) {
        if (tiles.has_tile(line, t)) {
          sum +=
              count_in_rows((t + 1) * tile_size) - count_in_rows(t * tile_size);
        }
      }
    }
    if (tiles.has_tile(line, tile)) {
      sum += count_in_rows(unit) - count_in_rows(tile * tile_size);
    }
    return sum;
  }

  CAFFE_HOST_DEVICE int size() const { return count(units); }

  /// @brief The index of a unit in the storage of this side, which holds all
  ///        units or, if compact, those that `rows` keeps.
  CAFFE_HOST_DEVICE int storage_index(int unit, bool compact) const {
    return compact ? count_in_rows(unit) : unit;
  }
};

/// @brief All units of a side, or those in the rows that `rows` keeps.
inline KeptUnits UnitsOf(const KeptCells& rows, int units, int width = 1) {
  KeptUnits kept = {rows, AllCells(), 1, 0, units, width};
  return kept;
}

}  // namespace caffe

#endif  // CAFFE_APPROX_DROPOUT_PATTERN_KEPT_CELLS_HPP_
