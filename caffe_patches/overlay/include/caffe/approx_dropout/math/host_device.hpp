#ifndef CAFFE_APPROX_DROPOUT_MATH_HOST_DEVICE_HPP_
#define CAFFE_APPROX_DROPOUT_MATH_HOST_DEVICE_HPP_

// For functions that host code and kernels share.
#ifdef __CUDACC__
#define CAFFE_HOST_DEVICE __host__ __device__
#else
#define CAFFE_HOST_DEVICE
#endif

#endif  // CAFFE_APPROX_DROPOUT_MATH_HOST_DEVICE_HPP_
