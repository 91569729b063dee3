#include <algorithm>
#include <vector>

#include "caffe/approx_dropout/math/wide_access.hpp"
#include "caffe/approx_dropout/pattern/cell_grid.hpp"
#include "caffe/approx_dropout/product/device_blocks.cuh"
#include "caffe/approx_dropout/product/device_blocks.hpp"
#include "caffe/approx_dropout/product/gather_scatter.hpp"

namespace caffe {

namespace {

// Lists are filled up to a multiple of it: cuBLAS then takes 16 bytes at a
// time, and so can we.
const int kPadding = 4;

int RoundUp(int size) { return (size + kPadding - 1) / kPadding * kPadding; }

template <typename Dtype>
bool AreAligned16(const MatrixBatch<Dtype>& parts) {
  return IsAligned16(parts.data, parts.stride) &&
         parts.distance % Aligned16<Dtype>::kWidth == 0;
}

// How much memory the lists of one side of all blocks take.
size_t ListsSize(int num_blocks, const BlockSide& side) {
  if (side.stride > 0) {
    return 0;
  }
  const size_t indices = side.tiled && !side.output ? 2 : 1;
  return num_blocks *
         (2 * static_cast<size_t>(side.size) + indices * side.units);
}

// Says where they are, from `memory` on.
void PlaceLists(int num_blocks, int* memory, BlockSide* side) {
  if (side->stride > 0) {
    return;
  }
  const size_t list = static_cast<size_t>(num_blocks) * side->size;
  side->weight = memory;
  side->stored = side->weight + list;
  side->compact_index = side->stored + list;
  if (side->tiled && !side->output) {
    side->stored_index =
        side->compact_index + static_cast<size_t>(num_blocks) * side->units;
  }
}

}  // namespace

template <typename Dtype>
Dtype* GrowOnDevice(size_t size, shared_ptr<Blob<Dtype>>* buffer) {
  CheckBufferSize(size);
  if (!*buffer) {
    buffer->reset(new Blob<Dtype>(vector<int>(1, 1)));
  }
  if (size > (*buffer)->count()) {
    // To free memory may wait for the device, in a lock that the start of
    // another thread's NCCL kernel needs, for which this device's one waits.
    if (Caffe::solver_count() > 1) {
      CUDA_CHECK(cudaDeviceSynchronize());
    }
    (*buffer)->Reshape(vector<int>(1, size));
  }
  return (*buffer)->mutable_gpu_data();
}

template <typename Dtype>
void GatherBlocks(int count, const PartView<const Dtype>& whole,
    const BlockList& rows, const BlockList& columns, bool aligned,
    const MatrixBatch<Dtype>& parts) {
  const int width = Aligned16<Dtype>::kWidth;
  if (aligned && IsAligned16(whole.data, whole.stride) && AreAligned16(parts)) {
    // NOLINT_NEXT_LINE(whitespace/operators)
    GatherBlocksKernel<Dtype, width>
        <<<Grid(count, rows.size, columns.size / width), Threads()>>>(
            whole, rows, columns, parts);
  } else {
    // NOLINT_NEXT_LINE(whitespace/operators)
    GatherBlocksKernel<Dtype, 1>
        <<<Grid(count, rows.size, columns.size), Threads()>>>(
            whole, rows, columns, parts);
  }
  CUDA_POST_KERNEL_CHECK;
}

template <typename Dtype>
void ScatterBlocks(int count, const MatrixBatch<const Dtype>& parts,
    const BlockList& rows, const BlockList& columns, bool aligned,
    const BlockFinish<Dtype>& finish, bool accumulate,
    const PartView<Dtype>& whole) {
  const int width = Aligned16<Dtype>::kWidth;
  if (aligned && IsAligned16(whole.data, whole.stride) && AreAligned16(parts)) {
    // NOLINT_NEXT_LINE(whitespace/operators)
    ScatterBlocksKernel<Dtype, width>
        <<<Grid(count, rows.size, columns.size / width), Threads()>>>(
            parts, rows, columns, finish, accumulate, whole);
  } else {
    // NOLINT_NEXT_LINE(whitespace/operators)
    ScatterBlocksKernel<Dtype, 1>
        <<<Grid(count, rows.size, columns.size), Threads()>>>(
            parts, rows, columns, finish, accumulate, whole);
  }
  CUDA_POST_KERNEL_CHECK;
}

template <typename Dtype>
bool DeviceBlocks<Dtype>::whole(const BlockSide& side) const {
  return !side.tiled && (side.compact || cells(side)[0].keeps_all());
}

template <typename Dtype>
BlockSide DeviceBlocks<Dtype>::MakeSide(bool output) const {
  BlockSide side = {};
  side.tiled = tiled();
  side.output = output;
  side.compact = output ? spec_->compact_output : spec_->compact_input;
  side.units = output ? spec_->num_output : spec_->num_input;
  side.width = output ? 1 : spec_->input_width;
  side.tile_size = std::max(1, spec_->tile_size);
  // There may be fewer tiles than the period.
  side.blocks_a_group = !side.tiled
                            ? 1
                            : std::min(spec_->output[0].period,
                                  NumCells(spec_->num_output, side.tile_size));
  const KeptCells& kept = cells(side)[0];
  const bool one_block = spec_->num_groups() == 1 && !side.tiled;
  // All units, by all groups; a padded list is longer.
  const bool all =
      !side.tiled && kept.keeps_all() && side.units % kPadding == 0;
  const int longest =
      std::max(1, LongestList(side, spec_->output, spec_->input));
  if (all || (one_block && (side.width == 1 || kept.keeps_all()))) {
    side.first = kept.residues[0];
    side.stride = StrideOf(kept);
  }
  // DeviceParameter takes no padding.
  side.size =
      side.stride > 0 || (one_block && lazy()) ? longest : RoundUp(longest);
  return side;
}

template <typename Dtype>
void DeviceBlocks<Dtype>::Pack(
    const ProductSpec<Dtype>& spec, const Dtype* weight) {
  spec_ = &spec;
  blocks_.output = MakeSide(true);
  blocks_.input = MakeSide(false);
  blocks_.num_groups = spec.num_groups();
  blocks_.period = tiled() ? spec.output[0].period : 1;
  ListUnits();
  if (views_weight()) {
    if (lazy()) {
      lazy()->CatchUp(UnionOf(spec.output));
    }
    weight_.data =
        weight + static_cast<size_t>(blocks_.output.first) * spec.num_input;
    weight_.stride = blocks_.output.stride * spec.num_input;
    weight_.distance = 0;
  } else {
    GatherWeight(weight);
  }
}

template <typename Dtype>
void DeviceBlocks<Dtype>::ListUnits() {
  BlockSide* output = &blocks_.output;
  BlockSide* input = &blocks_.input;
  const size_t outputs_size = ListsSize(count(), *output);
  const size_t size = outputs_size + ListsSize(count(), *input);
  if (size == 0) {
    return;
  }
  if (!lists_) {
    lists_.reset(new Blob<int>());
  }
  if (size > lists_->count()) {
    lists_->Reshape(vector<int>(1, size));
  }
  int* memory = lists_->mutable_gpu_data();
  PlaceLists(count(), memory, output);
  PlaceLists(count(), memory + outputs_size, input);
  // Sizes are below this too.
  const int units = RoundUp(std::max(spec_->num_output, spec_->num_input));
  const int at_once =
      std::min(MaxGroups(spec_->output[0]), MaxGroups(spec_->input[0]));
  for (int first = 0; first < spec_->num_groups(); first += at_once) {
    const KeptGroups outputs = GroupsFrom(spec_->output, first, at_once);
    const KeptGroups inputs = GroupsFrom(spec_->input, first, at_once);
    const dim3 grid(
        outputs.count * output->blocks_a_group, CAFFE_GET_BLOCKS(units), 2);
    // NOLINT_NEXT_LINE(whitespace/operators)
    ListUnitsKernel<<<grid, CAFFE_CUDA_NUM_THREADS>>>(
        outputs, inputs, *output, *input);
    CUDA_POST_KERNEL_CHECK;
  }
}

// One kernel catches up and copies the rows of one block.
template <typename Dtype>
void DeviceBlocks<Dtype>::GatherWeight(const Dtype* weight) {
  const BlockSide& output = blocks_.output;
  const BlockSide& input = blocks_.input;
  Dtype* data = GrowOnDevice(
      static_cast<size_t>(count()) * output.size * input.size, &packed_);
  weight_ = DenseMatrices<const Dtype>(data, output.size, input.size);
  if (updates_rows()) {
    lazy()->CatchUp(Cells(output), Cells(input), data);
    return;
  }
  if (lazy()) {
    lazy()->CatchUp(UnionOf(spec_->output));
  }
  GatherBlocks(count(), View(weight, spec_->num_input), Units(output),
      Units(input), HasAlignedUnits(input),
      DenseMatrices(data, output.size, input.size));
}

template <typename Dtype>
MatrixBatch<Dtype> DeviceBlocks<Dtype>::Gradient(Dtype* dweight, Dtype* beta) {
  *beta = 0;
  if (!views_weight()) {
    const int outputs = blocks_.output.size;
    const int inputs = blocks_.input.size;
    return DenseMatrices(
        GrowOnDevice(
            static_cast<size_t>(count()) * outputs * inputs, &gradient_),
        outputs, inputs);
  }
  const bool overwrites = lazy() && lazy()->ClaimGradient(UnionOf(
                                        spec_->output)) == Claim::OVERWRITE;
  *beta = overwrites ? 0 : 1;
  const MatrixBatch<Dtype> view = {
      dweight + static_cast<size_t>(blocks_.output.first) * spec_->num_input,
      weight_.stride, 0};
  return view;
}

template <typename Dtype>
void DeviceBlocks<Dtype>::AddGradient(
    const MatrixBatch<Dtype>& gradient, Dtype* dweight) {
  if (views_weight()) {
    return;
  }
  if (updates_rows()) {
    lazy()->AddGradient(
        Cells(blocks_.output), Cells(blocks_.input), gradient.data);
    return;
  }
  const bool overwrites = lazy() && lazy()->ClaimGradient(UnionOf(
                                        spec_->output)) == Claim::OVERWRITE;
  const MatrixBatch<const Dtype> parts = {
      gradient.data, gradient.stride, gradient.distance};
  const int width = Aligned16<Dtype>::kWidth;
  const int columns = spec_->num_input;
  if (HasAlignedUnits(blocks_.input) && AreAligned16(parts) &&
      IsAligned16(dweight, columns)) {
    // NOLINT_NEXT_LINE(whitespace/operators)
    AddPartsKernel<Dtype, width>
        <<<Grid(1, spec_->num_output, columns / width), Threads()>>>(
            parts, blocks_, overwrites, dweight);
  } else {
    // NOLINT_NEXT_LINE(whitespace/operators)
    AddPartsKernel<Dtype, 1>
        <<<Grid(1, spec_->num_output, columns), Threads()>>>(
            parts, blocks_, overwrites, dweight);
  }
  CUDA_POST_KERNEL_CHECK;
}

template <typename Dtype>
void DeviceBlocks<Dtype>::AddOutputSums(const MatrixBatch<const Dtype>& dy,
    int num_rows, Dtype scale, Dtype* sums) {
  const int grid = (spec_->num_output - 1) / kSumColumns + 1;
  // NOLINT_NEXT_LINE(whitespace/operators)
  AddOutputSumsKernel<Dtype><<<grid, dim3(kSumColumns, kSumRows)>>>(
      dy, blocks_, num_rows, scale, sums);
  CUDA_POST_KERNEL_CHECK;
}

template <typename Dtype>
void DeviceBlocks<Dtype>::SumInputs(
    const MatrixBatch<const Dtype>& parts, const BlockList& rows, Dtype* dx) {
  const BlockSide& input = blocks_.input;
  const int width = Aligned16<Dtype>::kWidth;
  const int columns = spec_->stored_input;
  const PartView<Dtype> whole = View(dx, columns);
  if (HasAlignedStorage(input) && IsAligned16(dx, columns) &&
      AreAligned16(parts)) {
    // NOLINT_NEXT_LINE(whitespace/operators)
    SumBlocksKernel<Dtype, width>
        <<<Grid(blocks_.num_groups, rows.size, columns / width), Threads()>>>(
            parts, input, rows, columns, whole);
  } else {
    // NOLINT_NEXT_LINE(whitespace/operators)
    SumBlocksKernel<Dtype, 1>
        <<<Grid(blocks_.num_groups, rows.size, columns), Threads()>>>(
            parts, input, rows, columns, whole);
  }
  CUDA_POST_KERNEL_CHECK;
}

template <typename Dtype>
BlockList DeviceBlocks<Dtype>::Units(const BlockSide& side) const {
  const BlockList list = {side.weight, side.size, side.blocks_a_group,
      GroupRows(), side.first, side.stride};
  return list;
}

template <typename Dtype>
BlockList DeviceBlocks<Dtype>::Stored(const BlockSide& side) const {
  BlockList list = Units(side);
  list.index = side.stored;
  if (side.compact) {
    list.first = 0;
    list.stride = 1;
  }
  return list;
}

template <typename Dtype>
DeviceList DeviceBlocks<Dtype>::Cells(const BlockSide& side) const {
  const DeviceList list = {
      side.weight, side.size, side.first, side.stride, side.compact_index};
  return list;
}

// Tiles are runs, and so is what has no gaps.
template <typename Dtype>
bool DeviceBlocks<Dtype>::HasAlignedUnits(const BlockSide& side) const {
  const int width = Aligned16<Dtype>::kWidth;
  const bool runs = side.output ? side.tiled : spec_->input[0].keeps_all();
  return runs && side.units % width == 0 &&
         (!side.tiled || side.tile_size % width == 0);
}

template <typename Dtype>
bool DeviceBlocks<Dtype>::HasAlignedStorage(const BlockSide& side) const {
  const int stored = side.output ? spec_->stored_output : spec_->stored_input;
  return whole(side) ? stored % Aligned16<Dtype>::kWidth == 0
                     : HasAlignedUnits(side);
}

#define INSTANTIATE_BLOCKS(Dtype)                                           \
  template class DeviceBlocks<Dtype>;                                       \
  template Dtype* GrowOnDevice(size_t, shared_ptr<Blob<Dtype>>*);           \
  template void GatherBlocks(int, const PartView<const Dtype>&,             \
      const BlockList&, const BlockList&, bool, const MatrixBatch<Dtype>&); \
  template void ScatterBlocks(int, const MatrixBatch<const Dtype>&,         \
      const BlockList&, const BlockList&, bool, const BlockFinish<Dtype>&,  \
      bool, const PartView<Dtype>&)
INSTANTIATE_BLOCKS(float);
INSTANTIATE_BLOCKS(double);

}  // namespace caffe
