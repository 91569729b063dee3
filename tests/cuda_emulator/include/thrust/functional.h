#ifndef CUDA_EMULATOR_THRUST_FUNCTIONAL_H_
#define CUDA_EMULATOR_THRUST_FUNCTIONAL_H_

// Caffe includes it and uses nothing of it.

#endif  // CUDA_EMULATOR_THRUST_FUNCTIONAL_H_
