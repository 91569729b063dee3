#ifndef CAFFE_APPROX_DROPOUT_PRODUCT_GATHER_SCATTER_CUH_
#define CAFFE_APPROX_DROPOUT_PRODUCT_GATHER_SCATTER_CUH_

#include <algorithm>

namespace caffe {

// The launch shape of kernels that copy parts of matrices: one thread per
// element, or per 16 bytes of a row, neighbouring threads along a row.

const int kColumnsPerBlock = 32;
const int kRowsPerBlock = 8;
// Rows of blocks; more rows of a matrix are strided over.
const int kMaxGridRows = 1024;

inline dim3 Threads() { return dim3(kColumnsPerBlock, kRowsPerBlock); }

inline dim3 Blocks(int num_rows, int num_columns) {
  const int rows = (num_rows + kRowsPerBlock - 1) / kRowsPerBlock;
  return dim3((num_columns + kColumnsPerBlock - 1) / kColumnsPerBlock,
      std::min(rows, kMaxGridRows));
}

}  // namespace caffe

#endif  // CAFFE_APPROX_DROPOUT_PRODUCT_GATHER_SCATTER_CUH_
