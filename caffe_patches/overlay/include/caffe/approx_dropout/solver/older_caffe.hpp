#ifndef CAFFE_APPROX_DROPOUT_SOLVER_OLDER_CAFFE_HPP_
#define CAFFE_APPROX_DROPOUT_SOLVER_OLDER_CAFFE_HPP_

#include "caffe/common.hpp"
#include "caffe/net.hpp"

/**
 * What forks from before Caffe 1.0 have no words for, SSD's for one: there are
 * no replicas in processes of their own, and nobody watches a net's layers.
 * Each question has two overloads; the first drops out where Caffe cannot
 * answer it.
 */
namespace caffe {

template <typename AnyCaffe>
auto IsMultiprocess(int) -> decltype(AnyCaffe::multiprocess()) {
  return AnyCaffe::multiprocess();
}

template <typename AnyCaffe>
bool IsMultiprocess(...) {
  return false;
}

template <typename AnyNet>
auto IsWatched(const AnyNet& net, int)
    -> decltype(net.after_backward().empty()) {
  return !(net.before_forward().empty() && net.after_forward().empty()
      && net.before_backward().empty() && net.after_backward().empty());
}

template <typename AnyNet>
bool IsWatched(const AnyNet&, ...) {
  return false;
}

}  // namespace caffe

#endif  // CAFFE_APPROX_DROPOUT_SOLVER_OLDER_CAFFE_HPP_
