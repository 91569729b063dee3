#ifndef CAFFE_APPROX_DROPOUT_UPDATE_MEMORY_VIEW_HPP_
#define CAFFE_APPROX_DROPOUT_UPDATE_MEMORY_VIEW_HPP_

#include "caffe/blob.hpp"

namespace caffe {

/// @brief While it lives, somebody sees a blob's values or gradients without
///        asking for them, as a NumPy array does: the solver leaves nothing
///        pending in them when Step returns. It also keeps the memory.
template <typename Dtype>
class MemoryView {
 public:
  explicit MemoryView(const Blob<Dtype>& blob)
      : data_(blob.data()), diff_(blob.diff()) {
    data_->add_views(1);
  }
  ~MemoryView() { data_->add_views(-1); }

 private:
  shared_ptr<SyncedMemory> data_, diff_;

  DISABLE_COPY_AND_ASSIGN(MemoryView);
};

}  // namespace caffe

#endif  // CAFFE_APPROX_DROPOUT_UPDATE_MEMORY_VIEW_HPP_
