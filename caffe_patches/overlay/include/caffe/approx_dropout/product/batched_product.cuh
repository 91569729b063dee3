#ifndef CAFFE_APPROX_DROPOUT_PRODUCT_BATCHED_PRODUCT_CUH_
#define CAFFE_APPROX_DROPOUT_PRODUCT_BATCHED_PRODUCT_CUH_

#include "caffe/approx_dropout/product/batched_blocks.hpp"
#include "caffe/common.hpp"

namespace caffe {

// The kernels of BatchedProduct. Pointers are to the device's memory; matrices
// are row major, `stride` elements from row to row, parts (blocks x rows x
// columns). Legal are all sizes above 0, all patterns that KeptGroups holds
// and all tile sizes.

const int kSumColumnsPerBlock = 32;
const int kSumRowsPerBlock = 32;

// The sides to be listed.
struct BlockSides {
  BlockSide side[4];
};

// Lists the units of every block of the groups in `output` and `input`. Grid x
// is the block, y its units and list entries, one thread per each, z the side.
// All of the blocks' lists and indices are written.
static __global__ void ListUnitsKernel(
    KeptGroups output, KeptGroups input, BlockSides sides) {
  __shared__ KeptUnits units;
  const BlockSide side = sides.side[blockIdx.z];
  const int group = blockIdx.x / side.blocks_a_group;
  if (group >= output.count) { return; }
  GetUnits(side, output, input, group, blockIdx.x % side.blocks_a_group,
      &units, threadIdx.x, blockDim.x);
  __syncthreads();
  ListBlockUnit(side, units, output.first * side.blocks_a_group + blockIdx.x,
      blockIdx.y * blockDim.x + threadIdx.x);
}

// What a thread does of the part of block blockIdx.x: kWidth neighbours of a
// row, neighbouring threads along the row; grid z strides over the rows.
__device__ inline ThreadRows OwnRows(int kWidth) {
  const ThreadRows own = { static_cast<int>(blockIdx.x),
      static_cast<int>(blockIdx.y * blockDim.x + threadIdx.x) * kWidth,
      static_cast<int>(blockIdx.z * blockDim.y + threadIdx.y),
      static_cast<int>(gridDim.z * blockDim.y) };
  return own;
}

// part = the listed part of whole, with zeros where a list has no position.
// Threads as OwnRows says. kWidth > 1 where columns are aligned runs of kWidth
// and the rows of both are aligned to 16 bytes. Overwrites all of part.
template <typename Dtype, int kWidth>
__global__ void GatherBlocksKernel(PartView<const Dtype> whole,
    BlockList rows, BlockList columns, Dtype* part) {
  const ThreadRows own = OwnRows(kWidth);
  if (own.j >= columns.size) { return; }
  GatherBlock<Dtype, kWidth>(whole, rows, columns, own, part);
}

// The listed part of whole = part, finished, or += it; no position may be
// listed twice, and the rest of whole is left alone. Threads and kWidth as in
// GatherBlocksKernel.
template <typename Dtype, int kWidth>
__global__ void ScatterBlocksKernel(const Dtype* part, BlockList rows,
    BlockList columns, BlockFinish<Dtype> finish, bool accumulate,
    PartView<Dtype> whole) {
  const ThreadRows own = OwnRows(kWidth);
  if (own.j >= columns.size) { return; }
  ScatterBlock<Dtype, kWidth>(part, rows, columns, finish, accumulate, own,
      whole);
}

// dweight (outputs x inputs) += the parts of all blocks, or = them: see
// AddParts. One thread per kWidth neighbours of a row, neighbouring threads
// along the row; grid z strides over the rows. kWidth > 1 as in
// GatherBlocksKernel.
template <typename Dtype, int kWidth>
__global__ void AddPartsKernel(const Dtype* part, OutputBlocks blocks,
    bool overwrites, Dtype* dweight) {
  const int i = (blockIdx.y * blockDim.x + threadIdx.x) * kWidth;
  if (i >= blocks.input.units) { return; }
  for (int o = blockIdx.z * blockDim.y + threadIdx.y; o < blocks.output.units;
      o += gridDim.z * blockDim.y) {
    AddParts<Dtype, kWidth>(part, blocks, o, i, overwrites, dweight);
  }
}

// sums[o] += scale * (the sum of output o's column in dy, over its groups'
// num_rows rows each). One block per 32 columns: its 32 rows of threads take
// every 32nd row, then thread row 0 adds up their sums, always in the same
// order. Outputs that no group keeps are left alone.
template <typename Dtype>
__global__ void __launch_bounds__(kSumColumnsPerBlock * kSumRowsPerBlock)
AddOutputSumsKernel(BlockParts<const Dtype> dy,
    OutputBlocks blocks, int num_rows, Dtype scale, Dtype* sums) {
  __shared__ Dtype partial[kSumRowsPerBlock][kSumColumnsPerBlock];
  const int o = blockIdx.x * kSumColumnsPerBlock + threadIdx.x;
  const int num_output = blocks.output.units;
  Dtype sum = o < num_output ? SumOutput(dy, blocks, o, num_rows,
      threadIdx.y, kSumRowsPerBlock) : Dtype(0);
  partial[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y == 0 && o < num_output) {
    for (int y = 1; y < kSumRowsPerBlock; ++y) {
      sum += partial[y][threadIdx.x];
    }
    sums[o] += scale * sum;
  }
}

}  // namespace caffe

#endif  // CAFFE_APPROX_DROPOUT_PRODUCT_BATCHED_PRODUCT_CUH_
