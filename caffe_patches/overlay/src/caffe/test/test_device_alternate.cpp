#ifndef CPU_ONLY
#include <limits>
#include <vector>

#include "caffe/common.hpp"
#include "caffe/test/test_caffe_main.hpp"
#include "gtest/gtest.h"

namespace caffe {

// What a thread of a kernel visits, up to the fifth element.
static vector<int> Visited(
    int count, dim3 gridDim, dim3 blockDim, dim3 blockIdx, dim3 threadIdx) {
  vector<int> visited;
  CUDA_KERNEL_LOOP(i, count) {
    visited.push_back(i);
    if (visited.size() == 5) {
      break;
    }
  }
  return visited;
}

TEST(DeviceAlternateGPUTest, TestVisitsEveryNth) {
  EXPECT_EQ(vector<int>({5, 17, 29}), Visited(30, 3, 4, 1, 1));
  EXPECT_EQ(vector<int>({5, 17}), Visited(29, 3, 4, 1, 1));
  EXPECT_EQ(vector<int>(), Visited(5, 3, 4, 1, 1));
}

// A loop over as many elements as a blob can have.
TEST(DeviceAlternateGPUTest, TestEndsBeforeIndexOverflows) {
  const int most = std::numeric_limits<int>::max();
  const int threads = CAFFE_CUDA_NUM_THREADS;
  const int blocks = CAFFE_GET_BLOCKS(most);
  EXPECT_EQ(1 << 22, blocks);
  EXPECT_EQ(vector<int>(1, 0), Visited(most, blocks, threads, 0, 0));
  EXPECT_EQ(vector<int>(1, most - 1),
      Visited(most, blocks, threads, blocks - 1, threads - 2));
  EXPECT_EQ(
      vector<int>(), Visited(most, blocks, threads, blocks - 1, threads - 1));
  // The first half of the blocks, each of which does the work of two.
  const int half = 1 << 30;
  EXPECT_EQ(
      vector<int>({7, half + 7}), Visited(most, blocks / 2, threads, 0, 7));
}

TEST(DeviceAlternateGPUTest, TestNumberOfBlocks) {
  EXPECT_EQ(1, CAFFE_GET_BLOCKS(1));
  EXPECT_EQ(1, CAFFE_GET_BLOCKS(512));
  EXPECT_EQ(2, CAFFE_GET_BLOCKS(513));
}

}  // namespace caffe
#endif
