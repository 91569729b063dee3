#include "caffe/approx_dropout/product/gathered_product.hpp"

#include <vector>

namespace caffe {

template <typename Dtype>
void GatheredProduct<Dtype>::MakeBlocks() {
  blocks_.clear();
  gradient_blocks_.clear();
  for (int g = 0; g < spec_->num_groups(); ++g) {
    if (spec_->tiled()) {
      AddTiles(g);
    } else {
      blocks_.push_back(
          MakeBlock(g, UnitsOf(spec_->output[g], spec_->num_output),
              UnitsOf(spec_->input[g], spec_->num_input, spec_->input_width)));
    }
  }
  blocks_per_group_ = blocks_.size() / spec_->num_groups();
}

// All tile rows with the same r mod n keep the same tile columns, and all tile
// columns with the same c mod n the same tile rows.
template <typename Dtype>
void GatheredProduct<Dtype>::AddTiles(int group) {
  const KeptCells& kept = spec_->output[group];
  const KeptCells& input = spec_->input[group];
  for (int r = 0; r < kept.period; ++r) {
    const KeptCells every_nth = EveryNth(kept.period, r);
    const int size = spec_->tile_size;
    const int width = spec_->input_width;
    const KeptUnits rows = {
        AllCells(), every_nth, size, 0, spec_->num_output, 1};
    const KeptUnits their_columns = {
        input, kept, size, r, spec_->num_input, width};
    const KeptUnits columns = {
        input, every_nth, size, 0, spec_->num_input, width};
    const KeptUnits their_rows = {
        AllCells(), kept, size, r, spec_->num_output, 1};
    blocks_.push_back(MakeBlock(group, rows, their_columns));
    gradient_blocks_.push_back(MakeBlock(group, their_rows, columns));
  }
}

template <typename Dtype>
typename GatheredProduct<Dtype>::Block GatheredProduct<Dtype>::MakeBlock(
    int group, const KeptUnits& output, const KeptUnits& input) const {
  Block block;
  block.group = group;
  block.output = ListSide(output, spec_->compact_output);
  block.input = ListSide(input, spec_->compact_input);
  block.weight = NULL;
  block.weight_stride = 0;
  return block;
}

template <typename Dtype>
IndexList GatheredProduct<Dtype>::Rows(int outer, const Block& block) const {
  const GroupRows group_rows = spec_->rows();
  IndexList rows;
  for (int i = 0; i < outer * group_rows.size; ++i) {
    rows.index.push_back(group_rows(block.group, i));
  }
  rows.FindStride();
  return rows;
}

// Not by an if clause: inside a parallel region of one thread, BLAS's own
// regions would start their threads anew each time.
template <typename Dtype>
template <typename Function>
void GatheredProduct<Dtype>::ForEachBlock(
    int first, int last, const Function& f) const {
  if (for_steps() || blocks_per_group_ == 1) {
    for (int b = first; b < last; ++b) {
      f(b);
    }
    return;
  }
#pragma omp parallel for schedule(dynamic)
  for (int b = first; b < last; ++b) {
    f(b);
  }
}

template <typename Dtype>
void GatheredProduct<Dtype>::Pack(
    const ProductSpec<Dtype>& spec, const Dtype* weight) {
  spec_ = &spec;
  weight_ = weight;
  packed_for_ = EVERYTHING;
  MakeBlocks();
  // Tiles that are updated lazily are TileProduct's.
  if (spec.tiled()) {
    return;
  }
  size_t size = 0;
  for (size_t b = 0; b < blocks_.size(); ++b) {
    if (!blocks_[b].views_weight()) {
      size += blocks_[b].weight_size();
    }
  }
  Dtype* packed = size ? Parts::Grow(&packed_, size) : NULL;
  for (size_t b = 0; b < blocks_.size(); ++b) {
    PackBlock(&blocks_[b], &packed);
  }
}

template <typename Dtype>
void GatheredProduct<Dtype>::PackForSteps(
    const ProductSpec<Dtype>& spec, const Dtype* weight, bool backward) {
  spec_ = &spec;
  weight_ = weight;
  packed_for_ = backward ? STEPS_BACKWARD : STEPS_FORWARD;
  if (!backward) {
    MakeBlocks();
    for (size_t b = 0; b < blocks_.size(); ++b) {
      if (spec.lazy) {
        spec.lazy->CatchUp(blocks_[b].output.weight.index);
      }
    }
  }
  vector<Block>& blocks = backward ? gradient_blocks() : blocks_;
  size_t size = 0;
  for (size_t b = 0; b < blocks.size(); ++b) {
    const int outputs = blocks[b].output.weight.size();
    const int inputs = blocks[b].input.weight.size();
    size += backward ? packed_size<Dtype>(inputs, outputs)
        : packed_size<Dtype>(outputs, inputs);
  }
  Dtype* packed = Parts::Grow(&packed_, size);
  for (size_t b = 0; b < blocks.size(); ++b) {
    const vector<int>& outputs = blocks[b].output.weight.index;
    const vector<int>& inputs = blocks[b].input.weight.index;
    blocks[b].weight = packed;
    if (backward) {
      pack_matrix(weight, spec.num_input, false, inputs, outputs, packed);
      packed += packed_size<Dtype>(inputs.size(), outputs.size());
    } else {
      pack_matrix(weight, spec.num_input, true, outputs, inputs, packed);
      packed += packed_size<Dtype>(outputs.size(), inputs.size());
    }
  }
}

template <typename Dtype>
void GatheredProduct<Dtype>::PackBlock(Block* block, Dtype** packed) {
  LazyParameter<Dtype>* lazy = spec_->lazy;
  const IndexList& outputs = block->output.weight;
  const IndexList& inputs = block->input.weight;
  if (block->views_weight()) {
    if (lazy) {
      lazy->CatchUp(outputs.index);
    }
    return;
  }
  block->weight = *packed;
  block->weight_stride = inputs.size();
  if (lazy) {
    lazy->CatchUp(outputs.index, inputs.index, *packed);
  } else {
    Parts::Gather(weight_, spec_->num_input, outputs, inputs, *packed);
  }
  *packed += block->weight_size();
}

template <typename Dtype>
PartView<const Dtype> GatheredProduct<Dtype>::Weight(
    const Block& block, Scratch* scratch) const {
  if (block.weight) {
    const PartView<const Dtype> view = {block.weight, block.weight_stride};
    return view;
  }
  return ViewPart<Parts>(weight_, spec_->num_input, block.output.weight,
      block.input.weight, &scratch->weight);
}

template <typename Dtype>
void GatheredProduct<Dtype>::Forward(
    int outer, const Dtype* x, const Dtype* bias, bool accumulate, Dtype* y) {
  CHECK_NE(packed_for_, STEPS_BACKWARD);
  spec_->GrowScratch(&scratch_);
  ForEachBlock(0, blocks_.size(), [&](int b) {
    ForwardBlock(
        blocks_[b], outer, x, bias, accumulate, y, &scratch_[ThreadIndex()]);
  });
}

template <typename Dtype>
void GatheredProduct<Dtype>::ForwardBlock(const Block& block, int outer,
    const Dtype* x, const Dtype* bias, bool accumulate, Dtype* y,
    Scratch* scratch) const {
  const int num_output = block.output.weight.size();
  const int num_input = block.input.weight.size();
  if (num_output == 0) {
    return;
  }
  const IndexList rows = Rows(outer, block);
  const PartView<const Dtype> x_part = ViewPart<Parts>(
      x, spec_->stored_input, rows, block.input.stored, &scratch->x);
  const bool direct = rows.stride > 0 && block.output.stored.contiguous();
  PartView<Dtype> y_part = {
      y + block.output.stored.first() +
          static_cast<size_t>(rows.first()) * spec_->stored_output,
      rows.stride * spec_->stored_output};
  if (!direct) {
    y_part.data =
        Parts::Grow(&scratch->y, static_cast<size_t>(rows.size()) * num_output);
    y_part.stride = num_output;
  }
  if (bias) {
    Parts::FillRows(
        bias, spec_->bias_scale, block.output.weight, rows.size(), y_part);
  }
  const bool add = bias || (accumulate && direct);
  const PartView<const Dtype> weight = Weight(block, scratch);
  if (for_steps()) {
    packed_gemm(rows.size(), num_output, num_input, spec_->scale, x_part.data,
        x_part.stride, weight.data, add, y_part.data, y_part.stride);
  } else {
    Parts::Gemm(CblasNoTrans, CblasTrans, rows.size(), num_output, num_input,
        spec_->scale, x_part.data, x_part.stride, weight.data, weight.stride,
        add ? 1 : 0, y_part.data, y_part.stride);
  }
  if (!direct) {
    Parts::Scatter(y_part.data, rows, block.output.stored, accumulate,
        spec_->stored_output, y);
  }
}

template <typename Dtype>
void GatheredProduct<Dtype>::Backward(int outer, const Dtype* x,
    const Dtype* dy, Dtype* dx, Dtype* dweight, Dtype* dbias) {
  CHECK(!dx || packed_for_ != STEPS_FORWARD);
  spec_->GrowScratch(&scratch_);
  const bool tiled = spec_->tiled();
  const int num_blocks = blocks_.size();
  Gradients gradients = {tiled ? NULL : dx, dweight, dbias};
  // Groups add up in the same weights, so one comes after the other.
  for (int first = 0; first < num_blocks; first += blocks_per_group_) {
    ForEachBlock(first, first + blocks_per_group_, [&](int b) {
      BackwardBlock(
          blocks_[b], outer, x, dy, gradients, &scratch_[ThreadIndex()]);
    });
  }
  if (!dx || !tiled) {
    return;
  }
  const Gradients of_inputs = {dx, NULL, NULL};
  ForEachBlock(0, gradient_blocks_.size(), [&](int b) {
    BackwardBlock(
        gradient_blocks_[b], outer, x, dy, of_inputs, &scratch_[ThreadIndex()]);
  });
}

template <typename Dtype>
void GatheredProduct<Dtype>::BackwardBlock(const Block& block, int outer,
    const Dtype* x, const Dtype* dy, const Gradients& gradients,
    Scratch* scratch) const {
  const IndexList rows = Rows(outer, block);
  const PartView<const Dtype> dy_part = ViewPart<Parts>(
      dy, spec_->stored_output, rows, block.output.stored, &scratch->y);
  const bool has_output = block.output.weight.size() > 0;
  const bool has_input = block.input.weight.size() > 0;
  if (gradients.dbias && has_output) {
    Parts::AddColumnSums(dy_part, rows.size(), spec_->bias_scale,
        block.output.weight, gradients.dbias);
  }
  if (gradients.dweight && has_output && has_input) {
    AddWeightGradient(block, rows, x, dy_part, gradients, scratch);
  }
  if (gradients.dx && has_input) {
    InputGradient(block, rows, dy_part, gradients.dx, scratch);
  }
}

template <typename Dtype>
void GatheredProduct<Dtype>::AddWeightGradient(const Block& block,
    const IndexList& rows, const Dtype* x, const PartView<const Dtype>& dy,
    const Gradients& gradients, Scratch* scratch) const {
  const IndexList& outputs = block.output.weight;
  const IndexList& inputs = block.input.weight;
  const int stride = spec_->num_input;
  const PartView<const Dtype> x_part = ViewPart<Parts>(
      x, spec_->stored_input, rows, block.input.stored, &scratch->x);
  LazyParameter<Dtype>* lazy = spec_->tiled() ? NULL : spec_->lazy;
  const bool direct = block.views_weight();
  bool overwrite = false;
  if (direct && lazy) {
    overwrite = lazy->ClaimGradient(outputs.index) == Claim::OVERWRITE;
    // Rows must be overwritten up to their end; a compact input has gaps there.
    if (overwrite && inputs.size() < stride) {
      lazy->ClearGradient(outputs.index);
      overwrite = false;
    }
  }
  Dtype* part = direct ? gradients.dweight + inputs.first() +
                             static_cast<size_t>(outputs.first()) * stride
                       : Parts::Grow(&scratch->weight, block.weight_size());
  Parts::Gemm(CblasTrans, CblasNoTrans, outputs.size(), inputs.size(),
      rows.size(), spec_->scale, dy.data, dy.stride, x_part.data, x_part.stride,
      direct && !overwrite ? 1 : 0, part,
      direct ? outputs.stride * stride : inputs.size());
  if (direct) {
    return;
  }
  if (lazy) {
    lazy->AddGradient(outputs.index, inputs.index, part);
  } else {
    Parts::Scatter(part, outputs, inputs, true, stride, gradients.dweight);
  }
}

template <typename Dtype>
void GatheredProduct<Dtype>::InputGradient(const Block& block,
    const IndexList& rows, const PartView<const Dtype>& dy, Dtype* dx,
    Scratch* scratch) const {
  const int num_output = block.output.weight.size();
  const int num_input = block.input.weight.size();
  const int stride = spec_->stored_input;
  const bool direct = rows.stride > 0 && block.input.stored.contiguous();
  Dtype* part = direct ? dx + block.input.stored.first() +
                             static_cast<size_t>(rows.first()) * stride
                       : Parts::Grow(&scratch->x,
                             static_cast<size_t>(rows.size()) * num_input);
  const int part_stride = direct ? rows.stride * stride : num_input;
  const PartView<const Dtype> weight = Weight(block, scratch);
  if (for_steps()) {
    packed_gemm(rows.size(), num_input, num_output, spec_->scale, dy.data,
        dy.stride, weight.data, false, part, part_stride);
  } else {
    Parts::Gemm(CblasNoTrans, CblasNoTrans, rows.size(), num_input, num_output,
        spec_->scale, dy.data, dy.stride, weight.data, weight.stride, 0, part,
        part_stride);
  }
  if (!direct) {
    Parts::Scatter(part, rows, block.input.stored, false, stride, dx);
  }
}

INSTANTIATE_CLASS(GatheredProduct);

}  // namespace caffe
