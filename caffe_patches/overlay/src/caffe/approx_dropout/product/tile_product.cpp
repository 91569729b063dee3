#include "caffe/approx_dropout/product/tile_product.hpp"

#include <vector>

#include "caffe/approx_dropout/product/gather_scatter.hpp"
#include "caffe/approx_dropout/product/tile_blocks.hpp"

namespace caffe {

template <typename Dtype>
Dtype* TileProduct<Dtype>::GrowColumns(const TileGrid& grid) {
  return columns_.Grow(grid.tile_columns() * grid.column_size());
}

template <typename Dtype>
void TileProduct<Dtype>::ForwardGroup(const TileGrid& grid, Dtype alpha,
    const Dtype* weight, const vector<int>& samples, const Dtype* x,
    bool accumulate, Dtype* y, LazyParameter<Dtype>* lazy, bool again) {
  PackSamples(samples, grid.num_input, x, &x_panels_);
  has_columns_ = again;
  TileOperands<Dtype> operands = TileOperands<Dtype>();
  operands.grid = &grid;
  operands.alpha = alpha;
  operands.weight = weight;
  operands.samples = &samples;
  operands.x_panels = x_panels_.data();
  operands.accumulate = accumulate;
  operands.out = y;
  operands.lazy = lazy;
  operands.packed = GrowColumns(grid);
  ForwardTiles(operands, &sums_);
}

template <typename Dtype>
void TileProduct<Dtype>::InputGradient(const TileGrid& grid, Dtype alpha,
    const Dtype* weight, const vector<int>& samples, const Dtype* dy,
    Dtype* dx) {
  PackSamples(samples, grid.num_output, dy, &y_panels_);
  Dtype* packed = GrowColumns(grid);
  if (!has_columns_) {
    const int tile_rows = grid.tile_rows();
#pragma omp parallel for
    for (int r = 0; r < tile_rows; ++r) {
      PackColumns(grid, weight, r, packed);
    }
  }
  has_columns_ = false;
  TileOperands<Dtype> operands = TileOperands<Dtype>();
  operands.grid = &grid;
  operands.alpha = alpha;
  operands.samples = &samples;
  operands.y_panels = y_panels_.data();
  operands.out = dx;
  operands.packed = packed;
  InputGradientTiles(operands, &sums_);
}

template <typename Dtype>
void TileProduct<Dtype>::WeightGradient(const TileGrid& grid, Dtype alpha,
    const vector<int>& samples, const Dtype* x, const Dtype* dy,
    bool accumulate, Dtype* dweight) {
  PackTiles(samples, grid.tile_size, Panel<Dtype>::kWidth, grid.num_input, x,
      &x_panels_);
  PackTiles(samples, grid.tile_size, grid.tile_size, grid.num_output, dy,
      &y_panels_);
  TileOperands<Dtype> operands = TileOperands<Dtype>();
  operands.grid = &grid;
  operands.alpha = alpha;
  operands.samples = &samples;
  operands.x_panels = x_panels_.data();
  operands.y_panels = y_panels_.data();
  operands.accumulate = accumulate;
  operands.out = dweight;
  WeightGradientTiles(operands, &sums_);
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
