#ifndef CAFFE_APPROX_DROPOUT_RANKS_DEVICE_SUMS_HPP_
#define CAFFE_APPROX_DROPOUT_RANKS_DEVICE_SUMS_HPP_

#include "caffe/approx_dropout/ranks/ranks.hpp"

namespace caffe {

/**
 * @brief Sums over all ranks of values on their GPUs, by NCCL, which takes
 *        NVLink or the network itself: MPI only tells the ranks of each other.
 *        It works on a stream of its own, beside what the GPU does.
 */
class DeviceSums {
 public:
  /// @brief For the GPU that this rank has set; NULL in CPU mode, and in a
  ///        build without NCCL. Waits until all ranks call it.
  static shared_ptr<DeviceSums> Make(Ranks* ranks);
  virtual ~DeviceSums() {}

  /// @brief Replaces values on the GPU, as what was launched in the default
  ///        stream leaves them, by scale times their sums, the same bits on
  ///        each rank. All ranks must call it in the same order. Until Wait
  ///        the values must not be touched.
  virtual void Start(float scale, float* values, int count) = 0;
  virtual void Start(double scale, double* values, int count) = 0;
  /// @brief What the default stream is given from now on comes after the sums.
  ///        Returns at once.
  virtual void Wait() = 0;
};

}  // namespace caffe

#endif  // CAFFE_APPROX_DROPOUT_RANKS_DEVICE_SUMS_HPP_
