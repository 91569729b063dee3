#include "caffe/approx_dropout/update/pending_parameter.hpp"

namespace caffe {

void StepThread::Begin() {
  std::lock_guard<std::mutex> lock(mutex_);
  stepping_ = std::this_thread::get_id();
}

void StepThread::End() {
  std::lock_guard<std::mutex> lock(mutex_);
  stepping_ = std::thread::id();
}

template <typename Dtype>
PendingParameter<Dtype>::~PendingParameter() {
  update_->ShowDiff();
  memory_.Leave(this);
}

template <typename Dtype>
void PendingParameter<Dtype>::Finish(const SyncedMemory* memory) {
  thread_->Run([this, memory] {
    if (memory == memory_.diff.get()) {
      update_->ShowDiff();
    } else {
      update_->CatchUpAll();
    }
  });
}

INSTANTIATE_CLASS(PendingParameter);

}  // namespace caffe
