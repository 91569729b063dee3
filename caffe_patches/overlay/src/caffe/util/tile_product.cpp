#include <stddef.h>

#include <algorithm>
#include <vector>

#include "caffe/util/panels.hpp"
#include "caffe/util/tile_product.hpp"
#include "caffe/util/vector_math.hpp"
#include "caffe/util/vector_target.hpp"

namespace caffe {

namespace {

// Rows of panels, and of W, that stay in the first cache.
const int kDepth = 128;

// Places begin, ..., end - 1.
struct Span {
  int begin, end;
};

// A product, for all threads. Panels of x and of y: see the functions that
// pack them.
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
  Dtype* packed;  // where ForwardRow copies W to, or NULL

  Span rows(int tile) const { return Of(tile, grid->num_output); }
  Span columns(int tile) const { return Of(tile, grid->num_input); }
  Span Of(int tile, int units) const {
    const Span span = { tile * grid->tile_size,
        std::min((tile + 1) * grid->tile_size, units) };
    return span;
  }
  // The places that the kept tiles of a tile row or column cover, neighbours
  // put together.
  vector<Span> Kept(int tile, int other_tiles, int units) const {
    vector<Span> spans;
    for (int other = 0; other < other_tiles; ++other) {
      if (!grid->kept.has(tile + other)) { continue; }
      const Span span = Of(other, units);
      if (!spans.empty() && spans.back().end == span.begin) {
        spans.back().end = span.end;
      } else {
        spans.push_back(span);
      }
    }
    return spans;
  }
};

// For r < kRows, adds to row r of sums, or sets it to, the sum over k in spans
// of factors[r * row_step + k * step] times row k of the panel. If `dense`,
// factors are only those of the k in spans.
template <typename Dtype, int kVectorBytes, int kRows>
CAFFE_INLINE void SumOf(const vector<Span>& spans, const Dtype* factors,
    size_t row_step, size_t step, bool dense, const Dtype* panel, bool add,
    Dtype* sums) {
  typedef Dtype Vector __attribute__((vector_size(kVectorBytes), may_alias,
      aligned(sizeof(Dtype))));
  const int kVectors = kPanelBytes / kVectorBytes;
  Vector* total = reinterpret_cast<Vector*>(sums);
  Vector sum[kRows][kVectors] = {};
  const Dtype* a = factors;
  for (size_t i = 0; i < spans.size(); ++i) {
    if (!dense) { a = factors + spans[i].begin * step; }
    const Vector* b = reinterpret_cast<const Vector*>(panel)
        + spans[i].begin * kVectors;
    for (int k = spans[i].begin; k < spans[i].end; ++k) {
#pragma GCC unroll 12
      for (int r = 0; r < kRows; ++r) {
        const Dtype factor = a[r * row_step];
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v) { sum[r][v] += factor * b[v]; }
      }
      a += step;
      b += kVectors;
    }
  }
#pragma GCC unroll 12
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      if (add) { sum[r][v] += total[r * kVectors + v]; }
      total[r * kVectors + v] = sum[r][v];
    }
  }
}

template <typename Dtype, int kVectorBytes, int kRows>
struct Sum {
  // The same for any number of rows, about equally many at a time.
  static CAFFE_INLINE void AllRows(int rows, const vector<Span>& spans,
      const Dtype* factors, size_t row_step, size_t step, bool dense,
      const Dtype* panel, bool add, Dtype* sums) {
    const int parts = (rows + kRows - 1) / kRows;
    for (int part = 0; part < parts; ++part) {
      const int first = part * rows / parts;
      Rows((part + 1) * rows / parts - first, spans,
          factors + first * row_step, row_step, step, dense, panel, add,
          sums + first * Panel<Dtype>::kWidth);
    }
  }

  // For rows <= kRows of them.
  static CAFFE_INLINE void Rows(int rows, const vector<Span>& spans,
      const Dtype* factors, size_t row_step, size_t step, bool dense,
      const Dtype* panel, bool add, Dtype* sums) {
    if (rows == kRows) {
      SumOf<Dtype, kVectorBytes, kRows>(spans, factors, row_step, step, dense,
          panel, add, sums);
    } else {
      Sum<Dtype, kVectorBytes, kRows - 1>::Rows(rows, spans, factors,
          row_step, step, dense, panel, add, sums);
    }
  }
};

template <typename Dtype, int kVectorBytes>
struct Sum<Dtype, kVectorBytes, 0> {
  static CAFFE_INLINE void Rows(int, const vector<Span>&, const Dtype*,
      size_t, size_t, bool, const Dtype*, bool, Dtype*) {}
};

// Spans as parts of about kDepth places.
vector<vector<Span> > CutToDepth(const vector<Span>& spans) {
  vector<vector<Span> > parts;
  int depth = kDepth;
  for (size_t i = 0; i < spans.size(); ++i) {
    for (int begin = spans[i].begin; begin < spans[i].end; begin += kDepth) {
      const Span span = { begin, std::min(begin + kDepth, spans[i].end) };
      if (depth >= kDepth) {
        parts.push_back(vector<Span>());
        depth = 0;
      }
      parts.back().push_back(span);
      depth += span.end - span.begin;
    }
  }
  return parts;
}

// Columns `units` of all samples' rows in `out`, which are `stride` apart.
// The factors, see SumOf, are those of the first unit; the panels are of
// samples; `sums` holds units x panel width.
template <typename Dtype, int kVectorBytes, int kRows>
CAFFE_INLINE void SampleColumns(const Operands<Dtype>& x, const Span& units,
    const vector<Span>& spans, const Dtype* factors, size_t row_step,
    size_t step, bool dense, const Dtype* panels, size_t panel_size,
    int stride, Dtype* sums) {
  const int kWidth = Panel<Dtype>::kWidth;
  const int size = units.end - units.begin;
  const int num_samples = x.samples->size();
  const int* sample = x.samples->data();
  const vector<vector<Span> > parts = CutToDepth(spans);
  for (int begin = 0; begin < num_samples; begin += kWidth) {
    const Dtype* panel = panels + begin / kWidth * panel_size;
    const Dtype* a = factors;
    if (parts.empty()) { std::fill_n(sums, size * kWidth, Dtype(0)); }
    for (size_t p = 0; p < parts.size(); ++p) {
      Sum<Dtype, kVectorBytes, kRows>::AllRows(size, parts[p], a, row_step,
          step, dense, panel, p > 0, sums);
      for (size_t i = 0; dense && i < parts[p].size(); ++i) {
        a += (parts[p][i].end - parts[p][i].begin) * step;
      }
    }
    const int width = std::min(kWidth, num_samples - begin);
    for (int n = 0; n < width; ++n) {
      Dtype* out = x.out + static_cast<size_t>(sample[begin + n]) * stride
          + units.begin;
      for (int r = 0; r < size; ++r) {
        const Dtype value = x.alpha * sums[r * kWidth + n];
        out[r] = x.accumulate ? out[r] + value : value;
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
    const Span rows = x.rows(tile);
    // The weights are then still in a cache.
    if (x.lazy) { x.lazy->CatchUpHere(grid.kept_tiles(tile)); }
    if (x.packed) { PackColumns(grid, x.weight, tile, x.packed); }
    SampleColumns<Dtype, kVectorBytes, kRows>(x, rows,
        x.Kept(tile, grid.tile_columns(), grid.num_input),
        x.weight + static_cast<size_t>(rows.begin) * grid.num_input,
        grid.num_input, 1, false, x.x_panels,
        static_cast<size_t>(grid.num_input) * Panel<Dtype>::kWidth,
        grid.num_output, sums);
  }
};

// The gradients of a tile column's inputs. Panels: of samples, row k is
// output k. weight: see PackColumns.
struct InputColumn {
  template <int kVectorBytes, int kRows, typename Dtype>
  static CAFFE_INLINE void Run(const Operands<Dtype>& x, int tile,
      Dtype* sums) {
    const TileGrid& grid = *x.grid;
    SampleColumns<Dtype, kVectorBytes, kRows>(x, x.columns(tile),
        x.Kept(tile, grid.tile_rows(), grid.num_output),
        x.weight + tile * grid.column_size(), 1, grid.tile_size, true,
        x.y_panels,
        static_cast<size_t>(grid.num_output) * Panel<Dtype>::kWidth,
        grid.num_input, sums);
  }
};

// The gradients of a tile row's kept weights. Panels: of each tile's units,
// row k is sample k.
struct WeightRow {
  template <int kVectorBytes, int kRows, typename Dtype>
  static CAFFE_INLINE void Run(const Operands<Dtype>& x, int tile,
      Dtype* sums) {
    const TileGrid& grid = *x.grid;
    const int num_samples = x.samples->size();
    vector<Span> depth(1);
    for (int k = 0; k < num_samples; k += kDepth) {
      depth[0].begin = k;
      depth[0].end = std::min(k + kDepth, num_samples);
      for (int c = 0; c < grid.tile_columns(); ++c) {
        if (grid.kept.has(tile + c)) {
          Tile<kVectorBytes, kRows>(x, tile, c, depth, x.accumulate || k > 0,
              sums);
        }
      }
    }
  }

  template <int kVectorBytes, int kRows, typename Dtype>
  static CAFFE_INLINE void Tile(const Operands<Dtype>& x, int tile_row,
      int tile_column, const vector<Span>& depth, bool accumulate,
      Dtype* sums) {
    const int kWidth = Panel<Dtype>::kWidth;
    const int num_input = x.grid->num_input;
    const Span rows = x.rows(tile_row);
    const Span columns = x.columns(tile_column);
    const size_t panel_size = x.samples->size() * kWidth;
    const size_t tile_size = panel_size * Panel<Dtype>::count(
        x.grid->tile_size);
    const Dtype* y_panel = x.y_panels + tile_row * tile_size;
    for (int o = rows.begin; o < rows.end; ++o) {
      Dtype* out = x.out + static_cast<size_t>(o) * num_input;
      for (int i = columns.begin; i < columns.end; i += kWidth) {
        __builtin_prefetch(out + i, 1);
      }
    }
    for (int o = rows.begin; o < rows.end; o += kWidth, y_panel += panel_size) {
      const int height = std::min(kWidth, rows.end - o);
      const Dtype* x_panel = x.x_panels + tile_column * tile_size;
      for (int i = columns.begin; i < columns.end;
          i += kWidth, x_panel += panel_size) {
        Sum<Dtype, kVectorBytes, kRows>::AllRows(height, depth, y_panel, 1,
            kWidth, false, x_panel, false, sums);
        const int width = std::min(kWidth, columns.end - i);
        for (int r = 0; r < height; ++r) {
          Dtype* out = x.out + static_cast<size_t>(o + r) * num_input + i;
          for (int j = 0; j < width; ++j) {
            const Dtype value = x.alpha * sums[r * kWidth + j];
            out[j] = accumulate ? out[j] + value : value;
          }
        }
      }
    }
  }
};

#ifdef CAFFE_X86_VECTORS
template <typename Part, typename Dtype>
__attribute__((target("avx512f,avx512dq")))
void RunAvx512(const Operands<Dtype>& x, int tile, Dtype* sums) {
  Part::template Run<64, 12>(x, tile, sums);
}

template <typename Part, typename Dtype>
__attribute__((target("avx2,fma")))
void RunAvx2(const Operands<Dtype>& x, int tile, Dtype* sums) {
  Part::template Run<32, 6>(x, tile, sums);
}
#endif

template <typename Part, typename Dtype>
void RunSse2(const Operands<Dtype>& x, int tile, Dtype* sums) {
  Part::template Run<16, 3>(x, tile, sums);
}

// All rows or columns of tiles, with the machine's vectors.
template <typename Part, typename Dtype>
void ForEachTile(const Operands<Dtype>& x, int tiles) {
  void (*run)(const Operands<Dtype>&, int, Dtype*) = RunSse2<Part, Dtype>;
#ifdef CAFFE_X86_VECTORS
  if (vector_bytes() == 64) { run = RunAvx512<Part, Dtype>; }
  if (vector_bytes() == 32) { run = RunAvx2<Part, Dtype>; }
#endif
  const int kWidth = Panel<Dtype>::kWidth;
#pragma omp parallel
  {
    vector<Dtype> sums(std::max(x.grid->tile_size, kWidth) * kWidth);
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
void TileProduct<Dtype>::Forward(const TileGrid& grid, Dtype alpha,
    const Dtype* weight, const vector<int>& samples, const Dtype* x,
    bool accumulate, Dtype* y, LazyParameter<Dtype>* lazy, bool again) {
  PackSamples(samples, grid.num_input, x, &x_panels_);
  has_columns_ = again && has_input_gradient_;
  const Operands<Dtype> operands = { &grid, alpha, weight, &samples,
      x_panels_.data(), NULL, accumulate, y, lazy,
      has_columns_ ? GrowColumns(grid) : NULL };
  ForEachTile<ForwardRow>(operands, grid.tile_rows());
}

template <typename Dtype>
void TileProduct<Dtype>::InputGradient(const TileGrid& grid, Dtype alpha,
    const Dtype* weight, const vector<int>& samples, const Dtype* dy,
    Dtype* dx) {
  PackSamples(samples, grid.num_output, dy, &y_panels_);
  if (!has_columns_) {
    Dtype* columns = GrowColumns(grid);
#pragma omp parallel for
    for (int r = 0; r < grid.tile_rows(); ++r) {
      PackColumns(grid, weight, r, columns);
    }
  }
  has_columns_ = false;
  has_input_gradient_ = true;
  const Operands<Dtype> operands = { &grid, alpha, columns_.data(), &samples,
      NULL, y_panels_.data(), false, dx, NULL, NULL };
  ForEachTile<InputColumn>(operands, grid.tile_columns());
}

template <typename Dtype>
void TileProduct<Dtype>::WeightGradient(const TileGrid& grid, Dtype alpha,
    const vector<int>& samples, const Dtype* x, const Dtype* dy,
    bool accumulate, Dtype* dweight) {
  PackTiles(samples, grid.tile_size, grid.num_input, x, &x_panels_);
  PackTiles(samples, grid.tile_size, grid.num_output, dy, &y_panels_);
  const Operands<Dtype> operands = { &grid, alpha, NULL, &samples,
      x_panels_.data(), y_panels_.data(), accumulate, dweight, NULL, NULL };
  ForEachTile<WeightRow>(operands, grid.tile_rows());
}

template class TileProduct<float>;
template class TileProduct<double>;

}  // namespace caffe
