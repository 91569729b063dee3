#include "caffe/approx_dropout/product/tile_blocks.hpp"

#include <algorithm>
#include <vector>

#include "caffe/approx_dropout/math/micro_kernel.hpp"
#include "caffe/approx_dropout/math/parallel.hpp"

namespace caffe {

namespace {

// Depth of a panel that fits in the L1 cache.
const int kPanelDepth = 256;
// Rows of a block that read a panel while it is there. So deep, they fit in L2.
const int kBlockRows = 128;
// Panels of samples whose sums a block holds.
const int kBlockPanels = 16;
// Rows of a panel between factors in use and those that are fetched.
const int kRowsAhead = 12;
// The default tile_size. Known to the compiler, the distance of a tile's rows
// goes into the instructions; else their addresses take half of the registers
// and, with AVX-512, an instruction more for each product.
const int kUsualTile = 32;

// Lines of tiles, rows or columns, that keep the same ones, so that they are
// one dense product.
typedef vector<int> Block;

// All lines in blocks of about `rows` rows; at least two for each thread, if
// there are so many lines.
vector<Block> CutIntoBlocks(const TileGrid& grid, int lines, int rows) {
  const int period = std::min(grid.kept.period, lines);
  const int most = std::max(
      1, std::min(NumCells(rows, grid.tile_size), lines / (2 * MaxThreads())));
  vector<Block> blocks;
  for (int first = 0; first < period; ++first) {
    const int alike = NumCells(lines - first, period);
    const int size = NumCells(alike, NumCells(alike, most));
    for (int i = 0; i < alike; ++i) {
      if (i % size == 0) {
        blocks.push_back(Block());
      }
      blocks.back().push_back(first + i * period);
    }
  }
  return blocks;
}

// With AVX-512, half of a tile of 32 rows at a time instead of a third. (Others
// have strips of 12 and 24 rows.)
template <typename Dtype, int kVectorBytes, int kRows>
struct TileKernel
    : MicroKernel<Dtype, kVectorBytes, kVectorBytes == 64 ? 16 : kRows> {};

// An Output of MicroKernel: row r of sums goes to out + r * stride, times
// alpha, added to what is there or in its place. Meanwhile, if kFetches, it
// fetches factors that are `ahead` elements behind those in use.
template <typename Dtype, bool kFetches>
struct Target {
  Dtype alpha;
  bool add;
  Dtype* out;
  size_t stride;
  size_t ahead;

  CAFFE_INLINE const Target& OfPart(int, int) const { return *this; }
  CAFFE_INLINE void Fetch(int, const Dtype* factors) const {
    if (kFetches) {
      __builtin_prefetch(factors + ahead);
    }
  }
  template <int kVectorBytes>
  CAFFE_INLINE void Store(int row,
      const typename Unaligned<Dtype, kVectorBytes>::Vector* sum) const {
    typedef typename Unaligned<Dtype, kVectorBytes>::Vector Vector;
    Vector* to = reinterpret_cast<Vector*>(out + row * stride);
#pragma GCC unroll 4
    for (int v = 0; v < kPanelBytes / kVectorBytes; ++v) {
      Vector value = sum[v] * alpha;
      if (add) {
        value += to[v];
      }
      to[v] = value;
    }
  }
};

// Rows of a block's sums, and what they run over in each part of the depth.
template <typename Dtype>
struct RowGroup {
  Span units;
  vector<vector<DepthRange<Dtype> > > parts;
};

// Cuts kept tiles into parts of about kPanelDepth; none are one part.
vector<vector<int> > CutDepth(const TileGrid& grid, const vector<int>& tiles) {
  const size_t size = std::max(1, kPanelDepth / grid.tile_size);
  vector<vector<int> > parts(1);
  for (size_t i = 0; i < tiles.size(); ++i) {
    if (parts.back().size() == size) {
      parts.push_back(vector<int>());
    }
    parts.back().push_back(tiles[i]);
  }
  return parts;
}

// Rows of `out`, `stride` apart, for one panel of samples.
template <typename Dtype>
struct PanelRows {
  Dtype* out;
  size_t stride;
  const int* sample;
  int width;

  CAFFE_INLINE Dtype* Row(int n) const { return out + sample[n] * stride; }
  CAFFE_INLINE void Fetch(const Span& units) const {
    for (int n = 0; n < width; ++n) {
      for (int u = units.begin; u < units.end; u += Panel<Dtype>::kWidth) {
        __builtin_prefetch(Row(n) + u, 1);
      }
    }
  }
  CAFFE_INLINE void Store(
      const Span& units, bool accumulate, const Dtype* sums) const {
    for (int n = 0; n < width; ++n) {
      Dtype* to = Row(n) + units.begin;
      for (int r = 0; r < units.size(); ++r) {
        const Dtype sum = sums[r * Panel<Dtype>::kWidth + n];
        to[r] = accumulate ? to[r] + sum : sum;
      }
    }
  }
};

// The groups' units of all samples. The panels are of samples.
template <bool kFetches, int kVectorBytes, int kRows, typename Dtype>
CAFFE_INLINE void SampleColumns(const TileOperands<Dtype>& x,
    const vector<RowGroup<Dtype> >& groups, const Strides& strides,
    const Dtype* panels, size_t panel_size, int stride,
    PanelBuffer<Dtype>* buffer) {
  const int kWidth = Panel<Dtype>::kWidth;
  const int num_samples = x.samples->size();
  const int num_panels = Panel<Dtype>::count(num_samples);
  size_t sums_size = 0;  // of one panel
  for (size_t g = 0; g < groups.size(); ++g) {
    sums_size += groups[g].units.size() * kWidth;
  }
  Dtype* all_sums = buffer->Grow(kBlockPanels * sums_size);
  const int parts = groups[0].parts.size();
  for (int first = 0; first < num_panels; first += kBlockPanels) {
    const int end = std::min(first + kBlockPanels, num_panels);
    for (int p = 0; p < parts; ++p) {
      for (int j = first; j < end; ++j) {
        const PanelRows<Dtype> out = {x.out, static_cast<size_t>(stride),
            x.samples->data() + j * kWidth,
            std::min(kWidth, num_samples - j * kWidth)};
        Dtype* sums = all_sums + (j - first) * sums_size;
        for (size_t g = 0; g < groups.size(); ++g) {
          const Span units = groups[g].units;
          const Depth<Dtype> depth = {
              groups[g].parts[p].data(), groups[g].parts[p].size(), strides};
          const Target<Dtype, kFetches> target = {x.alpha, p > 0, sums,
              static_cast<size_t>(kWidth), kRowsAhead * strides.next};
          if (p + 1 == parts) {
            out.Fetch(units);
          }
          TileKernel<Dtype, kVectorBytes, kRows>::AllRows(
              units.size(), depth, panels + j * panel_size, target);
          if (p + 1 == parts) {
            out.Store(units, x.accumulate, sums);
          }
          sums += units.size() * kWidth;
        }
      }
    }
  }
}

// The outputs of tile rows. Panels: of samples, row k is input k.
struct ForwardBlock {
  template <int kVectorBytes, int kRows, typename Dtype>
  static CAFFE_INLINE void Run(const TileOperands<Dtype>& x, const Block& lines,
      PanelBuffer<Dtype>* buffer) {
    const TileGrid& grid = *x.grid;
    const vector<vector<int> > parts =
        CutDepth(grid, grid.kept_columns(lines[0]));
    vector<RowGroup<Dtype> > groups(lines.size());
    for (size_t i = 0; i < lines.size(); ++i) {
      // The weights are then still in a cache.
      if (x.lazy) {
        x.lazy->CatchUpOnThisThread(grid.kept_tiles(lines[i]));
      }
      PackColumns(grid, x.weight, lines[i], x.packed);
      groups[i].units = x.rows(lines[i]);
      groups[i].parts.resize(parts.size());
      for (size_t p = 0; p < parts.size(); ++p) {
        for (size_t j = 0; j < parts[p].size(); ++j) {
          const Span inputs = x.columns(parts[p][j]);
          const DepthRange<Dtype> range = {inputs.begin, inputs.end,
              x.packed + grid.offset_in_columns(lines[i], parts[p][j])};
          groups[i].parts[p].push_back(range);
        }
      }
    }
    if (grid.tile_size == kUsualTile) {
      Multiply<kVectorBytes, kRows>(x, groups, kUsualTile, buffer);
    } else {
      Multiply<kVectorBytes, kRows>(x, groups, grid.tile_size, buffer);
    }
  }

  template <int kVectorBytes, int kRows, typename Dtype>
  static CAFFE_INLINE void Multiply(const TileOperands<Dtype>& x,
      const vector<RowGroup<Dtype> >& groups, size_t tile_size,
      PanelBuffer<Dtype>* buffer) {
    const Strides strides = {tile_size, 1};
    SampleColumns<false, kVectorBytes, kRows>(x, groups, strides, x.x_panels,
        static_cast<size_t>(x.grid->num_input) * Panel<Dtype>::kWidth,
        x.grid->num_output, buffer);
  }
};

// The gradients of tile columns' inputs. Panels: of samples, row k is output k.
struct InputBlock {
  template <int kVectorBytes, int kRows, typename Dtype>
  static CAFFE_INLINE void Run(const TileOperands<Dtype>& x, const Block& lines,
      PanelBuffer<Dtype>* buffer) {
    const TileGrid& grid = *x.grid;
    const vector<vector<int> > parts = CutDepth(grid, grid.kept_rows(lines[0]));
    vector<RowGroup<Dtype> > groups(lines.size());
    for (size_t i = 0; i < lines.size(); ++i) {
      groups[i].units = x.columns(lines[i]);
      groups[i].parts.resize(parts.size());
      for (size_t p = 0; p < parts.size(); ++p) {
        vector<DepthRange<Dtype> >& ranges = groups[i].parts[p];
        for (size_t j = 0; j < parts[p].size(); ++j) {
          const Span outputs = x.rows(parts[p][j]);
          if (j > 0 && ranges.back().end == outputs.begin) {
            ranges.back().end = outputs.end;
            continue;
          }
          const DepthRange<Dtype> range = {outputs.begin, outputs.end,
              x.packed + grid.offset_in_columns(parts[p][j], lines[i])};
          ranges.push_back(range);
        }
      }
    }
    const Strides strides = {1, static_cast<size_t>(grid.tile_size)};
    SampleColumns<true, kVectorBytes, kRows>(x, groups, strides, x.y_panels,
        static_cast<size_t>(grid.num_output) * Panel<Dtype>::kWidth,
        grid.num_input, buffer);
  }
};

// The gradients of a tile row's kept weights. Panels: of each tile's units, row
// k is sample k; those of y are as wide as a tile.
struct WeightRow {
  template <int kVectorBytes, int kRows, typename Dtype>
  static CAFFE_INLINE void Run(const TileOperands<Dtype>& x, const Block& lines,
      PanelBuffer<Dtype>* buffer) {
    const int num_samples = x.samples->size();
    const vector<int> kept = x.grid->kept_columns(lines[0]);
    for (int k = 0; k < num_samples; k += kPanelDepth) {
      const Span depth = {k, std::min(k + kPanelDepth, num_samples)};
      for (size_t i = 0; i < kept.size(); ++i) {
        Tile<kVectorBytes, kRows>(x, lines[0], kept[i], depth, buffer);
      }
    }
  }

  template <int kVectorBytes, int kRows, typename Dtype>
  static CAFFE_INLINE void Tile(const TileOperands<Dtype>& x, int tile_row,
      int tile_column, const Span& depth, PanelBuffer<Dtype>* buffer) {
    const int kWidth = Panel<Dtype>::kWidth;
    const size_t num_input = x.grid->num_input;
    const size_t tile_size = x.grid->tile_size;
    const size_t num_samples = x.samples->size();
    const bool add = x.accumulate || depth.begin > 0;
    const Span rows = x.rows(tile_row);
    const Span columns = x.columns(tile_column);
    const DepthRange<Dtype> range = {depth.begin, depth.end,
        x.y_panels + (tile_row * num_samples + depth.begin) * tile_size};
    const Depth<Dtype> samples = {&range, 1, {1, tile_size}};
    const Dtype* x_panel = x.x_panels + tile_column * num_samples *
                                            Panel<Dtype>::count(tile_size) *
                                            kWidth;
    Dtype* tile = x.out + rows.begin * num_input;
    Dtype* sums = buffer->Grow(rows.size() * kWidth);
    for (int r = 0; r < rows.size(); ++r) {
      for (int i = columns.begin; i < columns.end; i += kWidth) {
        __builtin_prefetch(tile + r * num_input + i, 1);
      }
    }
    for (int i = columns.begin; i < columns.end;
         i += kWidth, x_panel += num_samples * kWidth) {
      const int width = std::min(kWidth, columns.end - i);
      const bool whole = width == kWidth;
      const Target<Dtype, true> target = {x.alpha, whole && add,
          whole ? tile + i : sums, whole ? num_input : kWidth,
          kRowsAhead * tile_size};
      TileKernel<Dtype, kVectorBytes, kRows>::AllRows(
          rows.size(), samples, x_panel, target);
      for (int r = 0; r < rows.size() && !whole; ++r) {
        const Dtype* sum = sums + r * kWidth;
        Dtype* out = tile + r * num_input + i;
        for (int j = 0; j < width; ++j) {
          out[j] = add ? out[j] + sum[j] : sum[j];
        }
      }
    }
  }
};

// All blocks, with the machine's vectors.
template <typename Part, typename Dtype>
void ForEachBlock(const TileOperands<Dtype>& x, const vector<Block>& blocks,
    vector<PanelBuffer<Dtype> >* sums) {
  const auto run = MachineRun<Part, const TileOperands<Dtype>&, const Block&,
      PanelBuffer<Dtype>*>::Get();
  GrowForThreads(sums);
  if (x.lazy) { x.lazy->GrowScratch(); }
#pragma omp parallel for schedule(dynamic)
  for (size_t i = 0; i < blocks.size(); ++i) {
    run(x, blocks[i], &(*sums)[ThreadIndex()]);
  }
}

}  // namespace

template <typename Dtype>
void ForwardTiles(
    const TileOperands<Dtype>& operands, vector<PanelBuffer<Dtype> >* sums) {
  const TileGrid& grid = *operands.grid;
  ForEachBlock<ForwardBlock>(
      operands, CutIntoBlocks(grid, grid.tile_rows(), kBlockRows), sums);
}

template <typename Dtype>
void InputGradientTiles(
    const TileOperands<Dtype>& operands, vector<PanelBuffer<Dtype> >* sums) {
  const TileGrid& grid = *operands.grid;
  ForEachBlock<InputBlock>(
      operands, CutIntoBlocks(grid, grid.tile_columns(), kBlockRows), sums);
}

template <typename Dtype>
void WeightGradientTiles(
    const TileOperands<Dtype>& operands, vector<PanelBuffer<Dtype> >* sums) {
  const TileGrid& grid = *operands.grid;
  ForEachBlock<WeightRow>(
      operands, CutIntoBlocks(grid, grid.tile_rows(), 1), sums);
}

#define INSTANTIATE_TILE_BLOCKS(Dtype)                           \
  template void ForwardTiles<Dtype>(                             \
      const TileOperands<Dtype>&, vector<PanelBuffer<Dtype> >*); \
  template void InputGradientTiles<Dtype>(                       \
      const TileOperands<Dtype>&, vector<PanelBuffer<Dtype> >*); \
  template void WeightGradientTiles<Dtype>(                      \
      const TileOperands<Dtype>&, vector<PanelBuffer<Dtype> >*)

INSTANTIATE_TILE_BLOCKS(float);
INSTANTIATE_TILE_BLOCKS(double);

}  // namespace caffe
