#include <algorithm>
#include <vector>

#include "caffe/approx_dropout/math/wide_access.hpp"
#include "caffe/approx_dropout/product/gather_scatter.hpp"
#include "caffe/approx_dropout/product/gathered_product.hpp"
#include "caffe/approx_dropout/product/kept_product.hpp"
#include "caffe/util/math_functions.hpp"

// Pointers are to the device's memory; matrices are row major, `stride`
// elements from row to row. Legal are all sizes above 0 and all lists that
// name no position twice.

namespace caffe {

namespace {

const int kColumnsPerBlock = 32;
const int kRowsPerBlock = 8;
const int kSumRowsPerBlock = 32;
const int kMaxGridRows = 1024;

dim3 Threads() { return dim3(kColumnsPerBlock, kRowsPerBlock); }

dim3 Blocks(int num_rows, int num_columns) {
  const int rows = (num_rows + kRowsPerBlock - 1) / kRowsPerBlock;
  return dim3((num_columns + kColumnsPerBlock - 1) / kColumnsPerBlock,
      std::min(rows, kMaxGridRows));
}

// Where one side's units are listed: weight[j] and stored[j], the j-th unit
// that takes part and its place in storage; or NULL, if nobody reads them.
struct UnitLists {
  int* weight;
  int* stored;
};

__device__ void ListUnit(const KeptUnits& kept, int unit, bool compact,
    const UnitLists& lists) {
  if (!lists.weight || unit >= kept.units || !kept.has(unit)) { return; }
  const int j = kept.count(unit);
  lists.weight[j] = unit;
  lists.stored[j] = kept.place(unit, compact);
}

// Both sides of a block: a thread a unit of each. Any KeptUnits; all size()
// elements of each list are written.
__global__ void ListUnitsKernel(KeptUnits output, bool compact_output,
    UnitLists output_lists, KeptUnits input, bool compact_input,
    UnitLists input_lists, int num_units) {
  CUDA_KERNEL_LOOP(unit, num_units) {
    ListUnit(output, unit, compact_output, output_lists);
    ListUnit(input, unit, compact_input, input_lists);
  }
}

// part (rows.size x columns.size, dense) = the listed part of whole. A thread
// takes kWidth neighbours of a row, neighbouring threads follow; blocks stride
// over the rows. kWidth > 1 where columns are aligned runs of so many and the
// rows of both begin at whole 16 bytes. Overwrites all of part.
template <typename Dtype, int kWidth>
__global__ void GatherKernel(Dtype* whole, int stride, DeviceList rows,
    DeviceList columns, Dtype* part) {
  const int j = (blockIdx.x * blockDim.x + threadIdx.x) * kWidth;
  if (j >= columns.size) { return; }
  const int column = columns(j);
  for (int i = blockIdx.y * blockDim.y + threadIdx.y; i < rows.size;
      i += gridDim.y * blockDim.y) {
    *ChunkAt<Dtype, kWidth>(part, static_cast<size_t>(i) * columns.size + j) =
        *ChunkAt<Dtype, kWidth>(whole,
            static_cast<size_t>(rows(i)) * stride + column);
  }
}

// The listed part of whole = part, or += it; the rest of whole is left alone.
// Threads and kWidth as in GatherKernel.
template <typename Dtype, int kWidth>
__global__ void ScatterKernel(Dtype* part, DeviceList rows,
    DeviceList columns, bool accumulate, int stride, Dtype* whole) {
  const int j = (blockIdx.x * blockDim.x + threadIdx.x) * kWidth;
  if (j >= columns.size) { return; }
  const int column = columns(j);
  for (int i = blockIdx.y * blockDim.y + threadIdx.y; i < rows.size;
      i += gridDim.y * blockDim.y) {
    Chunk<Dtype, kWidth> value = *ChunkAt<Dtype, kWidth>(part,
        static_cast<size_t>(i) * columns.size + j);
    Chunk<Dtype, kWidth>* to = ChunkAt<Dtype, kWidth>(whole,
        static_cast<size_t>(rows(i)) * stride + column);
    for (int k = 0; accumulate && k < kWidth; ++k) {
      value.value[k] += to->value[k];
    }
    *to = value;
  }
}

// part[i][j] = scale * values[columns(j)] for i < num_rows. A thread an
// element, otherwise as in GatherKernel. Overwrites.
template <typename Dtype>
__global__ void FillRowsKernel(const Dtype* values, Dtype scale,
    DeviceList columns, int num_rows, int stride, Dtype* part) {
  const int j = blockIdx.x * blockDim.x + threadIdx.x;
  if (j >= columns.size) { return; }
  const Dtype value = scale * values[columns(j)];
  for (int i = blockIdx.y * blockDim.y + threadIdx.y; i < num_rows;
      i += gridDim.y * blockDim.y) {
    part[static_cast<size_t>(i) * stride + j] = value;
  }
}

// whole[i][columns(j)] becomes ReLU of itself + scale * bias[units(j)] for
// i < num_rows; bias: NULL for none. A thread an element, otherwise as in
// GatherKernel.
template <typename Dtype>
__global__ void RectifyKernel(const Dtype* bias, Dtype scale, DeviceList units,
    DeviceList columns, int num_rows, int stride, Dtype* whole) {
  const int j = blockIdx.x * blockDim.x + threadIdx.x;
  if (j >= columns.size) { return; }
  const Dtype add = bias ? scale * bias[units(j)] : Dtype(0);
  for (int i = blockIdx.y * blockDim.y + threadIdx.y; i < num_rows;
      i += gridDim.y * blockDim.y) {
    Dtype* value = whole + static_cast<size_t>(i) * stride + columns(j);
    *value = Rectified(*value + add);
  }
}

// sums[columns(j)] += scale * (the sum of column j of part). A block sums 32
// columns: its 32 rows of threads take every 32nd row, then thread row 0 adds
// their sums up, always in the same order.
template <typename Dtype>
__global__ void __launch_bounds__(kColumnsPerBlock * kSumRowsPerBlock)
AddColumnSumsKernel(const Dtype* part, int stride,
    int num_rows, DeviceList columns, Dtype scale, Dtype* sums) {
  __shared__ Dtype partial[kSumRowsPerBlock][kColumnsPerBlock];
  const int j = blockIdx.x * kColumnsPerBlock + threadIdx.x;
  Dtype sum = 0;
  if (j < columns.size) {
    for (int i = threadIdx.y; i < num_rows; i += kSumRowsPerBlock) {
      sum += part[static_cast<size_t>(i) * stride + j];
    }
  }
  partial[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y == 0 && j < columns.size) {
    for (int y = 1; y < kSumRowsPerBlock; ++y) {
      sum += partial[y][threadIdx.x];
    }
    sums[columns(j)] += scale * sum;
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
    lists[i]->wide = HasAlignedRuns(lists[i]->index,
        Wide16<Dtype>::kWidth);
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

// Whether a kernel can take 16 bytes at a time: the listed columns, and
// pointers and strides of whole and part.
template <typename Dtype>
bool Wide(const IndexList& columns, const Dtype* whole, int stride,
    const Dtype* part) {
  const size_t pointers = reinterpret_cast<size_t>(whole)
      | reinterpret_cast<size_t>(part);
  return columns.wide && pointers % 16 == 0
      && stride * sizeof(Dtype) % 16 == 0;
}

}  // namespace

template <typename Dtype>
Dtype* GpuParts<Dtype>::Grow(shared_ptr<Blob<Dtype> >* buffer, size_t size) {
  CheckBufferSize(size);
  if (!*buffer) { buffer->reset(new Blob<Dtype>(vector<int>(1, 1))); }
  if (size > (*buffer)->count()) {
    (*buffer)->Reshape(vector<int>(1, size));
  }
  return (*buffer)->mutable_gpu_data();
}

template <typename Dtype>
void GpuParts<Dtype>::SetZero(size_t count, Dtype* data) {
  caffe_gpu_memset(count * sizeof(Dtype), 0, data);
}

template <typename Dtype>
void GpuParts<Dtype>::Gather(const Dtype* whole, int stride,
    const IndexList& rows, const IndexList& columns, Dtype* part) {
  if (rows.size() == 0 || columns.size() == 0) { return; }
  const int width = Wide16<Dtype>::kWidth;
  Dtype* from = const_cast<Dtype*>(whole);  // chunks go by their address
  if (Wide(columns, whole, stride, part)) {
    // NOLINT_NEXT_LINE(whitespace/operators)
    GatherKernel<Dtype, width><<<Blocks(rows.size(), columns.size() / width),
        Threads()>>>(from, stride, Cells(rows), Cells(columns), part);
  } else {
    // NOLINT_NEXT_LINE(whitespace/operators)
    GatherKernel<Dtype, 1><<<Blocks(rows.size(), columns.size()),
        Threads()>>>(from, stride, Cells(rows), Cells(columns), part);
  }
  CUDA_POST_KERNEL_CHECK;
}

template <typename Dtype>
void GpuParts<Dtype>::Scatter(const Dtype* part, const IndexList& rows,
    const IndexList& columns, bool accumulate, int stride, Dtype* whole) {
  if (rows.size() == 0 || columns.size() == 0) { return; }
  const int width = Wide16<Dtype>::kWidth;
  Dtype* from = const_cast<Dtype*>(part);
  if (Wide(columns, whole, stride, part)) {
    // NOLINT_NEXT_LINE(whitespace/operators)
    ScatterKernel<Dtype, width><<<Blocks(rows.size(), columns.size() / width),
        Threads()>>>(from, Cells(rows), Cells(columns), accumulate, stride,
        whole);
  } else {
    // NOLINT_NEXT_LINE(whitespace/operators)
    ScatterKernel<Dtype, 1><<<Blocks(rows.size(), columns.size()),
        Threads()>>>(from, Cells(rows), Cells(columns), accumulate, stride,
        whole);
  }
  CUDA_POST_KERNEL_CHECK;
}

template <typename Dtype>
void GpuParts<Dtype>::FillRows(const Dtype* values, Dtype scale,
    const IndexList& columns, int num_rows, const PartView<Dtype>& part) {
  if (num_rows == 0 || columns.size() == 0) { return; }
  // NOLINT_NEXT_LINE(whitespace/operators)
  FillRowsKernel<Dtype><<<Blocks(num_rows, columns.size()), Threads()>>>(
      values, scale, Cells(columns), num_rows, part.stride, part.data);
  CUDA_POST_KERNEL_CHECK;
}

template <typename Dtype>
void GpuParts<Dtype>::AddColumnSums(const PartView<const Dtype>& part,
    int num_rows, Dtype scale, const IndexList& columns, Dtype* sums) {
  // NOLINT_NEXT_LINE(whitespace/operators)
  AddColumnSumsKernel<Dtype><<<Blocks(1, columns.size()),
      dim3(kColumnsPerBlock, kSumRowsPerBlock)>>>(part.data, part.stride,
      num_rows, Cells(columns), scale, sums);
  CUDA_POST_KERNEL_CHECK;
}

// cuBLAS is column major: C' = op(B)' op(A)'.
template <>
void GpuParts<float>::Gemm(CBLAS_TRANSPOSE trans_a, CBLAS_TRANSPOSE trans_b,
    int M, int N, int K, float alpha, const float* A, int lda, const float* B,
    int ldb, float beta, float* C, int ldc) {
  CUBLAS_CHECK(cublasSgemm(Caffe::cublas_handle(),
      trans_b == CblasNoTrans ? CUBLAS_OP_N : CUBLAS_OP_T,
      trans_a == CblasNoTrans ? CUBLAS_OP_N : CUBLAS_OP_T, N, M, K, &alpha, B,
      std::max(ldb, 1), A, std::max(lda, 1), &beta, C, std::max(ldc, 1)));
}

template <>
void GpuParts<double>::Gemm(CBLAS_TRANSPOSE trans_a, CBLAS_TRANSPOSE trans_b,
    int M, int N, int K, double alpha, const double* A, int lda,
    const double* B, int ldb, double beta, double* C, int ldc) {
  CUBLAS_CHECK(cublasDgemm(Caffe::cublas_handle(),
      trans_b == CblasNoTrans ? CUBLAS_OP_N : CUBLAS_OP_T,
      trans_a == CblasNoTrans ? CUBLAS_OP_N : CUBLAS_OP_T, N, M, K, &alpha, B,
      std::max(ldb, 1), A, std::max(lda, 1), &beta, C, std::max(ldc, 1)));
}

template <typename Dtype>
void KeptProduct<Dtype>::SetBatch() {
  const typename BatchedProduct<Dtype>::Shape shape = { num_output_,
      num_input_, num_samples_, stored_output_, stored_input_,
      turns_, compact_output_, compact_input_, tiled_ ? tile_size_ : 0 };
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
  const int num_rows = outer * num_samples_;
  if (block.output_weight.size() == 0) { return; }
  // NOLINT_NEXT_LINE(whitespace/operators)
  RectifyKernel<Dtype><<<Blocks(num_rows, block.output_weight.size()),
      Threads()>>>(bias, bias_scale_,
      GpuParts<Dtype>::Cells(block.output_weight),
      GpuParts<Dtype>::Cells(block.output_stored), num_rows, stored_output_, y);
  CUDA_POST_KERNEL_CHECK;
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
      && lazy->TakeGradient(UnionOf(output_pattern_.groups));
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
