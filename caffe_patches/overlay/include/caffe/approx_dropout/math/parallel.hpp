#ifndef CAFFE_APPROX_DROPOUT_MATH_PARALLEL_HPP_
#define CAFFE_APPROX_DROPOUT_MATH_PARALLEL_HPP_

#ifdef _OPENMP
#include <omp.h>
#endif

#include <vector>

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

/// @brief Gives each thread of the next parallel region an element of its own,
///        by ThreadIndex(). Others may change the number of threads at any
///        time between two regions.
template <typename T>
void GrowForThreads(std::vector<T>* elements) {
  if (elements->size() < MaxThreads()) { elements->resize(MaxThreads()); }
}

}  // namespace caffe

#endif  // CAFFE_APPROX_DROPOUT_MATH_PARALLEL_HPP_
