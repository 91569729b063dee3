#ifndef CAFFE_APPROX_DROPOUT_UPDATE_PENDING_UPDATES_HPP_
#define CAFFE_APPROX_DROPOUT_UPDATE_PENDING_UPDATES_HPP_

namespace caffe {

class SyncedMemory;

/// @brief Updates of memory that wait until somebody looks: SyncedMemory calls
///        Finish before it gives anyone a pointer (SyncedMemory::set_pending).
class PendingUpdates {
 public:
  virtual ~PendingUpdates() {}
  /// @brief Leaves in *memory what would be there without waiting. Of the
  ///        memory's functions it may use those called raw_.
  virtual void Finish(const SyncedMemory* memory) = 0;
  /// @brief Whether the solver whose updates these are is within Step.
  virtual bool within_step() const = 0;
};

}  // namespace caffe

#endif  // CAFFE_APPROX_DROPOUT_UPDATE_PENDING_UPDATES_HPP_
