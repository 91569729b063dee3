#ifndef CAFFE_APPROX_DROPOUT_SOLVER_GRADIENT_EXCHANGE_HPP_
#define CAFFE_APPROX_DROPOUT_SOLVER_GRADIENT_EXCHANGE_HPP_

#include <vector>

#include "caffe/approx_dropout/ranks/device_sums.hpp"
#include "caffe/approx_dropout/ranks/ranks.hpp"
#include "caffe/approx_dropout/solver/sgd_updater.hpp"
#include "caffe/net.hpp"
#include "caffe/util/benchmark.hpp"

namespace caffe {

/// @brief What one process has exchanged so far, its first step left out: there
///        it waits for those that start later.
struct ExchangeTotals {
  static ExchangeTotals* Get();

  int steps;
  double sent_bytes;   // gradients that it gave to the exchange
  double whole_bytes;  // those of whole parameters
  double taken_s;      // from the first message of a step to the last sum
  double waited_s;     // of it for the others, computing nothing
};

/**
 * @brief Replaces each rank's gradient by the mean over all ranks, which is
 *        that of one process whose batch holds the samples of all.
 *
 * A parameter leaves once the layer that uses it has done its last Backward of
 * the step, while those below it go on. Of a lazily updated one only the cells
 * that have a gradient travel, as they lie: all ranks draw the same patterns,
 * so they are the same cells. Where samples choose them, as words do an
 * embedding's rows, ranks first agree on those that any of them has. Small
 * parameters share the last message. On GPUs whole gradients travel, by NCCL
 * from GPU to GPU where the build has it, else by way of the host.
 *
 * With CAFFE_SEND_WHOLE_GRADIENTS in the environment of all ranks as many bytes
 * travel as whole gradients have, zeros for what is dropped, so that
 * scripts/measure_ranks.py can tell what the cells save.
 */
template <typename Dtype>
class GradientExchange : public Net<Dtype>::Callback {
 public:
  /// @brief Watches the net's backward passes from now on, so it must live as
  ///        long as it. *updater is what updates the weights in the step that
  ///        is being made; NULL without, or where that is Caffe's own update.
  GradientExchange(Ranks* ranks, Net<Dtype>* net, const SolverParameter& param,
      const shared_ptr<SGDUpdater<Dtype> >* updater);

  /// @brief To be called after the last Backward of a step. All ranks have
  ///        then agreed on what signals ask for, too (RankRequests).
  void Average();

 protected:
  /// @brief After a layer's Backward.
  virtual void run(int layer);

 private:
  struct Parameter {
    int first_layer;  // that uses it
    bool started;     // in this step
    bool is_packed;   // it left in `packed`
    vector<Dtype> packed;
  };

  /// @brief The i-th parameter's; NULL if it is updated whole.
  LazyParameter<Dtype>* Lazy(int i, LazyLayer<Dtype>** layer) const {
    return *updater_ ? (*updater_)->lazy(i, layer) : NULL;
  }

  /// @brief In the first step: rank 0 makes its solver before the others do,
  ///        so they cannot meet before.
  void MeetDevices();
  /// @brief Starts the exchange of the i-th parameter, or puts it to the small
  ///        ones.
  void Start(int i);
  /// @brief Gives all ranks the cells that any of them has.
  void AgreeOnCells(LazyParameter<Dtype>* lazy);
  void Send(Dtype* values, size_t size);
  void StartSmall();
  /// @brief Takes the small ones out of their message; returns its end.
  const Dtype* TakeSmall();
  void AddToTotals();

  Ranks* ranks_;
  Net<Dtype>* net_;
  const SolverParameter& param_;
  const shared_ptr<SGDUpdater<Dtype> >* updater_;
  bool devices_met_;
  shared_ptr<DeviceSums> device_sums_;  // NULL: by way of the host
  vector<Parameter> parameters_;
  vector<int> small_;           // those of the shared message
  vector<Dtype> small_values_;  // theirs, then requests
  int passes_;                  // backward, of this step
  size_t sent_;                 // values of this step
  CPUTimer taken_;              // runs from this step's first message on
  double waited_us_;            // in this step
  const bool sends_whole_;
  bool is_first_;  // is this step

  DISABLE_COPY_AND_ASSIGN(GradientExchange);
};

}  // namespace caffe

#endif  // CAFFE_APPROX_DROPOUT_SOLVER_GRADIENT_EXCHANGE_HPP_
