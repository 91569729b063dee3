#include <algorithm>
#include <vector>

#include "caffe/approx_dropout/math/wide_access.hpp"
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
void Gather(int num_blocks, const Dtype* whole, int stride,
    const BlockList& rows, const BlockList& columns, bool runs, Dtype* part) {
  const int width = Aligned16<Dtype>::kWidth;
  if (runs && IsAligned16(whole, stride) && IsAligned16(part, columns.size)) {
    // NOLINT_NEXT_LINE(whitespace/operators)
    GatherBlocksKernel<Dtype, width><<<Grid(num_blocks, rows.size,
        columns.size / width), Threads()>>>(whole, stride, rows, columns, part);
  } else {
    // NOLINT_NEXT_LINE(whitespace/operators)
    GatherBlocksKernel<Dtype, 1><<<Grid(num_blocks, rows.size, columns.size),
        Threads()>>>(whole, stride, rows, columns, part);
  }
  CUDA_POST_KERNEL_CHECK;
}

template <typename Dtype>
void Scatter(int num_blocks, const Dtype* part, const BlockList& rows,
    const BlockList& columns, bool runs, const BlockFinish<Dtype>& finish,
    bool accumulate, int stride, Dtype* whole) {
  const int width = Aligned16<Dtype>::kWidth;
  if (runs && IsAligned16(whole, stride) && IsAligned16(part, columns.size)) {
    // NOLINT_NEXT_LINE(whitespace/operators)
    ScatterBlocksKernel<Dtype, width><<<Grid(num_blocks, rows.size,
        columns.size / width), Threads()>>>(part, rows, columns, finish,
        accumulate, stride, whole);
  } else {
    // NOLINT_NEXT_LINE(whitespace/operators)
    ScatterBlocksKernel<Dtype, 1><<<Grid(num_blocks, rows.size, columns.size),
        Threads()>>>(part, rows, columns, finish, accumulate, stride, whole);
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

// A place in memory that grows as lists are placed; NULL at first, to find out
// how much there must be.
struct Memory {
  int* data;
  size_t size;

  int* Take(size_t count) {
    size += count;
    return data ? data + size - count : NULL;
  }
};

void PlaceSide(int num_blocks, bool with_index, Memory* memory,
    BlockSide* side) {
  const size_t blocks = num_blocks;
  side->weight = memory->Take(blocks * side->size);
  side->stored = memory->Take(blocks * side->size);
  side->compact_index = with_index ? memory->Take(blocks * side->units) : NULL;
}

}  // namespace

template <typename Dtype>
BlockSide BatchedProduct<Dtype>::MakeSide(bool output, bool gradient) const {
  BlockSide side = {};
  side.tiles = !tiled() ? BlockSide::NONE
      : output == gradient ? BlockSide::KEPT : BlockSide::EVERY_NTH;
  side.output = output;
  side.compact = output ? shape_.compact_output : shape_.compact_input;
  side.units = output ? shape_.num_output : shape_.num_input;
  side.tile_size = std::max(1, shape_.tile_size);
  // Tiles of the side that EVERY_NTH cuts; there may be fewer than the period.
  const int cut = gradient ? shape_.num_input : shape_.num_output;
  side.blocks_a_group = !tiled() ? 1 : std::min(output_[0].period,
      (cut + side.tile_size - 1) / side.tile_size);
  side.size = output ? shape_.stored_output : shape_.stored_input;
  if (whole(side)) { return side; }
  side.size = RoundUp(std::max(1, LongestList(side, output_, input_)));
  return side;
}

template <typename Dtype>
typename BatchedProduct<Dtype>::Blocks BatchedProduct<Dtype>::MakeBlocks(
    bool gradient) const {
  Blocks blocks;
  blocks.output = MakeSide(true, gradient);
  blocks.input = MakeSide(false, gradient);
  blocks.count = num_groups() * blocks.output.blocks_a_group;
  return blocks;
}

template <typename Dtype>
bool BatchedProduct<Dtype>::whole(const BlockSide& side) const {
  const KeptCells& cells = side.output ? output_[0] : input_[0];
  return side.tiles == BlockSide::NONE
      && (side.compact || cells.kept == cells.period);
}

// Tiles are runs, and so is what has no gaps.
template <typename Dtype>
bool BatchedProduct<Dtype>::aligned16(const BlockSide& side,
    bool stored) const {
  const int width = Aligned16<Dtype>::kWidth;
  if (stored && whole(side)) { return side.size % width == 0; }
  const bool units = side.output ? tiled()
      : input_[0].kept == input_[0].period;
  return units && side.units % width == 0
      && (!tiled() || side.tile_size % width == 0);
}

template <typename Dtype>
void BatchedProduct<Dtype>::SetGroups(const Shape& shape,
    const vector<KeptCells>& output, const vector<KeptCells>& input) {
  shape_ = shape;
  output_ = output;
  input_ = input;
  gathered_ = NULL;
  blocks_ = MakeBlocks(false);
  tiled_gradient_ = tiled() ? MakeBlocks(true) : Blocks();
  PlaceLists();
  ListUnits();
}

template <typename Dtype>
void BatchedProduct<Dtype>::PlaceLists() {
  if (!lists_) { lists_.reset(new Blob<int>()); }
  Memory memory = { NULL, 0 };
  for (int pass = 0; pass < 2; ++pass) {
    PlaceSide(blocks_.count, true, &memory, &blocks_.output);
    PlaceSide(blocks_.count, true, &memory, &blocks_.input);
    PlaceSide(tiled_gradient_.count, false, &memory, &tiled_gradient_.output);
    PlaceSide(tiled_gradient_.count, false, &memory, &tiled_gradient_.input);
    if (memory.size > lists_->count()) {
      lists_->Reshape(vector<int>(1, memory.size));
    }
    memory.data = lists_->mutable_gpu_data();
    memory.size = 0;
  }
}

template <typename Dtype>
void BatchedProduct<Dtype>::ListUnits() {
  const BlockSides sides = { { blocks_.output, blocks_.input,
      tiled_gradient_.output, tiled_gradient_.input } };
  const int blocks_a_group = std::max(blocks_.output.blocks_a_group,
      tiled_gradient_.output.blocks_a_group);
  // Sizes are below this too.
  const int units = RoundUp(std::max(shape_.num_output, shape_.num_input));
  const int at_once = std::min(MaxGroups(output_[0]), MaxGroups(input_[0]));
  for (int first = 0; first < num_groups(); first += at_once) {
    const KeptGroups output = GroupsFrom(output_, first, at_once);
    const KeptGroups input = GroupsFrom(input_, first, at_once);
    const dim3 grid(output.count * blocks_a_group,
        CAFFE_GET_BLOCKS(units), tiled() ? 4 : 2);
    // NOLINT_NEXT_LINE(whitespace/operators)
    ListUnitsKernel<<<grid, CAFFE_CUDA_NUM_THREADS>>>(output, input, sides);
    CUDA_POST_KERNEL_CHECK;
  }
}

template <typename Dtype>
void BatchedProduct<Dtype>::SetWeight(const Dtype* weight) {
  weight_ = weight;
  gathered_ = NULL;
}

template <typename Dtype>
BlockList BatchedProduct<Dtype>::Samples(int outer,
    const BlockSide& side) const {
  const int size = shape_.num_samples / num_groups();
  const BlockList samples = { NULL, outer * size,
      { size, shape_.num_samples, shape_.rotates }, side.blocks_a_group };
  return samples;
}

template <typename Dtype>
OutputBlocks BatchedProduct<Dtype>::OfGroups() const {
  const OutputBlocks blocks = { blocks_.output, blocks_.input, num_groups(),
      tiled() ? output_[0].period : 1 };
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
  Gather(blocks.count, storage,
      side.output ? shape_.stored_output : shape_.stored_input, rows,
      List(side, side.stored), aligned16(side, true), parts.data);
  return DenseParts<const Dtype>(parts.data, rows.size, side.size);
}

template <typename Dtype>
const Dtype* BatchedProduct<Dtype>::Weight(const Blocks& blocks) {
  if (gathered_ != &blocks) {
    Gather(blocks.count, weight_, shape_.num_input,
        List(blocks.output, blocks.output.weight),
        List(blocks.input, blocks.input.weight), aligned16(blocks.input, false),
        GpuParts<Dtype>::Grow(&packed_, static_cast<size_t>(blocks.count)
            * blocks.output.size * blocks.input.size));
    gathered_ = &blocks;
  }
  return packed_->gpu_data();
}

template <typename Dtype>
void BatchedProduct<Dtype>::Forward(int outer, Dtype alpha, const Dtype* x,
    const Dtype* bias, Dtype bias_scale, bool rectify, bool accumulate,
    Dtype* y) {
  const BlockSide& output = blocks_.output;
  const BlockSide& input = blocks_.input;
  const bool in_place = outer == 1 && whole(output) && !bias && !rectify;
  const ConstParts x_parts = PartsOf(outer, blocks_, input, x, &x_);
  const Parts y_parts = ResultParts(outer, blocks_, output, in_place, y, &y_);
  const BlockList rows = Samples(outer, output);
  Gemm(CblasNoTrans, CblasTrans, rows.size, output.size, input.size, alpha,
      x_parts, DenseParts<const Dtype>(Weight(blocks_), output.size,
      input.size), in_place && accumulate ? 1 : 0, y_parts, blocks_.count);
  if (in_place) { return; }
  const BlockFinish<Dtype> finish = { bias, bias_scale,
      List(output, output.weight), rectify };
  Scatter(blocks_.count, y_parts.data, rows, List(output, output.stored),
      aligned16(output, true), finish, accumulate, shape_.stored_output, y);
}

template <typename Dtype>
void BatchedProduct<Dtype>::Backward(int outer, Dtype alpha, const Dtype* x,
    const Dtype* dy, Dtype bias_scale, bool overwrites, Dtype* dx,
    Dtype* dweight, Dtype* dbias) {
  ConstParts dy_parts;
  if (dweight || dbias || !tiled()) {
    dy_parts = PartsOf(outer, blocks_, blocks_.output, dy, &y_);
  }
  if (dbias) { AddBiasGradient(outer, bias_scale, dy_parts, dbias); }
  if (dweight) {
    AddWeightGradient(outer, alpha, x, dy_parts, overwrites, dweight);
  }
  if (!dx) { return; }
  if (tiled()) {
    dy_parts = PartsOf(outer, tiled_gradient_, tiled_gradient_.output, dy,
        &y_);
  }
  InputGradient(outer, alpha, dy_parts, dx);
}

template <typename Dtype>
void BatchedProduct<Dtype>::AddBiasGradient(int outer, Dtype bias_scale,
    const ConstParts& dy, Dtype* dbias) {
  const int units = shape_.num_output;
  const int grid = (units + kSumColumnsPerBlock - 1) / kSumColumnsPerBlock;
  // NOLINT_NEXT_LINE(whitespace/operators)
  AddOutputSumsKernel<Dtype><<<grid,
      dim3(kSumColumnsPerBlock, kSumRowsPerBlock)>>>(dy, OfGroups(),
      Samples(outer, blocks_.output).size, bias_scale, dbias);
  CUDA_POST_KERNEL_CHECK;
}

template <typename Dtype>
void BatchedProduct<Dtype>::AddWeightGradient(int outer, Dtype alpha,
    const Dtype* x, const ConstParts& dy, bool overwrites, Dtype* dweight) {
  const int outputs = blocks_.output.size;
  const int inputs = blocks_.input.size;
  Dtype* part = GpuParts<Dtype>::Grow(&dweight_,
      static_cast<size_t>(blocks_.count) * outputs * inputs);
  Gemm(CblasTrans, CblasNoTrans, outputs, inputs,
      Samples(outer, blocks_.output).size, alpha, dy,
      PartsOf(outer, blocks_, blocks_.input, x, &x_), 0,
      DenseParts<Dtype>(part, outputs, inputs), blocks_.count);
  const int width = Aligned16<Dtype>::kWidth;
  if (aligned16(blocks_.input, false)
      && IsAligned16(part, inputs)
      && IsAligned16(dweight, shape_.num_input)) {
    // NOLINT_NEXT_LINE(whitespace/operators)
    AddPartsKernel<Dtype, width><<<Grid(1, shape_.num_output,
        shape_.num_input / width), Threads()>>>(part, OfGroups(), overwrites,
        dweight);
  } else {
    // NOLINT_NEXT_LINE(whitespace/operators)
    AddPartsKernel<Dtype, 1><<<Grid(1, shape_.num_output, shape_.num_input),
        Threads()>>>(part, OfGroups(), overwrites, dweight);
  }
  CUDA_POST_KERNEL_CHECK;
}

template <typename Dtype>
void BatchedProduct<Dtype>::InputGradient(int outer, Dtype alpha,
    const ConstParts& dy, Dtype* dx) {
  const Blocks& blocks = gradient_blocks();
  const BlockSide& input = blocks.input;
  const int outputs = blocks.output.size;
  const bool in_place = outer == 1 && whole(input);
  const Parts parts = ResultParts(outer, blocks, input, in_place, dx, &x_);
  const BlockList rows = Samples(outer, input);
  Gemm(CblasNoTrans, CblasNoTrans, rows.size, input.size, outputs, alpha, dy,
      DenseParts<const Dtype>(Weight(blocks), outputs, input.size), 0, parts,
      blocks.count);
  if (in_place) { return; }
  const BlockFinish<Dtype> none = { NULL, 0, rows, false };
  Scatter(blocks.count, parts.data, rows, List(input, input.stored),
      aligned16(input, true), none, false, shape_.stored_input, dx);
}

INSTANTIATE_CLASS(BatchedProduct);

}  // namespace caffe
