#include <algorithm>
#include <vector>

#include "caffe/approx_dropout/math/wide_access.hpp"
#include "caffe/approx_dropout/product/gather_scatter.hpp"
#include "caffe/approx_dropout/product/gathered_product.hpp"
#include "caffe/approx_dropout/product/kept_product.hpp"
#include "caffe/util/math_functions.hpp"

namespace caffe {

namespace {

// Both sides of a block: one thread per unit of each. Any KeptUnits; all size()
// elements of each list are written, unless there is none (NULL).
__global__ void ListUnitsKernel(KeptUnits output, bool compact_output,
    UnitLists output_lists, KeptUnits input, bool compact_input,
    UnitLists input_lists, int num_units) {
  CUDA_KERNEL_LOOP(unit, num_units) {
    if (output_lists.weight && unit < output.units) {
      ListUnit(output, unit, compact_output, output_lists);
    }
    if (input_lists.weight && unit < input.units) {
      ListUnit(input, unit, compact_input, input_lists);
    }
  }
}

// Says where in the device's memory a side's lists are, from *memory on, which
// then is the end of them. Lists of one stride need no memory.
template <typename Dtype>
UnitLists PlaceLists(IndexList* weight, IndexList* stored, int** memory) {
  const UnitLists none = { NULL, NULL };
  IndexList* lists[] = { weight, stored };
  bool strided = true;
  for (int i = 0; i < 2; ++i) {
    lists[i]->aligned16 = HasAligned16Runs<Dtype>(lists[i]->index);
    lists[i]->device = NULL;
    lists[i]->run_stride = lists[i]->stride;
    strided &= lists[i]->stride > 0;
  }
  if (strided) { return none; }
  const UnitLists places = { *memory, *memory + weight->size() };
  weight->device = places.weight;
  stored->device = places.stored;
  *memory += 2 * weight->size();
  return places;
}

}  // namespace

template <typename Dtype>
void KeptProduct<Dtype>::SetBatch() {
  const typename BatchedProduct<Dtype>::Shape shape = { num_output_,
      num_input_, num_samples_, stored_output_, stored_input_,
      rotates_, compact_output_, compact_input_, tiled_ ? tile_size_ : 0 };
  const int parts = num_parts();
  vector<KeptCells> output, input;
  for (int first = 0; first < num_samples_; first += num_samples_ / parts) {
    output.push_back(output_pattern_.of_sample(first, num_samples_));
    input.push_back(input_pattern_.of_sample(first, num_samples_));
  }
  covers_output_ = tiled_ || compact_output_
      || output[0].kept == output[0].period;
  batched_product_.SetGroups(shape, output, input);
}

template <typename Dtype>
void KeptProduct<Dtype>::PackWeights_gpu(const Dtype* weight) {
  DeviceParameter<Dtype>* lazy = GpuParts<Dtype>::LazyOf(lazy_);
  if (in_batch()) {
    if (lazy) { lazy->CatchUp(UnionOf(output_pattern_.groups)); }
    SetBatch();
    batched_product_.SetWeight(weight);
    return;
  }
  vector<Block*> blocks;
  for (size_t b = 0; b < blocks_.size(); ++b) { blocks.push_back(&blocks_[b]); }
  for (size_t b = 0; b < tiled_gradient_blocks_.size(); ++b) {
    blocks.push_back(&tiled_gradient_blocks_[b]);
  }
  size_t size = 0;
  for (size_t b = 0; b < blocks.size(); ++b) {
    size += 2 * (blocks[b]->output_weight.size()
        + blocks[b]->input_weight.size());
  }
  if (!device_lists_) { device_lists_.reset(new Blob<int>()); }
  if (size > device_lists_->count()) {
    device_lists_->Reshape(vector<int>(1, size));
  }
  int* memory = size ? device_lists_->mutable_gpu_data() : NULL;
  for (size_t b = 0; b < blocks.size(); ++b) {
    Block* block = blocks[b];
    const UnitLists output = PlaceLists<Dtype>(&block->output_weight,
        &block->output_stored, &memory);
    const UnitLists input = PlaceLists<Dtype>(&block->input_weight,
        &block->input_stored, &memory);
    if (!output.weight && !input.weight) { continue; }
    const int units = std::max(num_output_, num_input_);
    // NOLINT_NEXT_LINE(whitespace/operators)
    ListUnitsKernel<<<CAFFE_GET_BLOCKS(units), CAFFE_CUDA_NUM_THREADS>>>(
        block->output, compact_output_, output, block->input, compact_input_,
        input, units);
    CUDA_POST_KERNEL_CHECK;
  }
  if (lazy && tiled_) { lazy->CatchUp(output_pattern_.groups[0]); }
  PackWeights<GpuParts<Dtype> >(weight);
}

template <typename Dtype>
void KeptProduct<Dtype>::Forward_gpu(int outer, const Dtype* x,
    const Dtype* bias, bool accumulate, Dtype* y) {
  if (in_batch()) {
    return ForwardBatch(outer, x, bias, false, accumulate, y);
  }
  Forward<GpuParts<Dtype> >(outer, x, bias, accumulate, y);
}

template <typename Dtype>
void KeptProduct<Dtype>::ForwardRectified_gpu(int outer, const Dtype* x,
    const Dtype* bias, Dtype* y) {
  if (in_batch()) { return ForwardBatch(outer, x, bias, true, false, y); }
  Forward<GpuParts<Dtype> >(outer, x, NULL, false, y);
  const Block& block = blocks_[0];
  GpuParts<Dtype>::Rectify(bias, bias_scale_, block.output_weight,
      block.output_stored, outer * num_samples_, stored_output_, y);
}

template <typename Dtype>
void KeptProduct<Dtype>::ForwardBatch(int outer, const Dtype* x,
    const Dtype* bias, bool rectify, bool accumulate, Dtype* y) {
  CHECK(!(accumulate && bias)) << "A product that is added to takes no bias";
  if (!covers_output_ && !accumulate) {
    GpuParts<Dtype>::SetZero(
        static_cast<size_t>(outer) * num_samples_ * stored_output_, y);
  }
  batched_product_.Forward(outer, scale_, x, bias, bias_scale_, rectify,
      accumulate, y);
}

template <typename Dtype>
void KeptProduct<Dtype>::Backward_gpu(int outer, const Dtype* x,
    const Dtype* dy, Dtype* dx, Dtype* dweight, Dtype* dbias) {
  if (!in_batch()) {
    return Backward<GpuParts<Dtype> >(outer, x, dy, dx, dweight, dbias);
  }
  DeviceParameter<Dtype>* lazy = GpuParts<Dtype>::LazyOf(lazy_);
  const bool overwrites = dweight && lazy
      && lazy->ClaimGradient(UnionOf(output_pattern_.groups))
          == Claim::OVERWRITE;
  batched_product_.Backward(outer, scale_, x, dy, bias_scale_, overwrites, dx,
      dweight, dbias);
}

#define INSTANTIATE_KEPT_PRODUCT_GPU(Dtype) \
  template void KeptProduct<Dtype>::PackWeights_gpu(const Dtype* weight); \
  template void KeptProduct<Dtype>::Forward_gpu(int outer, const Dtype* x, \
      const Dtype* bias, bool accumulate, Dtype* y); \
  template void KeptProduct<Dtype>::ForwardRectified_gpu(int outer, \
      const Dtype* x, const Dtype* bias, Dtype* y); \
  template void KeptProduct<Dtype>::Backward_gpu(int outer, const Dtype* x, \
      const Dtype* dy, Dtype* dx, Dtype* dweight, Dtype* dbias)

INSTANTIATE_KEPT_PRODUCT_GPU(float);
INSTANTIATE_KEPT_PRODUCT_GPU(double);

}  // namespace caffe
