#include <algorithm>
#include <vector>

#include "caffe/approx_dropout/math/wide_access.hpp"
#include "caffe/approx_dropout/product/batched_blocks.hpp"
#include "caffe/approx_dropout/product/gather_scatter.cuh"
#include "caffe/approx_dropout/product/gather_scatter.hpp"
#include "caffe/util/math_functions.hpp"

// Pointers are to the device's memory; matrices are row major, `stride`
// elements from row to row. Legal are all sizes above 0 and all lists that
// name no position twice.

namespace caffe {

namespace {

const int kSumRowsPerBlock = 32;

// part (rows.size x columns.size, dense) = the listed part of whole. One thread
// per kWidth neighbours of a row, neighbouring threads along the row; blocks
// stride over the rows. kWidth > 1 where columns are aligned runs of kWidth and
// the rows of both are aligned to 16 bytes. Overwrites all of part.
template <typename Dtype, int kWidth>
__global__ void GatherKernel(const Dtype* whole, int stride, DeviceList rows,
    DeviceList columns, Dtype* part) {
  const int j = (blockIdx.x * blockDim.x + threadIdx.x) * kWidth;
  if (j >= columns.size) { return; }
  const int column = columns(j);
  for (int i = blockIdx.y * blockDim.y + threadIdx.y; i < rows.size;
      i += gridDim.y * blockDim.y) {
    *VectorAt<Dtype, kWidth>(part, static_cast<size_t>(i) * columns.size + j) =
        *VectorAt<Dtype, kWidth>(whole,
            static_cast<size_t>(rows(i)) * stride + column);
  }
}

// The listed part of whole = part, or += it; the rest of whole is left alone.
// Threads and kWidth as in GatherKernel.
template <typename Dtype, int kWidth>
__global__ void ScatterKernel(const Dtype* part, DeviceList rows,
    DeviceList columns, bool accumulate, int stride, Dtype* whole) {
  const int j = (blockIdx.x * blockDim.x + threadIdx.x) * kWidth;
  if (j >= columns.size) { return; }
  const int column = columns(j);
  for (int i = blockIdx.y * blockDim.y + threadIdx.y; i < rows.size;
      i += gridDim.y * blockDim.y) {
    AlignedVector<Dtype, kWidth> value = *VectorAt<Dtype, kWidth>(part,
        static_cast<size_t>(i) * columns.size + j);
    AlignedVector<Dtype, kWidth>* to = VectorAt<Dtype, kWidth>(whole,
        static_cast<size_t>(rows(i)) * stride + column);
    if (accumulate) { Add<Dtype, kWidth>(*to, &value); }
    *to = value;
  }
}

// part[i][j] = scale * values[columns(j)] for i < num_rows. One thread per
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
// i < num_rows; bias: NULL for none. One thread per element, otherwise as in
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

// sums[columns(j)] += scale * (the sum of column j of part). One block per 32
// columns: its 32 rows of threads take every 32nd row, then thread row 0 adds
// up their sums, always in the same order.
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

template <typename Dtype>
void DescribeOnDevice(const int* device, IndexList* list) {
  list->aligned16 = HasAligned16Runs<Dtype>(list->index);
  list->device = device;
  list->run_stride = list->stride;
}

// Says where in the device's memory a side's lists are, from *memory on, which
// then is the end of them. Lists of one stride need no memory.
template <typename Dtype>
UnitLists PlaceLists(SideLists* side, int** memory) {
  UnitLists lists = { NULL, NULL };
  if (side->weight.stride == 0 || side->stored.stride == 0) {
    lists.weight = *memory;
    lists.stored = *memory + side->weight.size();
    *memory += 2 * side->weight.size();
  }
  DescribeOnDevice<Dtype>(lists.weight, &side->weight);
  DescribeOnDevice<Dtype>(lists.stored, &side->stored);
  return lists;
}

// Whether a kernel can take 16 bytes of whole and of part at a time.
template <typename Dtype>
bool CanAlign16(const IndexList& columns, const Dtype* whole, int stride,
    const Dtype* part) {
  return columns.aligned16 && IsAligned16(whole, stride) && IsAligned16(part);
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
  if (count == 0) { return; }
  caffe_gpu_memset(count * sizeof(Dtype), 0, data);
}

template <typename Dtype>
void GpuParts<Dtype>::Gather(const Dtype* whole, int stride,
    const IndexList& rows, const IndexList& columns, Dtype* part) {
  if (rows.size() == 0 || columns.size() == 0) { return; }
  const int width = Aligned16<Dtype>::kWidth;
  if (CanAlign16(columns, whole, stride, part)) {
    // NOLINT_NEXT_LINE(whitespace/operators)
    GatherKernel<Dtype, width><<<Blocks(rows.size(), columns.size() / width),
        Threads()>>>(whole, stride, Cells(rows), Cells(columns), part);
  } else {
    // NOLINT_NEXT_LINE(whitespace/operators)
    GatherKernel<Dtype, 1><<<Blocks(rows.size(), columns.size()),
        Threads()>>>(whole, stride, Cells(rows), Cells(columns), part);
  }
  CUDA_POST_KERNEL_CHECK;
}

template <typename Dtype>
void GpuParts<Dtype>::Scatter(const Dtype* part, const IndexList& rows,
    const IndexList& columns, bool accumulate, int stride, Dtype* whole) {
  if (rows.size() == 0 || columns.size() == 0) { return; }
  const int width = Aligned16<Dtype>::kWidth;
  if (CanAlign16(columns, whole, stride, part)) {
    // NOLINT_NEXT_LINE(whitespace/operators)
    ScatterKernel<Dtype, width><<<Blocks(rows.size(), columns.size() / width),
        Threads()>>>(part, Cells(rows), Cells(columns), accumulate, stride,
        whole);
  } else {
    // NOLINT_NEXT_LINE(whitespace/operators)
    ScatterKernel<Dtype, 1><<<Blocks(rows.size(), columns.size()),
        Threads()>>>(part, Cells(rows), Cells(columns), accumulate, stride,
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

template <typename Dtype>
void GpuParts<Dtype>::Rectify(const Dtype* bias, Dtype scale,
    const SideLists& outputs, int num_rows, int stride, Dtype* y) {
  if (num_rows == 0 || outputs.weight.size() == 0) { return; }
  // NOLINT_NEXT_LINE(whitespace/operators)
  RectifyKernel<Dtype><<<Blocks(num_rows, outputs.weight.size()),
      Threads()>>>(bias, scale, Cells(outputs.weight), Cells(outputs.stored),
      num_rows, stride, y);
  CUDA_POST_KERNEL_CHECK;
}

template <typename Dtype>
void GpuParts<Dtype>::ListOnDevice(const vector<SideLists*>& sides,
    shared_ptr<Blob<int> >* memory) {
  size_t size = 0;
  for (size_t s = 0; s < sides.size(); ++s) {
    size += 2 * sides[s]->weight.size();
  }
  if (!*memory) { memory->reset(new Blob<int>()); }
  if (size > (*memory)->count()) {
    (*memory)->Reshape(vector<int>(1, size));
  }
  int* next = size ? (*memory)->mutable_gpu_data() : NULL;
  for (size_t s = 0; s < sides.size(); s += 2) {
    SideLists* output = sides[s];
    SideLists* input = sides[s + 1];
    const UnitLists outputs = PlaceLists<Dtype>(output, &next);
    const UnitLists inputs = PlaceLists<Dtype>(input, &next);
    if (!outputs.weight && !inputs.weight) { continue; }
    const int units = std::max(output->kept.units, input->kept.units);
    // NOLINT_NEXT_LINE(whitespace/operators)
    ListUnitsKernel<<<CAFFE_GET_BLOCKS(units), CAFFE_CUDA_NUM_THREADS>>>(
        output->kept, output->compact, outputs, input->kept, input->compact,
        inputs, units);
    CUDA_POST_KERNEL_CHECK;
  }
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

INSTANTIATE_CLASS(GpuParts);

}  // namespace caffe
