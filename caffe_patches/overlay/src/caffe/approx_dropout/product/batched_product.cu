#include <algorithm>
#include <vector>

#include "caffe/approx_dropout/math/wide_access.hpp"
#include "caffe/approx_dropout/pattern/cell_grid.hpp"
#include "caffe/approx_dropout/product/batched_product.cuh"
#include "caffe/approx_dropout/product/batched_product.hpp"
#include "caffe/approx_dropout/product/gather_scatter.cuh"
#include "caffe/approx_dropout/product/gather_scatter.hpp"
#include "caffe/util/math_functions.hpp"

namespace caffe {

namespace {

// Sizes that a part is filled up to a multiple of.
const int kPadding = 4;

// The blocks of a product first: those that run side by side then read the
// same rows.
dim3 Grid(int num_blocks, int num_rows, int num_columns) {
  const dim3 part = Blocks(num_rows, num_columns);
  return dim3(num_blocks, part.x, part.y);
}

int RoundUp(int size) { return (size + kPadding - 1) / kPadding * kPadding; }

template <typename Dtype>
void Gather(int num_blocks, const PartView<const Dtype>& whole,
    const BlockList& rows, const BlockList& columns, bool runs, Dtype* part) {
  const int width = Aligned16<Dtype>::kWidth;
  if (runs && IsAligned16(whole.data, whole.stride)
      && IsAligned16(part, columns.size)) {
    // NOLINT_NEXT_LINE(whitespace/operators)
    GatherBlocksKernel<Dtype, width><<<Grid(num_blocks, rows.size,
        columns.size / width), Threads()>>>(whole, rows, columns, part);
  } else {
    // NOLINT_NEXT_LINE(whitespace/operators)
    GatherBlocksKernel<Dtype, 1><<<Grid(num_blocks, rows.size, columns.size),
        Threads()>>>(whole, rows, columns, part);
  }
  CUDA_POST_KERNEL_CHECK;
}

template <typename Dtype>
void Scatter(int num_blocks, const Dtype* part, const BlockList& rows,
    const BlockList& columns, bool runs, const BlockFinish<Dtype>& finish,
    bool accumulate, const PartView<Dtype>& whole) {
  const int width = Aligned16<Dtype>::kWidth;
  if (runs && IsAligned16(whole.data, whole.stride)
      && IsAligned16(part, columns.size)) {
    // NOLINT_NEXT_LINE(whitespace/operators)
    ScatterBlocksKernel<Dtype, width><<<Grid(num_blocks, rows.size,
        columns.size / width), Threads()>>>(part, rows, columns, finish,
        accumulate, whole);
  } else {
    // NOLINT_NEXT_LINE(whitespace/operators)
    ScatterBlocksKernel<Dtype, 1><<<Grid(num_blocks, rows.size, columns.size),
        Threads()>>>(part, rows, columns, finish, accumulate, whole);
  }
  CUDA_POST_KERNEL_CHECK;
}

cublasOperation_t Operation(CBLAS_TRANSPOSE trans) {
  return trans == CblasNoTrans ? CUBLAS_OP_N : CUBLAS_OP_T;
}

// For each block C = alpha op(A) op(B) + beta C, C being (M x N). cuBLAS is
// column major: C' = op(B)' op(A)'.
void Gemm(CBLAS_TRANSPOSE trans_a, CBLAS_TRANSPOSE trans_b, int M, int N,
    int K, float alpha, const BlockParts<const float>& A,
    const BlockParts<const float>& B, float beta, const BlockParts<float>& C,
    int num_blocks) {
  CUBLAS_CHECK(cublasSgemmStridedBatched(Caffe::cublas_handle(),
      Operation(trans_b), Operation(trans_a), N, M, K, &alpha, B.data,
      B.stride, B.distance, A.data, A.stride, A.distance, &beta, C.data,
      C.stride, C.distance, num_blocks));
}

void Gemm(CBLAS_TRANSPOSE trans_a, CBLAS_TRANSPOSE trans_b, int M, int N,
    int K, double alpha, const BlockParts<const double>& A,
    const BlockParts<const double>& B, double beta,
    const BlockParts<double>& C, int num_blocks) {
  CUBLAS_CHECK(cublasDgemmStridedBatched(Caffe::cublas_handle(),
      Operation(trans_b), Operation(trans_a), N, M, K, &alpha, B.data,
      B.stride, B.distance, A.data, A.stride, A.distance, &beta, C.data,
      C.stride, C.distance, num_blocks));
}

// Dense parts, (rows x columns) each.
template <typename Dtype>
BlockParts<Dtype> DenseParts(Dtype* data, int rows, int columns) {
  const BlockParts<Dtype> parts = { data, columns,
      static_cast<long long>(rows) * columns };  // NOLINT(runtime/int)
  return parts;
}

// How much memory the lists of one side of all blocks take.
size_t ListsSize(int num_blocks, const BlockSide& side, bool with_index) {
  const size_t blocks = num_blocks;
  return blocks * (2 * side.size + (with_index ? side.units : 0));
}

// Says where they are, from `memory` on. Returns their end.
int* PlaceLists(int num_blocks, bool with_index, int* memory,
    BlockSide* side) {
  const size_t size = static_cast<size_t>(num_blocks) * side->size;
  side->weight = memory;
  side->stored = memory + size;
  side->compact_index = with_index ? memory + 2 * size : NULL;
  return memory + ListsSize(num_blocks, *side, with_index);
}

}  // namespace

template <typename Dtype>
BlockSide BatchedProduct<Dtype>::MakeSide(bool output, bool gradient) const {
  BlockSide side = {};
  side.tiles = !spec_->tiled() ? BlockSide::NONE
      : output == gradient ? BlockSide::KEPT : BlockSide::EVERY_NTH;
  side.output = output;
  side.compact = output ? spec_->compact_output : spec_->compact_input;
  side.units = output ? spec_->num_output : spec_->num_input;
  side.width = output ? 1 : spec_->input_width;
  side.tile_size = std::max(1, spec_->tile_size);
  // Tiles of the side that EVERY_NTH cuts; there may be fewer than the period.
  const int cut = gradient ? spec_->num_input : spec_->num_output;
  side.blocks_a_group = !spec_->tiled() ? 1 : std::min(spec_->output[0].period,
      NumCells(cut, side.tile_size));
  side.size = output ? spec_->stored_output : spec_->stored_input;
  if (whole(side)) { return side; }
  side.size = RoundUp(std::max(1,
      LongestList(side, spec_->output, spec_->input)));
  return side;
}

template <typename Dtype>
typename BatchedProduct<Dtype>::Blocks BatchedProduct<Dtype>::MakeBlocks(
    bool gradient) const {
  Blocks blocks;
  blocks.output = MakeSide(true, gradient);
  blocks.input = MakeSide(false, gradient);
  blocks.count = spec_->num_groups() * blocks.output.blocks_a_group;
  return blocks;
}

template <typename Dtype>
bool BatchedProduct<Dtype>::whole(const BlockSide& side) const {
  const KeptCells& cells =
      side.output ? spec_->output[0] : spec_->input[0];
  return side.tiles == BlockSide::NONE
      && (side.compact || cells.keeps_all());
}

// Tiles are runs, and so is what has no gaps.
template <typename Dtype>
bool BatchedProduct<Dtype>::aligned16(const BlockSide& side,
    bool stored) const {
  const int width = Aligned16<Dtype>::kWidth;
  if (stored && whole(side)) { return side.size % width == 0; }
  const bool units = side.output ? spec_->tiled()
      : spec_->input[0].keeps_all();
  return units && side.units % width == 0
      && (!spec_->tiled() || side.tile_size % width == 0);
}

template <typename Dtype>
void BatchedProduct<Dtype>::Pack(const ProductSpec<Dtype>& spec,
    const Dtype* weight) {
  spec_ = &spec;
  weight_ = weight;
  gathered_ = NULL;
  if (lazy()) { lazy()->CatchUp(UnionOf(spec.output)); }
  blocks_ = MakeBlocks(false);
  tiled_gradient_ = spec.tiled() ? MakeBlocks(true) : Blocks();
  PlaceLists();
  ListUnits();
}

template <typename Dtype>
void BatchedProduct<Dtype>::PlaceLists() {
  Blocks* y = &blocks_;
  Blocks* dx = &tiled_gradient_;
  const size_t size = ListsSize(y->count, y->output, true)
      + ListsSize(y->count, y->input, true)
      + ListsSize(dx->count, dx->output, false)
      + ListsSize(dx->count, dx->input, false);
  if (!lists_) { lists_.reset(new Blob<int>()); }
  if (size > lists_->count()) { lists_->Reshape(vector<int>(1, size)); }
  int* next = lists_->mutable_gpu_data();
  next = caffe::PlaceLists(y->count, true, next, &y->output);
  next = caffe::PlaceLists(y->count, true, next, &y->input);
  next = caffe::PlaceLists(dx->count, false, next, &dx->output);
  caffe::PlaceLists(dx->count, false, next, &dx->input);
}

template <typename Dtype>
void BatchedProduct<Dtype>::ListUnits() {
  const BlockSides sides = { { blocks_.output, blocks_.input,
      tiled_gradient_.output, tiled_gradient_.input } };
  const int blocks_a_group = std::max(blocks_.output.blocks_a_group,
      tiled_gradient_.output.blocks_a_group);
  // Sizes are below this too.
  const int units = RoundUp(std::max(spec_->num_output, spec_->num_input));
  const int at_once = std::min(MaxGroups(spec_->output[0]),
      MaxGroups(spec_->input[0]));
  for (int first = 0; first < spec_->num_groups(); first += at_once) {
    const KeptGroups output = GroupsFrom(spec_->output, first, at_once);
    const KeptGroups input = GroupsFrom(spec_->input, first, at_once);
    const dim3 grid(output.count * blocks_a_group,
        CAFFE_GET_BLOCKS(units), spec_->tiled() ? 4 : 2);
    // NOLINT_NEXT_LINE(whitespace/operators)
    ListUnitsKernel<<<grid, CAFFE_CUDA_NUM_THREADS>>>(output, input, sides);
    CUDA_POST_KERNEL_CHECK;
  }
}

template <typename Dtype>
BlockList BatchedProduct<Dtype>::Samples(int outer,
    const BlockSide& side) const {
  const int size = spec_->num_samples / spec_->num_groups();
  const BlockList samples = { NULL, outer * size,
      { size, spec_->num_samples, spec_->rotates }, side.blocks_a_group };
  return samples;
}

template <typename Dtype>
OutputBlocks BatchedProduct<Dtype>::OfGroups() const {
  const OutputBlocks blocks = { blocks_.output, blocks_.input,
      spec_->num_groups(), spec_->tiled() ? spec_->output[0].period : 1 };
  return blocks;
}

template <typename Dtype>
BlockList BatchedProduct<Dtype>::List(const BlockSide& side,
    const int* index) {
  const BlockList list = { index, side.size, { 1, 1, false },
      side.blocks_a_group };
  return list;
}

template <typename Dtype>
typename BatchedProduct<Dtype>::Parts BatchedProduct<Dtype>::ResultParts(
    int outer, const Blocks& blocks, const BlockSide& side, bool in_place,
    Dtype* storage, shared_ptr<Blob<Dtype> >* buffer) {
  const int rows = Samples(outer, side).size;
  if (in_place) { return DenseParts<Dtype>(storage, rows, side.size); }
  Dtype* data = GpuParts<Dtype>::Grow(buffer,
      static_cast<size_t>(blocks.count) * rows * side.size);
  return DenseParts<Dtype>(data, rows, side.size);
}

template <typename Dtype>
typename BatchedProduct<Dtype>::ConstParts BatchedProduct<Dtype>::PartsOf(
    int outer, const Blocks& blocks, const BlockSide& side,
    const Dtype* storage, shared_ptr<Blob<Dtype> >* buffer) {
  const BlockList rows = Samples(outer, side);
  if (outer == 1 && whole(side)) {
    return DenseParts<const Dtype>(storage, rows.size, side.size);
  }
  const Parts parts = ResultParts(outer, blocks, side, false, NULL, buffer);
  const int stride = side.output ? spec_->stored_output : spec_->stored_input;
  Gather(blocks.count, View(storage, stride), rows, List(side, side.stored),
      aligned16(side, true), parts.data);
  return DenseParts<const Dtype>(parts.data, rows.size, side.size);
}

template <typename Dtype>
const Dtype* BatchedProduct<Dtype>::Weight(const Blocks& blocks) {
  if (gathered_ != &blocks) {
    const BlockSide& output = blocks.output;
    const BlockSide& input = blocks.input;
    Dtype* parts = GpuParts<Dtype>::Grow(&packed_,
        static_cast<size_t>(blocks.count) * output.size * input.size);
    Gather(blocks.count, View(weight_, spec_->num_input),
        List(output, output.weight), List(input, input.weight),
        aligned16(input, false), parts);
    gathered_ = &blocks;
  }
  return packed_->gpu_data();
}

template <typename Dtype>
void BatchedProduct<Dtype>::Multiply(int outer, const Dtype* x,
    const Dtype* bias, bool rectify, bool accumulate, Dtype* y) {
  const BlockSide& output = blocks_.output;
  const BlockSide& input = blocks_.input;
  const bool in_place = outer == 1 && whole(output) && !bias && !rectify;
  const ConstParts x_parts = PartsOf(outer, blocks_, input, x, &x_);
  const Parts y_parts = ResultParts(outer, blocks_, output, in_place, y, &y_);
  const BlockList rows = Samples(outer, output);
  Gemm(CblasNoTrans, CblasTrans, rows.size, output.size, input.size,
      spec_->scale, x_parts, DenseParts<const Dtype>(Weight(blocks_),
      output.size, input.size), in_place && accumulate ? 1 : 0, y_parts,
      blocks_.count);
  if (in_place) { return; }
  const BlockFinish<Dtype> finish = { bias, spec_->bias_scale,
      List(output, output.weight), rectify };
  Scatter(blocks_.count, y_parts.data, rows, List(output, output.stored),
      aligned16(output, true), finish, accumulate,
      View(y, spec_->stored_output));
}

template <typename Dtype>
void BatchedProduct<Dtype>::Backward(int outer, const Dtype* x,
    const Dtype* dy, Dtype* dx, Dtype* dweight, Dtype* dbias) {
  ConstParts dy_parts;
  if (dweight || dbias || !spec_->tiled()) {
    dy_parts = PartsOf(outer, blocks_, blocks_.output, dy, &y_);
  }
  if (dbias) { AddBiasGradient(outer, dy_parts, dbias); }
  if (dweight) { AddWeightGradient(outer, x, dy_parts, dweight); }
  if (!dx) { return; }
  if (spec_->tiled()) {
    dy_parts = PartsOf(outer, tiled_gradient_, tiled_gradient_.output, dy,
        &y_);
  }
  InputGradient(outer, dy_parts, dx);
}

template <typename Dtype>
void BatchedProduct<Dtype>::AddBiasGradient(int outer,
    const ConstParts& dy, Dtype* dbias) {
  const int units = spec_->num_output;
  const int grid = (units + kSumColumnsPerBlock - 1) / kSumColumnsPerBlock;
  // NOLINT_NEXT_LINE(whitespace/operators)
  AddOutputSumsKernel<Dtype><<<grid,
      dim3(kSumColumnsPerBlock, kSumRowsPerBlock)>>>(dy, OfGroups(),
      Samples(outer, blocks_.output).size, spec_->bias_scale, dbias);
  CUDA_POST_KERNEL_CHECK;
}

template <typename Dtype>
void BatchedProduct<Dtype>::AddWeightGradient(int outer, const Dtype* x,
    const ConstParts& dy, Dtype* dweight) {
  const bool overwrites = lazy() && lazy()->ClaimGradient(
      UnionOf(spec_->output)) == Claim::OVERWRITE;
  const int outputs = blocks_.output.size;
  const int inputs = blocks_.input.size;
  Dtype* part = GpuParts<Dtype>::Grow(&dweight_,
      static_cast<size_t>(blocks_.count) * outputs * inputs);
  Gemm(CblasTrans, CblasNoTrans, outputs, inputs,
      Samples(outer, blocks_.output).size, spec_->scale, dy,
      PartsOf(outer, blocks_, blocks_.input, x, &x_), 0,
      DenseParts<Dtype>(part, outputs, inputs), blocks_.count);
  const int width = Aligned16<Dtype>::kWidth;
  if (aligned16(blocks_.input, false)
      && IsAligned16(part, inputs)
      && IsAligned16(dweight, spec_->num_input)) {
    // NOLINT_NEXT_LINE(whitespace/operators)
    AddPartsKernel<Dtype, width><<<Grid(1, spec_->num_output,
        spec_->num_input / width), Threads()>>>(part, OfGroups(), overwrites,
        dweight);
  } else {
    // NOLINT_NEXT_LINE(whitespace/operators)
    AddPartsKernel<Dtype, 1><<<Grid(1, spec_->num_output, spec_->num_input),
        Threads()>>>(part, OfGroups(), overwrites, dweight);
  }
  CUDA_POST_KERNEL_CHECK;
}

template <typename Dtype>
void BatchedProduct<Dtype>::InputGradient(int outer, const ConstParts& dy,
    Dtype* dx) {
  const Blocks& blocks = gradient_blocks();
  const BlockSide& input = blocks.input;
  const int outputs = blocks.output.size;
  const bool in_place = outer == 1 && whole(input);
  const Parts parts = ResultParts(outer, blocks, input, in_place, dx, &x_);
  const BlockList rows = Samples(outer, input);
  Gemm(CblasNoTrans, CblasNoTrans, rows.size, input.size, outputs,
      spec_->scale, dy, DenseParts<const Dtype>(Weight(blocks), outputs,
      input.size), 0, parts, blocks.count);
  if (in_place) { return; }
  const BlockFinish<Dtype> none = { NULL, 0, rows, false };
  Scatter(blocks.count, parts.data, rows, List(input, input.stored),
      aligned16(input, true), none, false,
      View(dx, spec_->stored_input));
}

INSTANTIATE_CLASS(BatchedProduct);

}  // namespace caffe
