#ifndef CAFFE_APPROX_DROPOUT_UPDATE_LAZY_LAYER_HPP_
#define CAFFE_APPROX_DROPOUT_UPDATE_LAZY_LAYER_HPP_

#include <algorithm>
#include <vector>

#include "caffe/approx_dropout/update/lazy_parameter.hpp"
#include "caffe/blob.hpp"

namespace caffe {

/**
 * @brief A layer that says which parts of its parameters it reads and gives
 *        gradients to. Between SetLazy(i, p) and SetLazy(i, NULL) it calls
 *        CatchUp and ClaimGradient of *p, or on the GPU of *p->device(), for
 *        its i-th parameter, and takes that by CpuWeights and so on.
 */
template <typename Dtype>
class LazyLayer {
 public:
  virtual ~LazyLayer() {}
  /// @brief Whether the i-th parameter can be updated lazily.
  virtual bool CanBeLazy(int param_id) const = 0;
  virtual void SetLazy(int param_id, LazyParameter<Dtype>* lazy) = 0;
  /// @brief Whether patterns alone, and not the samples, say which cells get a
  ///        gradient, so that they are the same where other samples are.
  virtual bool PatternsChooseCells() const { return false; }
};

/// @brief The blob's values as they lie in memory, for a layer that tells *lazy
///        which of them it uses; all of them up to date if lazy is NULL. (The
///        blob's own functions always bring all up to date.)
template <typename Dtype>
const Dtype* CpuWeights(
    const Blob<Dtype>& blob, const LazyParameter<Dtype>* lazy) {
  return lazy ? static_cast<const Dtype*>(blob.data()->raw_cpu_data())
              : blob.cpu_data();
}
template <typename Dtype>
const Dtype* GpuWeights(
    const Blob<Dtype>& blob, const LazyParameter<Dtype>* lazy) {
  return lazy ? static_cast<const Dtype*>(blob.data()->raw_gpu_data())
              : blob.gpu_data();
}
/// @brief The same of its gradient.
template <typename Dtype>
Dtype* CpuGradient(Blob<Dtype>* blob, const LazyParameter<Dtype>* lazy) {
  return lazy ? static_cast<Dtype*>(blob->diff()->raw_mutable_cpu_data())
              : blob->mutable_cpu_diff();
}
template <typename Dtype>
Dtype* GpuGradient(Blob<Dtype>* blob, const LazyParameter<Dtype>* lazy) {
  return lazy ? static_cast<Dtype*>(blob->diff()->raw_mutable_gpu_data())
              : blob->mutable_gpu_diff();
}

/// @brief The distinct values of a blob of whole numbers, ascending.
template <typename Dtype>
vector<int> DistinctValues(const Blob<Dtype>& blob) {
  vector<int> values(blob.cpu_data(), blob.cpu_data() + blob.count());
  std::sort(values.begin(), values.end());
  values.erase(std::unique(values.begin(), values.end()), values.end());
  return values;
}

}  // namespace caffe

#endif  // CAFFE_APPROX_DROPOUT_UPDATE_LAZY_LAYER_HPP_
