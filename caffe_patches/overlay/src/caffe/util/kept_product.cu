#include <algorithm>
#include <vector>

#include "caffe/util/kept_parts.hpp"
#include "caffe/util/kept_product.hpp"
#include "caffe/util/kept_product_steps.hpp"
#include "caffe/util/math_functions.hpp"

namespace caffe {

namespace {

const int kColumnsPerBlock = 32;
const int kRowsPerBlock = 8;
const int kMaxGridRows = 1024;

// An IndexList as a kernel takes it.
struct DeviceList {
  const int* index;
  int first, run, run_stride;

  explicit DeviceList(const IndexList& list)
      : index(list.device), first(list.first()), run(list.run),
        run_stride(list.run_stride) {}

  __device__ int operator()(int i) const {
    return index ? index[i] : first + i / run * run_stride + i % run;
  }
};

dim3 Threads() { return dim3(kColumnsPerBlock, kRowsPerBlock); }

dim3 Blocks(int num_rows, int num_columns) {
  const int rows = (num_rows + kRowsPerBlock - 1) / kRowsPerBlock;
  return dim3((num_columns + kColumnsPerBlock - 1) / kColumnsPerBlock,
      std::min(rows, kMaxGridRows));
}

// weight[j] and stored[j]: the j-th unit that takes part and its place in
// storage. A thread a unit; legal: any KeptUnits. All kept.size() elements of
// both are written.
__global__ void ListUnitsKernel(KeptUnits kept, bool compact, int* weight,
    int* stored) {
  CUDA_KERNEL_LOOP(unit, kept.units) {
    if (kept.has(unit)) {
      const int j = kept.count(unit);
      weight[j] = unit;
      stored[j] = kept.place(unit, compact);
    }
  }
}

// part (num_rows x num_columns, dense) = the listed part of whole. A thread
// an element, neighbours along a row; blocks stride over the rows. Overwrites
// all of part.
template <typename Dtype>
__global__ void GatherKernel(const Dtype* whole, int stride, DeviceList rows,
    int num_rows, DeviceList columns, int num_columns, Dtype* part) {
  const int j = blockIdx.x * blockDim.x + threadIdx.x;
  if (j >= num_columns) { return; }
  const int column = columns(j);
  for (int i = blockIdx.y * blockDim.y + threadIdx.y; i < num_rows;
      i += gridDim.y * blockDim.y) {
    part[static_cast<size_t>(i) * num_columns + j] =
        whole[static_cast<size_t>(rows(i)) * stride + column];
  }
}

// The listed part of whole = part, or += it. Threads as in GatherKernel; no
// element is listed twice. The rest of whole is left alone.
template <typename Dtype>
__global__ void ScatterKernel(const Dtype* part, DeviceList rows, int num_rows,
    DeviceList columns, int num_columns, bool accumulate, int stride,
    Dtype* whole) {
  const int j = blockIdx.x * blockDim.x + threadIdx.x;
  if (j >= num_columns) { return; }
  const int column = columns(j);
  for (int i = blockIdx.y * blockDim.y + threadIdx.y; i < num_rows;
      i += gridDim.y * blockDim.y) {
    Dtype* to = whole + static_cast<size_t>(rows(i)) * stride + column;
    const Dtype value = part[static_cast<size_t>(i) * num_columns + j];
    *to = accumulate ? *to + value : value;
  }
}

// part[i][j] = scale * values[columns[j]]; rows of part are `stride` apart.
// Threads as in GatherKernel.
template <typename Dtype>
__global__ void FillRowsKernel(const Dtype* values, Dtype scale,
    DeviceList columns, int num_columns, int num_rows, int stride,
    Dtype* part) {
  const int j = blockIdx.x * blockDim.x + threadIdx.x;
  if (j >= num_columns) { return; }
  const Dtype value = scale * values[columns(j)];
  for (int i = blockIdx.y * blockDim.y + threadIdx.y; i < num_rows;
      i += gridDim.y * blockDim.y) {
    part[static_cast<size_t>(i) * stride + j] = value;
  }
}

// sums[columns[j]] += scale * (the sum of column j of part). A block sums 32
// columns: its 8 rows of threads take every 8th row, then thread row 0 adds
// their sums up. No column is listed twice.
template <typename Dtype>
__global__ void AddColumnSumsKernel(const Dtype* part, int stride,
    int num_rows, DeviceList columns, int num_columns, Dtype scale,
    Dtype* sums) {
  __shared__ Dtype partial[kRowsPerBlock][kColumnsPerBlock];
  const int j = blockIdx.x * kColumnsPerBlock + threadIdx.x;
  Dtype sum = 0;
  if (j < num_columns) {
    for (int i = threadIdx.y; i < num_rows; i += kRowsPerBlock) {
      sum += part[static_cast<size_t>(i) * stride + j];
    }
  }
  partial[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y == 0 && j < num_columns) {
    for (int y = 1; y < kRowsPerBlock; ++y) { sum += partial[y][threadIdx.x]; }
    sums[columns(j)] += scale * sum;
  }
}

// The lists of one side of a block, in the device's memory from `memory` on;
// returns the end of what was written.
int* ListOnDevice(const KeptUnits& kept, bool compact, IndexList* weight,
    IndexList* stored, int* memory) {
  const int size = weight->size();
  weight->device = memory;
  stored->device = memory + size;
  if (size > 0) {
    // NOLINT_NEXT_LINE(whitespace/operators)
    ListUnitsKernel<<<CAFFE_GET_BLOCKS(kept.units), CAFFE_CUDA_NUM_THREADS>>>(
        kept, compact, memory, memory + size);
    CUDA_POST_KERNEL_CHECK;
  }
  return memory + 2 * size;
}

}  // namespace

template <typename Dtype>
Dtype* GpuParts<Dtype>::Grow(shared_ptr<Blob<Dtype> >* buffer, size_t size) {
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
  // NOLINT_NEXT_LINE(whitespace/operators)
  GatherKernel<Dtype><<<Blocks(rows.size(), columns.size()), Threads()>>>(
      whole, stride, DeviceList(rows), rows.size(), DeviceList(columns),
      columns.size(), part);
  CUDA_POST_KERNEL_CHECK;
}

template <typename Dtype>
void GpuParts<Dtype>::Scatter(const Dtype* part, const IndexList& rows,
    const IndexList& columns, bool accumulate, int stride, Dtype* whole) {
  if (rows.size() == 0 || columns.size() == 0) { return; }
  // NOLINT_NEXT_LINE(whitespace/operators)
  ScatterKernel<Dtype><<<Blocks(rows.size(), columns.size()), Threads()>>>(
      part, DeviceList(rows), rows.size(), DeviceList(columns),
      columns.size(), accumulate, stride, whole);
  CUDA_POST_KERNEL_CHECK;
}

template <typename Dtype>
void GpuParts<Dtype>::FillRows(const Dtype* values, Dtype scale,
    const IndexList& columns, int num_rows, const PartView<Dtype>& part) {
  // NOLINT_NEXT_LINE(whitespace/operators)
  FillRowsKernel<Dtype><<<Blocks(num_rows, columns.size()), Threads()>>>(
      values, scale, DeviceList(columns), columns.size(), num_rows,
      part.stride, part.data);
  CUDA_POST_KERNEL_CHECK;
}

template <typename Dtype>
void GpuParts<Dtype>::AddColumnSums(const PartView<const Dtype>& part,
    int num_rows, Dtype scale, const IndexList& columns, Dtype* sums) {
  // NOLINT_NEXT_LINE(whitespace/operators)
  AddColumnSumsKernel<Dtype><<<Blocks(1, columns.size()), Threads()>>>(
      part.data, part.stride, num_rows, DeviceList(columns), columns.size(),
      scale, sums);
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
void KeptProduct<Dtype>::PackWeights_gpu(const Dtype* weight) {
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
    memory = ListOnDevice(blocks[b]->output, compact_output_,
        &blocks[b]->output_weight, &blocks[b]->output_stored, memory);
    memory = ListOnDevice(blocks[b]->input, compact_input_,
        &blocks[b]->input_weight, &blocks[b]->input_stored, memory);
  }
  PackWeights<GpuParts<Dtype> >(weight);
}

template <typename Dtype>
void KeptProduct<Dtype>::Forward_gpu(int outer, const Dtype* x,
    const Dtype* bias, bool accumulate, Dtype* y) {
  Forward<GpuParts<Dtype> >(outer, x, bias, accumulate, y);
}

template <typename Dtype>
void KeptProduct<Dtype>::Backward_gpu(int outer, const Dtype* x,
    const Dtype* dy, Dtype* dx, Dtype* dweight, Dtype* dbias) {
  Backward<GpuParts<Dtype> >(outer, x, dy, dx, dweight, dbias);
}

#define INSTANTIATE_KEPT_PRODUCT_GPU(Dtype) \
  template void KeptProduct<Dtype>::PackWeights_gpu(const Dtype* weight); \
  template void KeptProduct<Dtype>::Forward_gpu(int outer, const Dtype* x, \
      const Dtype* bias, bool accumulate, Dtype* y); \
  template void KeptProduct<Dtype>::Backward_gpu(int outer, const Dtype* x, \
      const Dtype* dy, Dtype* dx, Dtype* dweight, Dtype* dbias)

INSTANTIATE_KEPT_PRODUCT_GPU(float);
INSTANTIATE_KEPT_PRODUCT_GPU(double);

}  // namespace caffe
