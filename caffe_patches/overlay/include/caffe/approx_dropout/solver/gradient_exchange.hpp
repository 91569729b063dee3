#ifndef CAFFE_APPROX_DROPOUT_SOLVER_GRADIENT_EXCHANGE_HPP_
#define CAFFE_APPROX_DROPOUT_SOLVER_GRADIENT_EXCHANGE_HPP_

#include <vector>

#include "caffe/approx_dropout/ranks/ranks.hpp"
#include "caffe/approx_dropout/solver/sgd_updater.hpp"
#include "caffe/net.hpp"

namespace caffe {

/// @brief What one process has exchanged so far.
struct ExchangeTotals {
  static ExchangeTotals* Get();

  int steps;
  double sent_bytes;   // gradients that it gave to the exchange
  double whole_bytes;  // those of whole parameters
  double waited_s;     // for the others, behind Backward
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
 * parameters share the last message.
 */
template <typename Dtype>
class GradientExchange : public Net<Dtype>::Callback {
 public:
  /// @brief Watches the net's backward passes from now on, so it must live as
  ///        long as it.
  GradientExchange(Ranks* ranks, Net<Dtype>* net);

  /// @brief Solver::Step calls these first and last. `updater` is NULL where
  ///        Caffe's own update changes all weights.
  void BeginSteps(SGDUpdater<Dtype>* updater, int iter_size);
  void EndSteps() { in_steps_ = false; }
  /// @brief To be called after the last Backward of a step. All ranks have
  ///        then agreed on what signals ask for, too (RankRequests).
  void Average();

 protected:
  /// @brief After a layer's Backward.
  virtual void run(int layer);

 private:
  struct Parameter {
    int first_layer;              // that uses it
    LazyParameter<Dtype>* lazy;   // NULL if it is updated whole
    LazyLayer<Dtype>* lazy_layer;
    bool started;                 // in this step
    bool is_packed;               // it left in `packed`
    vector<Dtype> packed;
  };

  /// @brief Starts the exchange of the i-th parameter, or puts it to the small
  ///        ones.
  void Start(int i);
  void StartSmall();
  /// @brief Takes the small ones out of their message; returns its end.
  const Dtype* TakeSmall();

  Ranks* ranks_;
  Net<Dtype>* net_;
  vector<Parameter> parameters_;
  vector<int> small_;           // those of the shared message
  vector<Dtype> small_values_;  // theirs, then requests
  bool in_steps_;
  int iter_size_;
  int passes_;  // backward, of this step
  size_t sent_;  // values of this step

  DISABLE_COPY_AND_ASSIGN(GradientExchange);
};

}  // namespace caffe

#endif  // CAFFE_APPROX_DROPOUT_SOLVER_GRADIENT_EXCHANGE_HPP_
