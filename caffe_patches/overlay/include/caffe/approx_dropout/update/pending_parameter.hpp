#ifndef CAFFE_APPROX_DROPOUT_UPDATE_PENDING_PARAMETER_HPP_
#define CAFFE_APPROX_DROPOUT_UPDATE_PENDING_PARAMETER_HPP_

#include <atomic>
#include <mutex>
#include <thread>

#include "caffe/approx_dropout/update/lazy_parameter.hpp"
#include "caffe/approx_dropout/update/parameter_memory.hpp"

namespace caffe {

/**
 * @brief Which thread is within Solver::Step, between Begin and End.
 *
 * In the middle of a pass only that thread may bring weights up to date. Others
 * find the weights as they lie there, some steps behind: they cannot wait for
 * the end of the pass, which may wait for them, and which of the solver's
 * weights they find is a race in any Caffe.
 */
class StepThread {
 public:
  void Begin();
  void End();
  bool is_within() const { return stepping_ != std::thread::id(); }
  /// @brief Calls work(), unless another thread is within Step; meanwhile none
  ///        begins.
  template <typename Work>
  void Run(const Work& work) {
    if (stepping_ == std::this_thread::get_id()) {
      return work();
    }
    std::lock_guard<std::mutex> lock(mutex_);
    if (stepping_ == std::thread::id()) {
      work();
    }
  }

 private:
  std::mutex mutex_;  // of those outside of Step, and of Begin and End
  std::atomic<std::thread::id> stepping_{std::thread::id()};
};

/// @brief Keeps a parameter's memory, as others see it, up to date: whoever
///        asks for a pointer to it finds in it what updating the whole
///        parameter at once would have left there.
template <typename Dtype>
class PendingParameter : public PendingUpdates {
 public:
  /// @brief `update` is of this memory. Both, and `thread`, must live longer.
  PendingParameter(const ParameterMemory& memory, LazyParameter<Dtype>* update,
      StepThread* thread)
      : memory_(memory), update_(update), thread_(thread) {}
  /// @brief Leaves nothing pending.
  virtual ~PendingParameter();

  /// @brief Takes care of the memory from now on.
  void Guard() { memory_.Guard(this); }
  virtual void Finish(const SyncedMemory* memory);
  virtual bool within_step() const { return thread_->is_within(); }

 private:
  ParameterMemory memory_;
  LazyParameter<Dtype>* update_;
  StepThread* thread_;

  DISABLE_COPY_AND_ASSIGN(PendingParameter);
};

}  // namespace caffe

#endif  // CAFFE_APPROX_DROPOUT_UPDATE_PENDING_PARAMETER_HPP_
