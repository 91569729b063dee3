#ifndef CAFFE_APPROX_DROPOUT_MATH_PARALLEL_HPP_
#define CAFFE_APPROX_DROPOUT_MATH_PARALLEL_HPP_

#ifdef _OPENMP
#include <omp.h>
#endif

namespace caffe {

/// Below this many elements to copy or to add, a loop is not worth waking
/// threads for.
const int kParallelElements = 1 << 14;

/// @brief How many threads a parallel region has, at most.
inline int MaxThreads() {
#ifdef _OPENMP
  return omp_get_max_threads();
#else
  return 1;
#endif
}

/// @brief The calling thread's number, below MaxThreads().
inline int ThreadIndex() {
#ifdef _OPENMP
  return omp_get_thread_num();
#else
  return 0;
#endif
}

}  // namespace caffe

#endif  // CAFFE_APPROX_DROPOUT_MATH_PARALLEL_HPP_
