#ifndef CAFFE_APPROX_DROPOUT_PRODUCT_DEVICE_BLOCKS_CUH_
#define CAFFE_APPROX_DROPOUT_PRODUCT_DEVICE_BLOCKS_CUH_

#include <algorithm>

#include "caffe/approx_dropout/product/batched_blocks.hpp"
#include "caffe/common.hpp"

namespace caffe {

// The kernels of DeviceBlocks and BatchedProduct. Pointers are to the device's
// memory; matrices are row major, `stride` elements from row to row, parts a
// matrix for each block. Legal are all sizes above 0, all patterns that
// KeptGroups holds and all tile sizes.

const int kColumnsPerBlock = 32;
const int kRowsPerBlock = 8;
const int kSumColumns = 8;
const int kSumRows = 128;

// The shape of kernels that copy parts: one thread per element, or per 16 bytes
// of a row, neighbouring threads along a row, kRowsAtOnce rows each. Grid x is
// the product's block: those that run side by side then read the same rows.
inline dim3 Threads() { return dim3(kColumnsPerBlock, kRowsPerBlock); }

inline dim3 Grid(int num_blocks, int num_rows, int num_columns) {
  const int kMaxGrid = 65535;  // more rows are strided over
  const int kRows = kRowsPerBlock * kRowsAtOnce;
  const int across = (num_columns - 1) / kColumnsPerBlock + 1;
  CHECK_LE(across, kMaxGrid) << "a row of weights has too many columns for a "
                             << "GPU: " << num_columns;
  return dim3(num_blocks, across,
      std::min((num_rows - 1) / kRows + 1, kMaxGrid));
}

// Lists the units of every block of the groups in `output` and `input`. Grid x
// is the block, y its units and list entries, one thread per each, z the side.
// All of the blocks' lists and indices are written, of a side that has any.
static __global__ void ListUnitsKernel(KeptGroups output, KeptGroups input,
    BlockSide output_side, BlockSide input_side) {
  __shared__ KeptUnits units;
  // Not by an index, which would take it through local memory.
  const BlockSide side = blockIdx.z == 0 ? output_side : input_side;
  const int group = blockIdx.x / side.blocks_a_group;
  if (!side.weight) {
    return;
  }
  GetUnits(side, output, input, group, blockIdx.x % side.blocks_a_group, &units,
      threadIdx.x, blockDim.x);
  __syncthreads();
  ListBlockUnit(side, units, output.first * side.blocks_a_group + blockIdx.x,
      blockIdx.y * blockDim.x + threadIdx.x);
}

// What a thread does of the part of block blockIdx.x: kWidth neighbours of a
// row, neighbouring threads along the row; grid z strides over the rows.
__device__ inline ThreadRows OwnRows(int kWidth) {
  const ThreadRows own = {static_cast<int>(blockIdx.x),
      static_cast<int>(blockIdx.y * blockDim.x + threadIdx.x) * kWidth,
      static_cast<int>(blockIdx.z * blockDim.y + threadIdx.y),
      static_cast<int>(gridDim.z * blockDim.y)};
  return own;
}

// part = the listed part of whole, with zeros where a list has no position.
// Threads as OwnRows says. kWidth > 1 where columns are aligned runs of kWidth
// and the rows of both are aligned to 16 bytes. Overwrites all of part.
template <typename Dtype, int kWidth>
__global__ void GatherBlocksKernel(PartView<const Dtype> whole, BlockList rows,
    BlockList columns, MatrixBatch<Dtype> parts) {
  const ThreadRows own = OwnRows(kWidth);
  if (own.j >= columns.size) {
    return;
  }
  GatherBlock<Dtype, kWidth>(whole, rows, columns, own, parts);
}

// The listed part of whole = part, finished, or += it; no position may be
// listed twice, and the rest of whole is left alone. Threads and kWidth as in
// GatherBlocksKernel. What is added to the block's columns is looked up once,
// for all of its rows.
template <typename Dtype, int kWidth>
__global__ void ScatterBlocksKernel(MatrixBatch<const Dtype> parts,
    BlockList rows, BlockList columns, BlockFinish<Dtype> finish,
    bool accumulate, PartView<Dtype> whole) {
  __shared__ AlignedVector<Dtype, kWidth> added[kColumnsPerBlock];
  const int first = blockIdx.y * kColumnsPerBlock * kWidth;
  for (int k = threadIdx.y * kColumnsPerBlock + threadIdx.x;
       k < kColumnsPerBlock * kWidth; k += kColumnsPerBlock * kRowsPerBlock) {
    const int j = first + k;
    const bool there = j < columns.size && columns(blockIdx.x, j) >= 0;
    added[k / kWidth].value[k % kWidth] =
        there ? finish.Added(blockIdx.x, j) : Dtype(0);
  }
  __syncthreads();
  const ThreadRows own = OwnRows(kWidth);
  if (own.j < columns.size) {
    ScatterBlock<Dtype, kWidth>(parts, rows, columns, added[threadIdx.x],
        finish.rectify, accumulate, own, whole);
  }
}

// The rows of a group in whole, `stored` columns, = the sums of its blocks'
// parts: see SumBlocks. Grid x is the group; otherwise as GatherBlocksKernel,
// threads along the columns of whole.
template <typename Dtype, int kWidth>
__global__ void SumBlocksKernel(MatrixBatch<const Dtype> parts, BlockSide input,
    BlockList rows, int stored, PartView<Dtype> whole) {
  const ThreadRows own = OwnRows(kWidth);
  if (own.j >= stored) {
    return;
  }
  SumBlocks<Dtype, kWidth>(parts, input, rows, own, whole);
}

// dweight (outputs x inputs) += the parts of all blocks, or = them: see
// AddParts. As GatherBlocksKernel, threads along the rows of dweight; grid x is
// 1.
template <typename Dtype, int kWidth>
__global__ void AddPartsKernel(MatrixBatch<const Dtype> parts,
    ProductBlocks blocks, bool overwrites, Dtype* dweight) {
  const ThreadRows own = OwnRows(kWidth);
  if (own.j >= blocks.input.units) {
    return;
  }
  AddParts<Dtype, kWidth>(parts, blocks, own, overwrites, dweight);
}

// sums[o] += scale * (the sum of output o's column in dy, over its groups'
// num_rows rows each). One block per 8 columns, a sector of float32: its 128
// rows of threads take every 128th row, then halves of them add up their sums,
// always in the same order. Outputs that no group keeps are left alone.
template <typename Dtype>
__global__ void __launch_bounds__(kSumColumns* kSumRows)
    AddOutputSumsKernel(MatrixBatch<const Dtype> dy, ProductBlocks blocks,
        int num_rows, Dtype scale, Dtype* sums) {
  __shared__ Dtype partial[kSumRows][kSumColumns];
  const int o = blockIdx.x * kSumColumns + threadIdx.x;
  const int num_output = blocks.output.units;
  Dtype* own = &partial[threadIdx.y][threadIdx.x];
  *own = o < num_output
             ? SumOutput(dy, blocks, o, num_rows, threadIdx.y, kSumRows)
             : Dtype(0);
  __syncthreads();
  for (int half = kSumRows / 2; half > 0; half /= 2) {
    if (threadIdx.y < half) {
      *own += own[half * kSumColumns];
    }
    __syncthreads();
  }
  if (threadIdx.y == 0 && o < num_output) {
    sums[o] += scale * *own;
  }
}

}  // namespace caffe

#endif  // CAFFE_APPROX_DROPOUT_PRODUCT_DEVICE_BLOCKS_CUH_
