#ifndef CUDA_EMULATOR_THRUST_DEVICE_VECTOR_H_
#define CUDA_EMULATOR_THRUST_DEVICE_VECTOR_H_

// Caffe includes it and uses nothing of it.

#endif  // CUDA_EMULATOR_THRUST_DEVICE_VECTOR_H_
