#include <algorithm>
#include <vector>

#include "caffe/approx_dropout/math/micro_kernel.hpp"
#include "caffe/approx_dropout/product/gather_scatter.hpp"
#include "caffe/approx_dropout/product/tile_panels.hpp"
#include "caffe/approx_dropout/product/tile_product.hpp"

namespace caffe {

namespace {

// Depth of a panel that fits in the L1 cache.
const int kPanelDepth = 160;

struct Span {
  int begin, end;
};

// A product, for all threads. Its panels: see the functions that pack them.
template <typename Dtype>
struct Operands {
  const TileGrid* grid;
  Dtype alpha;
  const Dtype* weight;
  const vector<int>* samples;
  const Dtype* x_panels;
  const Dtype* y_panels;
  bool accumulate;
  Dtype* out;
  LazyParameter<Dtype>* lazy;
  Dtype* packed;  // W's kept tiles, see PackColumns

  Span rows(int tile) const {
    const CellRange range = grid->cells().range(tile, 0);
    const Span span = { range.first_row, range.first_row + range.num_rows };
    return span;
  }
  Span columns(int tile) const {
    const CellRange range = grid->cells().range(0, tile);
    const Span span = { range.first_column,
        range.first_column + range.num_columns };
    return span;
  }
};

// An Output of MicroKernel: row r of sums goes to out + r * stride, times
// alpha, added to what is there or in its place.
template <typename Dtype>
struct Target {
  Dtype alpha;
  bool add;
  Dtype* out;
  size_t stride;

  CAFFE_INLINE const Target& OfPart(int, int) const { return *this; }
  CAFFE_INLINE void Fetch(int) const {}
  template <int kVectorBytes>
  CAFFE_INLINE void Store(int row,
      const typename Unaligned<Dtype, kVectorBytes>::Vector* sum) const {
    typedef typename Unaligned<Dtype, kVectorBytes>::Vector Vector;
    Vector* to = reinterpret_cast<Vector*>(out + row * stride);
#pragma GCC unroll 4
    for (int v = 0; v < kPanelBytes / kVectorBytes; ++v) {
      Vector value = sum[v] * alpha;
      if (add) { value += to[v]; }
      to[v] = value;
    }
  }
};

template <typename Dtype>
Depth<Dtype> DepthOf(const vector<DepthRange<Dtype> >& ranges,
    const Strides& strides) {
  const Depth<Dtype> depth = { ranges.data(), ranges.size(), strides };
  return depth;
}

// Cuts runs of depth into parts of about kPanelDepth rows.
template <typename Dtype>
vector<vector<DepthRange<Dtype> > > CutToDepth(
    const vector<DepthRange<Dtype> >& runs, const Strides& strides) {
  vector<vector<DepthRange<Dtype> > > parts;
  int depth = kPanelDepth;
  for (size_t i = 0; i < runs.size(); ++i) {
    for (int begin = runs[i].begin; begin < runs[i].end; begin += kPanelDepth) {
      const DepthRange<Dtype> run = { begin,
          std::min(begin + kPanelDepth, runs[i].end),
          runs[i].factors + (begin - runs[i].begin) * strides.next };
      if (depth >= kPanelDepth) {
        parts.push_back(vector<DepthRange<Dtype> >());
        depth = 0;
      }
      parts.back().push_back(run);
      depth += run.end - run.begin;
    }
  }
  return parts;
}

// Columns `units` of all samples' rows in `out`, which are `stride` apart. The
// panels are of samples; `sums` holds units x panel width.
template <typename Dtype, int kVectorBytes, int kRows>
CAFFE_INLINE void SampleColumns(const Operands<Dtype>& x, const Span& units,
    const vector<DepthRange<Dtype> >& runs, const Strides& strides,
    const Dtype* panels, size_t panel_size, int stride, Dtype* sums) {
  const int kWidth = Panel<Dtype>::kWidth;
  const int size = units.end - units.begin;
  const int num_samples = x.samples->size();
  const int* sample = x.samples->data();
  const vector<vector<DepthRange<Dtype> > > parts = CutToDepth(runs, strides);
  for (int begin = 0; begin < num_samples; begin += kWidth) {
    const Dtype* panel = panels + begin / kWidth * panel_size;
    const int width = std::min(kWidth, num_samples - begin);
    for (int n = 0; n < width; ++n) {
      const Dtype* out = x.out + static_cast<size_t>(sample[begin + n])
          * stride + units.begin;
      for (int r = 0; r < size; r += kWidth) { __builtin_prefetch(out + r, 1); }
    }
    if (parts.empty()) { std::fill_n(sums, size * kWidth, Dtype(0)); }
    for (size_t p = 0; p < parts.size(); ++p) {
      const Target<Dtype> target = { x.alpha, p > 0, sums,
          static_cast<size_t>(kWidth) };
      MicroKernel<Dtype, kVectorBytes, kRows>::AllRows(size,
          DepthOf(parts[p], strides), panel, target);
    }
    for (int n = 0; n < width; ++n) {
      Dtype* out = x.out + static_cast<size_t>(sample[begin + n]) * stride
          + units.begin;
      if (x.accumulate) {
        for (int r = 0; r < size; ++r) { out[r] += sums[r * kWidth + n]; }
      } else {
        for (int r = 0; r < size; ++r) { out[r] = sums[r * kWidth + n]; }
      }
    }
  }
}

// The outputs of a tile row. Panels: of samples, row k is input k.
struct ForwardRow {
  template <int kVectorBytes, int kRows, typename Dtype>
  static CAFFE_INLINE void Run(const Operands<Dtype>& x, int tile,
      Dtype* sums) {
    const TileGrid& grid = *x.grid;
    // The weights are then still in a cache.
    if (x.lazy) { x.lazy->CatchUpOnThisThread(grid.kept_tiles(tile)); }
    PackColumns(grid, x.weight, tile, x.packed);
    const vector<int> kept = grid.kept_columns(tile);
    vector<DepthRange<Dtype> > runs(kept.size());
    for (size_t i = 0; i < kept.size(); ++i) {
      const Span inputs = x.columns(kept[i]);
      runs[i].begin = inputs.begin;
      runs[i].end = inputs.end;
      runs[i].factors = x.packed + grid.offset_in_columns(tile, kept[i]);
    }
    const Strides strides = { static_cast<size_t>(grid.tile_size), 1 };
    SampleColumns<Dtype, kVectorBytes, kRows>(x, x.rows(tile), runs, strides,
        x.x_panels, static_cast<size_t>(grid.num_input) * Panel<Dtype>::kWidth,
        grid.num_output, sums);
  }
};

// The gradients of a tile column's inputs. Panels: of samples, row k is
// output k.
struct InputColumn {
  template <int kVectorBytes, int kRows, typename Dtype>
  static CAFFE_INLINE void Run(const Operands<Dtype>& x, int tile,
      Dtype* sums) {
    const TileGrid& grid = *x.grid;
    const vector<int> kept = grid.kept_rows(tile);
    vector<DepthRange<Dtype> > runs;
    const Dtype* factors = x.packed + tile * grid.column_size();
    for (size_t i = 0; i < kept.size(); ++i) {
      const Span outputs = x.rows(kept[i]);
      if (!runs.empty() && runs.back().end == outputs.begin) {
        runs.back().end = outputs.end;
      } else {
        const DepthRange<Dtype> run = { outputs.begin, outputs.end, factors };
        runs.push_back(run);
      }
      factors += static_cast<size_t>(grid.tile_size) * grid.tile_size;
    }
    const Strides strides = { 1, static_cast<size_t>(grid.tile_size) };
    SampleColumns<Dtype, kVectorBytes, kRows>(x, x.columns(tile), runs, strides,
        x.y_panels,
        static_cast<size_t>(grid.num_output) * Panel<Dtype>::kWidth,
        grid.num_input, sums);
  }
};

// The gradients of a tile row's kept weights. Panels: of each tile's units,
// row k is sample k; those of y are as wide as a tile.
struct WeightRow {
  template <int kVectorBytes, int kRows, typename Dtype>
  static CAFFE_INLINE void Run(const Operands<Dtype>& x, int tile,
      Dtype* sums) {
    const int num_samples = x.samples->size();
    const vector<int> kept = x.grid->kept_columns(tile);
    vector<DepthRange<Dtype> > depth(1);
    for (int k = 0; k < num_samples; k += kPanelDepth) {
      depth[0].begin = k;
      depth[0].end = std::min(k + kPanelDepth, num_samples);
      for (size_t i = 0; i < kept.size(); ++i) {
        Tile<kVectorBytes, kRows>(x, tile, kept[i], &depth,
            x.accumulate || k > 0, sums);
      }
    }
  }

  template <int kVectorBytes, int kRows, typename Dtype>
  static CAFFE_INLINE void Tile(const Operands<Dtype>& x, int tile_row,
      int tile_column, vector<DepthRange<Dtype> >* depth, bool accumulate,
      Dtype* sums) {
    const int kWidth = Panel<Dtype>::kWidth;
    const size_t num_input = x.grid->num_input;
    const size_t tile_size = x.grid->tile_size;
    const size_t num_samples = x.samples->size();
    const Span rows = x.rows(tile_row);
    const Span columns = x.columns(tile_column);
    const int height = rows.end - rows.begin;
    const Strides strides = { 1, tile_size };
    (*depth)[0].factors = x.y_panels
        + (tile_row * num_samples + (*depth)[0].begin) * tile_size;
    const Dtype* x_panel = x.x_panels + tile_column * num_samples
        * Panel<Dtype>::count(tile_size) * kWidth;
    Dtype* tile = x.out + rows.begin * num_input;
    for (int r = 0; r < height; ++r) {
      for (int i = columns.begin; i < columns.end; i += kWidth) {
        __builtin_prefetch(tile + r * num_input + i, 1);
      }
    }
    for (int i = columns.begin; i < columns.end;
        i += kWidth, x_panel += num_samples * kWidth) {
      const int width = std::min(kWidth, columns.end - i);
      const bool whole = width == kWidth;
      const Target<Dtype> target = { x.alpha, whole && accumulate,
          whole ? tile + i : sums, whole ? num_input : kWidth };
      MicroKernel<Dtype, kVectorBytes, kRows>::AllRows(height,
          DepthOf(*depth, strides), x_panel, target);
      if (whole) { continue; }
      for (int r = 0; r < height; ++r) {
        const Dtype* sum = sums + r * kWidth;
        Dtype* out = tile + i + r * num_input;
        for (int j = 0; j < width; ++j) {
          out[j] = accumulate ? out[j] + sum[j] : sum[j];
        }
      }
    }
  }
};

// All rows or columns of tiles, with the machine's vectors.
template <typename Part, typename Dtype>
void ForEachTile(const Operands<Dtype>& x, int tiles) {
  const auto run =
      MachineRun<Part, const Operands<Dtype>&, int, Dtype*>::Get();
  const int kWidth = Panel<Dtype>::kWidth;
#pragma omp parallel
  {
    vector<Dtype> sums(x.grid->tile_size * kWidth);
#pragma omp for schedule(dynamic)
    for (int tile = 0; tile < tiles; ++tile) { run(x, tile, sums.data()); }
  }
}

}  // namespace

template <typename Dtype>
Dtype* TileProduct<Dtype>::GrowColumns(const TileGrid& grid) {
  const size_t size = grid.tile_columns() * grid.column_size();
  if (columns_.size() < size) { columns_.resize(size); }
  return columns_.data();
}

template <typename Dtype>
void TileProduct<Dtype>::ForwardGroup(const TileGrid& grid, Dtype alpha,
    const Dtype* weight, const vector<int>& samples, const Dtype* x,
    bool accumulate, Dtype* y, LazyParameter<Dtype>* lazy, bool again) {
  PackSamples(samples, grid.num_input, x, &x_panels_);
  has_columns_ = again;
  Operands<Dtype> operands = Operands<Dtype>();
  operands.grid = &grid;
  operands.alpha = alpha;
  operands.weight = weight;
  operands.samples = &samples;
  operands.x_panels = x_panels_.data();
  operands.accumulate = accumulate;
  operands.out = y;
  operands.lazy = lazy;
  operands.packed = GrowColumns(grid);
  ForEachTile<ForwardRow>(operands, grid.tile_rows());
}

template <typename Dtype>
void TileProduct<Dtype>::InputGradient(const TileGrid& grid, Dtype alpha,
    const Dtype* weight, const vector<int>& samples, const Dtype* dy,
    Dtype* dx) {
  PackSamples(samples, grid.num_output, dy, &y_panels_);
  Dtype* columns = GrowColumns(grid);
  if (!has_columns_) {
    const int tile_rows = grid.tile_rows();
#pragma omp parallel for
    for (int r = 0; r < tile_rows; ++r) {
      PackColumns(grid, weight, r, columns);
    }
  }
  has_columns_ = false;
  Operands<Dtype> operands = Operands<Dtype>();
  operands.grid = &grid;
  operands.alpha = alpha;
  operands.samples = &samples;
  operands.y_panels = y_panels_.data();
  operands.out = dx;
  operands.packed = columns;
  ForEachTile<InputColumn>(operands, grid.tile_columns());
}

template <typename Dtype>
void TileProduct<Dtype>::WeightGradient(const TileGrid& grid, Dtype alpha,
    const vector<int>& samples, const Dtype* x, const Dtype* dy,
    bool accumulate, Dtype* dweight) {
  PackTiles(samples, grid.tile_size, Panel<Dtype>::kWidth, grid.num_input, x,
      &x_panels_);
  PackTiles(samples, grid.tile_size, grid.tile_size, grid.num_output, dy,
      &y_panels_);
  Operands<Dtype> operands = Operands<Dtype>();
  operands.grid = &grid;
  operands.alpha = alpha;
  operands.samples = &samples;
  operands.x_panels = x_panels_.data();
  operands.y_panels = y_panels_.data();
  operands.accumulate = accumulate;
  operands.out = dweight;
  ForEachTile<WeightRow>(operands, grid.tile_rows());
}

template <typename Dtype>
void TileProduct<Dtype>::Pack(const ProductSpec<Dtype>& spec,
    const Dtype* weight) {
  spec_ = &spec;
  weight_ = weight;
  has_columns_ = false;
}

template <typename Dtype>
TileGrid TileProduct<Dtype>::Grid(int group) const {
  const TileGrid grid = { spec_->output[group], spec_->tile_size,
      spec_->num_output, spec_->num_input };
  return grid;
}

template <typename Dtype>
vector<int> TileProduct<Dtype>::Samples(int outer, int group) const {
  const GroupRows rows = spec_->rows();
  vector<int> samples(outer * rows.size);
  for (size_t i = 0; i < samples.size(); ++i) { samples[i] = rows(group, i); }
  return samples;
}

template <typename Dtype>
void TileProduct<Dtype>::Forward(int outer, const Dtype* x, const Dtype* bias,
    bool accumulate, Dtype* y) {
  if (bias) {
    const PartView<Dtype> whole = { y, spec_->num_output };
    CpuParts<Dtype>::FillRows(bias, spec_->bias_scale,
        AllUnits(spec_->num_output), outer * spec_->num_samples, whole);
  }
  for (int g = 0; g < spec_->num_groups(); ++g) {
    // While it learns, a gradient follows.
    const bool again = spec_->lazy && spec_->num_groups() == 1;
    ForwardGroup(Grid(g), spec_->scale, weight_, Samples(outer, g), x,
        accumulate || bias, y, spec_->lazy, again);
  }
}

template <typename Dtype>
void TileProduct<Dtype>::Backward(int outer, const Dtype* x, const Dtype* dy,
    Dtype* dx, Dtype* dweight, Dtype* dbias) {
  if (dbias) {
    const PartView<const Dtype> whole = { dy, spec_->num_output };
    CpuParts<Dtype>::AddColumnSums(whole, outer * spec_->num_samples,
        spec_->bias_scale, AllUnits(spec_->num_output), dbias);
  }
  LazyParameter<Dtype>* lazy = spec_->lazy;
  for (int g = 0; g < spec_->num_groups(); ++g) {
    const TileGrid grid = Grid(g);
    const vector<int> samples = Samples(outer, g);
    if (dweight) {
      const bool overwrite = lazy
          && lazy->ClaimGradient(grid.kept_tiles()) == Claim::OVERWRITE;
      WeightGradient(grid, spec_->scale, samples, x, dy, !overwrite, dweight);
    }
    if (dx) { InputGradient(grid, spec_->scale, weight_, samples, dy, dx); }
  }
}

INSTANTIATE_CLASS(TileProduct);

}  // namespace caffe
