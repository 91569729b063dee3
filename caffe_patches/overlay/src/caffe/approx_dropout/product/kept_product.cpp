#include <algorithm>
#include <vector>

#include "boost/math/common_factor_rt.hpp"

#include "caffe/approx_dropout/math/packed_gemm.hpp"
#include "caffe/approx_dropout/pattern/sample_groups.hpp"
#include "caffe/approx_dropout/product/gather_scatter.hpp"
#include "caffe/approx_dropout/product/gathered_product.hpp"
#include "caffe/approx_dropout/product/kept_product.hpp"

namespace caffe {

template <typename Dtype>
void KeptProduct<Dtype>::Keep(const ApproxDropoutPatterns<Dtype>& patterns,
    const ApproxDropoutParameter& param, int num_output, int num_input,
    int num_samples) {
  Keep(patterns.output(), patterns.input(), param, num_output, num_input,
      num_samples, true);
}

template <typename Dtype>
void KeptProduct<Dtype>::Keep(const DropoutPattern<Dtype>& output,
    const DropoutPattern<Dtype>& input, const ApproxDropoutParameter& param,
    int num_output, int num_input, int num_samples, bool rotates) {
  rotates_ = rotates;
  num_output_ = num_output;
  num_input_ = num_input;
  num_samples_ = num_samples;
  compact_output_ = param.compact_output();
  compact_input_ = param.compact_input();
  tiled_ = param.pattern() == ApproxDropoutParameter_Pattern_TILE;
  tile_size_ = param.tile_size();
  scale_ = output.scale;
  bias_scale_ = tiled_ ? Dtype(1) : scale_;
  stored_output_ = compact_output_ ?
      output.groups[0].count(num_output) : num_output;
  stored_input_ = compact_input_ ?
      input.groups[0].count(num_input) : num_input;
  output_pattern_ = output;
  input_pattern_ = input;
  // Groups that all keep everything make one product.
  const KeptCells& out = output.groups[0];
  const KeptCells& in = input.groups[0];
  if (out.kept == out.period && in.kept == in.period) {
    output_pattern_.groups.assign(1, AllCells());
    input_pattern_.groups.assign(1, AllCells());
  }
  for_steps_ = false;
  scratch_.resize(std::max<size_t>(1, scratch_.size()));
  blocks_.clear();
  grouped_outer_ = 0;
  const bool gpu = Caffe::mode() == Caffe::GPU;
  if (gpu ? !in_batch() : !in_tiles()) { MakeBlocks(); }
}

template <typename Dtype>
void KeptProduct<Dtype>::SetLazy(LazyParameter<Dtype>* lazy) {
  lazy_ = lazy;
  if (lazy && tiled_) { lazy->SetCells(tile_size_, tile_size_); }
}

template <typename Dtype>
int KeptProduct<Dtype>::num_parts() const {
  return boost::math::lcm(output_pattern_.groups.size(),
      input_pattern_.groups.size());
}

template <typename Dtype>
void KeptProduct<Dtype>::MakeBlocks() {
  blocks_.clear();
  tiled_gradient_blocks_.clear();
  const int parts = num_parts();
  const int size = num_samples_ / parts;
  covers_output_ = true;
  for (int first = 0; first < num_samples_; first += size) {
    const KeptCells& out = output_pattern_.of_sample(first, num_samples_);
    const KeptCells& in = input_pattern_.of_sample(first, num_samples_);
    if (tiled_) {
      AddTiles(first, size, out, in);
    } else {
      blocks_.push_back(MakeBlock(first, size, UnitsOf(out, num_output_),
          UnitsOf(in, num_input_)));
      covers_output_ &= compact_output_ || out.kept == out.period;
    }
  }
  blocks_a_group_ = blocks_.size() / parts;
}

template <typename Dtype>
vector<typename KeptProduct<Dtype>::GroupTiles> KeptProduct<Dtype>::Groups(
    int outer) const {
  const int num_groups = output_pattern_.groups.size();
  const int size = num_samples_ / num_groups;
  vector<GroupTiles> groups(num_groups);
  for (int g = 0; g < num_groups; ++g) {
    const TileGrid grid = { output_pattern_.groups[g], tile_size_,
        num_output_, num_input_ };
    groups[g].grid = grid;
    for (int t = 0; t < outer; ++t) {
      const int first = FirstSample(t, g * size, size);
      for (int n = first; n < first + size; ++n) {
        groups[g].samples.push_back(t * num_samples_ + n);
      }
    }
  }
  return groups;
}

template <typename Dtype>
void KeptProduct<Dtype>::ForwardTiles(int outer, const Dtype* x,
    const Dtype* bias, bool accumulate, Dtype* y) {
  CHECK(!(accumulate && bias)) << "A product that is added to takes no bias";
  if (bias) {
    const PartView<Dtype> whole = { y, num_output_ };
    IndexList outputs, stored;
    ListUnits(UnitsOf(AllCells(), num_output_), false, &outputs, &stored);
    CpuParts<Dtype>::FillRows(bias, bias_scale_, outputs,
        outer * num_samples_, whole);
  }
  const vector<GroupTiles> groups = Groups(outer);
  for (size_t g = 0; g < groups.size(); ++g) {
    // While it learns, a gradient follows.
    tile_product_.Forward(groups[g].grid, scale_, weight_, groups[g].samples,
        x, accumulate || bias, y, lazy_, lazy_ && groups.size() == 1);
  }
}

template <typename Dtype>
void KeptProduct<Dtype>::BackwardTiles(int outer, const Dtype* x,
    const Dtype* dy, Dtype* dx, Dtype* dweight, Dtype* dbias) {
  if (dbias) {
    const PartView<const Dtype> whole = { dy, num_output_ };
    IndexList outputs, stored;
    ListUnits(UnitsOf(AllCells(), num_output_), false, &outputs, &stored);
    CpuParts<Dtype>::AddColumnSums(whole, outer * num_samples_, bias_scale_,
        outputs, dbias);
  }
  const vector<GroupTiles> groups = Groups(outer);
  for (size_t g = 0; g < groups.size(); ++g) {
    const TileGrid& grid = groups[g].grid;
    if (dweight) {
      const bool overwrite = lazy_
          && lazy_->ClaimGradient(grid.kept_tiles()) == Claim::OVERWRITE;
      tile_product_.WeightGradient(grid, scale_, groups[g].samples, x, dy,
          !overwrite, dweight);
    }
    if (dx) {
      tile_product_.InputGradient(grid, scale_, weight_, groups[g].samples,
          dy, dx);
    }
  }
}

template <typename Dtype>
void KeptProduct<Dtype>::SetGroups(int outer) {
  if (outer == grouped_outer_) { return; }
  grouped_outer_ = outer;
  vector<typename GroupedProduct<Dtype>::Group> groups(blocks_.size());
  for (size_t g = 0; g < groups.size(); ++g) {
    groups[g].samples = Rows(outer, blocks_[g]);
    groups[g].outputs = blocks_[g].output_weight;
    groups[g].stored_outputs = blocks_[g].output_stored;
    groups[g].inputs = blocks_[g].input_weight;
    groups[g].stored_inputs = blocks_[g].input_stored;
  }
  const typename GroupedProduct<Dtype>::Shape shape = { num_output_,
      num_input_, stored_output_, stored_input_ };
  grouped_product_.SetGroups(shape, groups);
}

template <typename Dtype>
void KeptProduct<Dtype>::AddTiles(int first_sample, int num_samples,
    const KeptCells& output, const KeptCells& input) {
  // All tile rows with the same r mod n keep the same tile columns, and all
  // tile columns with the same c mod n the same tile rows.
  for (int r = 0; r < output.period; ++r) {
    KeptCells every_nth = {};
    every_nth.period = output.period;
    every_nth.kept = 1;
    every_nth.residues[0] = r;
    const KeptUnits rows = { AllCells(), every_nth, tile_size_, 0,
        num_output_ };
    const KeptUnits their_columns = { input, output, tile_size_, r,
        num_input_ };
    const KeptUnits columns = { input, every_nth, tile_size_, 0, num_input_ };
    const KeptUnits their_rows = { AllCells(), output, tile_size_, r,
        num_output_ };
    blocks_.push_back(MakeBlock(first_sample, num_samples, rows,
        their_columns));
    tiled_gradient_blocks_.push_back(MakeBlock(first_sample, num_samples,
        their_rows, columns));
  }
}

template <typename Dtype>
typename KeptProduct<Dtype>::Block KeptProduct<Dtype>::MakeBlock(
    int first_sample, int num_samples, const KeptUnits& output,
    const KeptUnits& input) const {
  Block block;
  block.first_sample = first_sample;
  block.num_samples = num_samples;
  block.output = output;
  block.input = input;
  block.weight = NULL;
  block.weight_stride = 0;
  ListUnits(output, compact_output_, &block.output_weight,
      &block.output_stored);
  ListUnits(input, compact_input_, &block.input_weight, &block.input_stored);
  return block;
}

template <typename Dtype>
int KeptProduct<Dtype>::FirstSample(int t, int first_sample,
    int num_samples) const {
  const GroupRows rows = { num_samples, num_samples_, rotates_ };
  return rows.first(t, first_sample / num_samples);
}

template <typename Dtype>
IndexList KeptProduct<Dtype>::Rows(int outer, const Block& block) const {
  IndexList rows;
  for (int t = 0; t < outer; ++t) {
    const int first = t * num_samples_
        + FirstSample(t, block.first_sample, block.num_samples);
    for (int i = 0; i < block.num_samples; ++i) {
      rows.index.push_back(first + i);
    }
  }
  rows.run = block.num_samples;
  rows.run_stride = num_samples_;
  rows.FindStride();
  return rows;
}

template <typename Dtype>
void KeptProduct<Dtype>::PackWeights_cpu(const Dtype* weight) {
  for_steps_ = false;
  if (in_tiles() || in_groups()) {
    weight_ = weight;
    return;
  }
  PackWeights<CpuParts<Dtype> >(weight);
}

template <typename Dtype>
void KeptProduct<Dtype>::PackForSteps_cpu(const Dtype* weight, bool backward) {
  for (size_t b = 0; lazy_ && !backward && b < blocks_.size(); ++b) {
    lazy_->CatchUp(blocks_[b].output_weight.index);
  }
  for_steps_ = true;
  if (blocks_.empty()) { MakeBlocks(); }
  scratch_.resize(CpuParts<Dtype>::MaxThreads());
  vector<Block>& blocks = backward ? gradient_blocks() : blocks_;
  size_t size = 0;
  for (size_t b = 0; b < blocks.size(); ++b) {
    const int outputs = blocks[b].output_weight.size();
    const int inputs = blocks[b].input_weight.size();
    size += backward ? packed_size<Dtype>(inputs, outputs)
        : packed_size<Dtype>(outputs, inputs);
  }
  Dtype* packed = CpuParts<Dtype>::Grow(&packed_, size);
  for (size_t b = 0; b < blocks.size(); ++b) {
    const vector<int>& outputs = blocks[b].output_weight.index;
    const vector<int>& inputs = blocks[b].input_weight.index;
    blocks[b].weight = packed;
    if (backward) {
      pack_matrix(weight, num_input_, false, inputs, outputs, packed);
      packed += packed_size<Dtype>(inputs.size(), outputs.size());
    } else {
      pack_matrix(weight, num_input_, true, outputs, inputs, packed);
      packed += packed_size<Dtype>(outputs.size(), inputs.size());
    }
  }
}

template <typename Dtype>
void KeptProduct<Dtype>::Forward_cpu(int outer, const Dtype* x,
    const Dtype* bias, bool accumulate, Dtype* y) {
  if (in_tiles()) { return ForwardTiles(outer, x, bias, accumulate, y); }
  if (in_groups()) {
    SetGroups(outer);
    if (!covers_output_ && !accumulate) {
      CpuParts<Dtype>::SetZero(
          static_cast<size_t>(outer) * num_samples_ * stored_output_, y);
    }
    grouped_product_.Forward(scale_, weight_, x, bias, bias_scale_,
        accumulate, y, lazy_);
    return;
  }
  Forward<CpuParts<Dtype> >(outer, x, bias, accumulate, y);
}

template <typename Dtype>
void KeptProduct<Dtype>::Backward_cpu(int outer, const Dtype* x,
    const Dtype* dy, Dtype* dx, Dtype* dweight, Dtype* dbias) {
  if (in_tiles()) { return BackwardTiles(outer, x, dy, dx, dweight, dbias); }
  if (in_groups()) {
    SetGroups(outer);
    grouped_product_.Backward(scale_, weight_, x, dy, bias_scale_, dx,
        dweight, dbias, lazy_);
    return;
  }
  Backward<CpuParts<Dtype> >(outer, x, dy, dx, dweight, dbias);
}

INSTANTIATE_CLASS(KeptProduct);

}  // namespace caffe
