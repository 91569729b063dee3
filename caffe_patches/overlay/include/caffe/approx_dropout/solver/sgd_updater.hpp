#ifndef CAFFE_APPROX_DROPOUT_SOLVER_SGD_UPDATER_HPP_
#define CAFFE_APPROX_DROPOUT_SOLVER_SGD_UPDATER_HPP_

#include <string>
#include <vector>

#include "caffe/approx_dropout/update/lazy_layer.hpp"
#include "caffe/approx_dropout/update/pending_parameter.hpp"
#include "caffe/net.hpp"

namespace caffe {

template <typename Dtype> class DeviceSteps;

/**
 * @brief Updates a net's parameters for SGDSolver, and the solvers made of it,
 *        within Solver::Step: one pass (one kernel) over each parameter for
 *        clipping, normalization, regularization, histories and update; those
 *        of LazyLayers only where something is in use. On the GPU the host
 *        waits for nothing, so that clipping is not logged, and products
 *        rectify their outputs themselves (solver/fuse_relu.hpp).
 *
 * It lives from one call of Step to the next, and the weights that LazyLayers
 * hold may be behind all the while, as they lie in memory. Nobody sees that:
 * whoever asks for them, their gradients or histories finds what Caffe would
 * have left there (PendingParameter), after the updater's end too. Outside of
 * Step LazyLayers are like any other layer.
 */
template <typename Dtype>
class SGDUpdater {
 public:
  typedef vector<shared_ptr<Blob<Dtype> > > Blobs;

  /// @brief Whether the solver of this type can leave the updates of this net
  ///        to an SGDUpdater: one of Caffe's, without snapshot_diff, where the
  ///        parameters' memory is Caffe's own: on several GPUs it is NCCL's,
  ///        which asks nobody.
  static bool CanUpdate(const string& type, const SolverParameter& param,
      const Net<Dtype>& net);
  /// @brief The updater for the next call of Step: `last`, that of the last
  ///        one, if it still fits, else a new one, or NULL if there can be
  ///        none.
  static shared_ptr<SGDUpdater> Renew(const shared_ptr<SGDUpdater>& last,
      const string& type, const SolverParameter& param, Net<Dtype>* net,
      const Blobs& history);

  /// @brief `history` is the solver's: of all parameters, then for solvers
  ///        with two, the second of all parameters.
  SGDUpdater(const string& type, const SolverParameter& param, Net<Dtype>* net,
      const Blobs& history);

  /// @brief Step calls these first and last. has_callbacks: of the solver.
  void BeginSteps(bool has_callbacks);
  void EndSteps();
  /// @brief To be called before each iteration.
  void ClearGradients();
  /// @brief Does an iteration's step at this learning rate.
  void ApplyUpdate(Dtype rate, int iteration);
  /// @brief The lazy update of the i-th learnable parameter, and the layer that
  ///        it is of; NULL if it is updated whole.
  LazyParameter<Dtype>* lazy(int i, LazyLayer<Dtype>** layer) const {
    *layer = parameters_[i].layer;
    return *layer ? parameters_[i].update.get() : NULL;
  }

 private:
  struct Parameter {
    ParameterMemory memory;
    UpdateRule<Dtype> rule;
    Dtype lr_mult;
    LazyLayer<Dtype>* layer;  // NULL: updated at once
    int index;                // among the layer's
    shared_ptr<LazyParameter<Dtype> > update;
    shared_ptr<PendingParameter<Dtype> > pending;  // NULL: never is
    // Of a solver with the same weights, in whose step this one takes steps.
    PendingUpdates* outer;
  };

  /// @brief What is known of a parameter before it is made.
  Parameter Describe(int param_id, const SolverParameter& param) const;
  bool Fits(const SolverParameter& param) const;
  void MakeUpdate(int param_id);
  /// @brief NULL for solvers with one.
  Blob<Dtype>* SecondHistory(int param_id) const {
    const int second = net_->learnable_params().size() + param_id;
    return second < history_.size() ? history_[second].get() : NULL;
  }
  void FindLazyLayers();
  /// @brief Leaves nothing pending in what somebody sees without asking.
  void ShowViewed();
  /// @brief Stops if a parameter has other memory than when Step began.
  void CheckMemory() const;
  /// @brief Factor of clip_gradients, as SGDSolver::ClipGradients has it.
  Dtype ClipFactor() const;
  void ApplyUpdateOnHost(Dtype rate, int iteration);
#ifndef CPU_ONLY
  void ApplyUpdateOnDevice(Dtype rate, int iteration);
#endif

  SolverKind solver_;
  Caffe::Brew mode_;
  Net<Dtype>* net_;
  Dtype clip_gradients_;
  Blobs history_;
  StepThread thread_;
  bool debug_info_;
  bool watched_;  // others than Caffe's code and ours run within Step
  bool fuses_;    // products rectify their outputs
  shared_ptr<DeviceSteps<Dtype> > device_steps_;  // NULL on the CPU
  vector<Parameter> parameters_;

  DISABLE_COPY_AND_ASSIGN(SGDUpdater);
};

}  // namespace caffe

#endif  // CAFFE_APPROX_DROPOUT_SOLVER_SGD_UPDATER_HPP_
