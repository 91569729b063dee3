#ifndef CAFFE_APPROX_DROPOUT_SOLVER_SGD_UPDATER_HPP_
#define CAFFE_APPROX_DROPOUT_SOLVER_SGD_UPDATER_HPP_

#include <vector>

#include "caffe/approx_dropout/update/lazy_layer.hpp"
#include "caffe/net.hpp"

namespace caffe {

template <typename Dtype> class DeviceSteps;

/**
 * @brief Updates a net's parameters for SGDSolver, and the solvers made of it,
 *        from the beginning of Solver::Step to its end: one pass (one kernel)
 *        over each parameter for clipping, normalization, regularization,
 *        histories and update; those of LazyLayers only where something is in
 *        use. On the GPU the host waits for nothing, so that clipping is not
 *        logged, and products rectify their outputs themselves
 *        (solver/fuse_relu.hpp).
 *
 * While it lives, the weights that LazyLayers hold may be behind: CatchUpAll
 * brings them up to date. It does so when it is destroyed, and leaves the last
 * update as gradients, as Caffe does. With Step(1) nothing is deferred.
 */
template <typename Dtype>
class SGDUpdater {
 public:
  /// @brief Whether the solver of this type can leave the updates of this net
  ///        to an SGDUpdater: one of Caffe's, on the GPU plain SGD, without
  ///        debug_info, snapshot_diff or callbacks around single layers.
  static bool CanUpdate(const string& type, const SolverParameter& param,
      const Net<Dtype>& net);

  /// @brief `history` is the solver's: of all parameters, then for solvers
  ///        with two, the second of all parameters.
  SGDUpdater(const string& type, const SolverParameter& param, Net<Dtype>* net,
      const vector<shared_ptr<Blob<Dtype> > >& history);
  ~SGDUpdater();

  /// @brief To be called before each iteration.
  void ClearGradients();
  /// @brief Does an iteration's step at this learning rate.
  void ApplyUpdate(Dtype rate, int iteration);
  void CatchUpAll();

 private:
  struct Parameter {
    shared_ptr<LazyParameter<Dtype> > update;
    LazyLayer<Dtype>* layer;  // NULL: updated at once
    int index;                // among the layer's
    Dtype lr_mult;
  };

  void AddParameter(int param_id, const string& regularization_type);
  void FindLazyLayers();
  /// @brief Factor of clip_gradients, as SGDSolver::ClipGradients has it.
  Dtype ClipFactor() const;
#ifndef CPU_ONLY
  void ApplyUpdateOnDevice(Dtype rate);
#endif

  Net<Dtype>* net_;
  UpdateRule<Dtype> rule_;  // without decay_mult
  Dtype clip_gradients_;
  vector<Parameter> parameters_;
  vector<shared_ptr<Blob<Dtype> > > history_;
  shared_ptr<DeviceSteps<Dtype> > device_steps_;  // NULL on the CPU

  DISABLE_COPY_AND_ASSIGN(SGDUpdater);
};

}  // namespace caffe

#endif  // CAFFE_APPROX_DROPOUT_SOLVER_SGD_UPDATER_HPP_
