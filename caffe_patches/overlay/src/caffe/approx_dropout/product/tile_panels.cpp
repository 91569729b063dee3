#include <algorithm>
#include <cstring>
#include <vector>

#include "caffe/approx_dropout/math/panels.hpp"
#include "caffe/approx_dropout/product/tile_panels.hpp"

namespace caffe {

namespace {

// So few elements that calling memmove would take longer.
template <typename Dtype>
inline void CopyShort(const Dtype* from, int count, Dtype* to) {
  const int kWidth = Panel<Dtype>::kWidth;
  int i = 0;
  for (; i + kWidth <= count; i += kWidth) {
    std::memcpy(to + i, from + i, kPanelBytes);
  }
  for (; i < count; ++i) { to[i] = from[i]; }
}

}  // namespace

template <typename Dtype>
void PackColumns(const TileGrid& grid, const Dtype* weight, int tile_row,
    Dtype* columns) {
  const CellRange outputs = grid.cells().range(tile_row, 0);
  const vector<int> kept = grid.kept_columns(tile_row);
  vector<Dtype*> to(kept.size());
  for (size_t i = 0; i < kept.size(); ++i) {
    to[i] = columns + grid.offset_in_columns(tile_row, kept[i]);
  }
  for (int o = 0; o < outputs.num_rows; ++o) {
    const Dtype* row = weight + grid.cells().offset(outputs.first_row + o);
    for (size_t i = 0; i < kept.size(); ++i) {
      const int begin = kept[i] * grid.tile_size;
      const int end = std::min(begin + grid.tile_size, grid.num_input);
      CopyShort(row + begin, end - begin, to[i]);
      to[i] += grid.tile_size;
    }
  }
}

template <typename Dtype>
void PackTiles(const vector<int>& samples, int tile_size, int width,
    int columns, const Dtype* from, PanelBuffer<Dtype>* panels) {
  const int num_samples = samples.size();
  const int per_tile = (tile_size + width - 1) / width;
  const int tiles = NumCells(columns, tile_size);
  const size_t size = static_cast<size_t>(num_samples) * width;
  Dtype* all = panels->Grow(tiles * per_tile * size);
#pragma omp parallel for
  for (int p = 0; p < tiles * per_tile; ++p) {
    const int tile = p / per_tile;
    const int begin = tile * tile_size + p % per_tile * width;
    const int end = std::min(columns, (tile + 1) * tile_size);
    const int used = std::max(0, std::min(width, end - begin));
    Dtype* to = all + p * size;
    for (int k = 0; k < num_samples; ++k, to += width) {
      const Dtype* row = from + static_cast<size_t>(samples[k]) * columns
          + begin;
      CopyShort(row, used, to);
      for (int j = used; j < width; ++j) { to[j] = 0; }
    }
  }
}

size_t TileGrid::column_size() const {
  const int whole = tile_rows() / kept.period * kept.kept;
  const int tiles = whole + std::min(kept.kept, tile_rows() % kept.period);
  return static_cast<size_t>(tiles) * tile_size * tile_size;
}

size_t TileGrid::offset_in_columns(int tile_row, int tile_column) const {
  const int above = kept.count_tiles(tile_column, tile_row);
  return tile_column * column_size()
      + static_cast<size_t>(above) * tile_size * tile_size;
}

vector<int> TileGrid::Kept(int line, int tiles) const {
  vector<int> list(kept.count_tiles(line, tiles));
  for (size_t j = 0; j < list.size(); ++j) { list[j] = kept.tile(line, j); }
  return list;
}

vector<int> TileGrid::kept_tiles(int tile_row) const {
  vector<int> tiles = kept_columns(tile_row);
  for (size_t i = 0; i < tiles.size(); ++i) {
    tiles[i] += tile_row * tile_columns();
  }
  return tiles;
}

vector<int> TileGrid::kept_tiles() const {
  vector<int> tiles;
  for (int r = 0; r < tile_rows(); ++r) {
    const vector<int> row = kept_tiles(r);
    tiles.insert(tiles.end(), row.begin(), row.end());
  }
  return tiles;
}

#define INSTANTIATE_TILE_PANELS(Dtype)                                       \
  template void PackTiles<Dtype>(                                            \
      const vector<int>&, int, int, int, const Dtype*, PanelBuffer<Dtype>*); \
  template void PackColumns<Dtype>(const TileGrid&, const Dtype*, int, Dtype*)

INSTANTIATE_TILE_PANELS(float);
INSTANTIATE_TILE_PANELS(double);

}  // namespace caffe
