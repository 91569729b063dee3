#ifndef CUDA_EMULATOR_CAFFE_UTIL_GPU_UTIL_CUH_
#define CUDA_EMULATOR_CAFFE_UTIL_GPU_UTIL_CUH_

// In place of Caffe's: there the sum of doubles begins with a plain read of
// what other threads change. That is harmless, since the value is compared
// again in the exchange, and yet a race.

namespace caffe {

template <typename Dtype>
inline __device__ Dtype caffe_gpu_atomic_add(const Dtype val, Dtype* address) {
  return atomicAdd(address, val);
}

}  // namespace caffe

#endif  // CUDA_EMULATOR_CAFFE_UTIL_GPU_UTIL_CUH_
