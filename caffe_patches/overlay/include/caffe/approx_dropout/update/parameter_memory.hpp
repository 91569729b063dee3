#ifndef CAFFE_APPROX_DROPOUT_UPDATE_PARAMETER_MEMORY_HPP_
#define CAFFE_APPROX_DROPOUT_UPDATE_PARAMETER_MEMORY_HPP_

#include <vector>

#include "caffe/approx_dropout/update/pending_updates.hpp"
#include "caffe/blob.hpp"

namespace caffe {

/// @brief Where a parameter's values, its gradients and the solver's histories
///        of it lie, even if the blobs get other memory meanwhile.
struct ParameterMemory {
  ParameterMemory() {}
  /// @brief history2 is NULL for solvers with one.
  template <typename Dtype>
  ParameterMemory(const Blob<Dtype>& param, const Blob<Dtype>& history,
      const Blob<Dtype>* history2)
      : data(param.data()), diff(param.diff()) {
    this->history[0] = history.data();
    if (history2) {
      this->history[1] = history2->data();
    }
  }

  shared_ptr<SyncedMemory> data, diff, history[2];

  bool operator==(const ParameterMemory& other) const {
    return data == other.data && diff == other.diff &&
           history[0] == other.history[0] && history[1] == other.history[1];
  }

  /// @brief Finishes what waits in there, for whom it may be.
  void Finish() const {
    for (SyncedMemory* memory : all()) { memory->finished(); }
  }
  /// @brief Finishes what waits for anyone but `owner`, who is called from now
  ///        on before others get a pointer; NULL: nobody is.
  void Guard(PendingUpdates* owner) const {
    for (SyncedMemory* memory : all()) {
      if (memory->pending() != owner) {
        memory->finished()->set_pending(owner);
      }
    }
  }
  /// @brief Ends that.
  void Leave(const PendingUpdates* owner) const {
    for (SyncedMemory* memory : all()) {
      // Else another solver with the same weights has taken over.
      if (memory->pending() == owner) {
        memory->set_pending(NULL);
      }
    }
  }

 private:
  vector<SyncedMemory*> all() const {
    vector<SyncedMemory*> memories;
    for (SyncedMemory* memory :
        {data.get(), diff.get(), history[0].get(), history[1].get()}) {
      if (memory) {
        memories.push_back(memory);
      }
    }
    return memories;
  }
};

}  // namespace caffe

#endif  // CAFFE_APPROX_DROPOUT_UPDATE_PARAMETER_MEMORY_HPP_
