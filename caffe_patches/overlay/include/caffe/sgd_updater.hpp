#ifndef CAFFE_SGD_UPDATER_HPP_
#define CAFFE_SGD_UPDATER_HPP_

#include <vector>

#include "caffe/net.hpp"
#include "caffe/util/lazy_update.hpp"

namespace caffe {

/**
 * @brief Updates a net's parameters for SGDSolver on the CPU, from the
 *        beginning of Solver::Step to its end: one pass over each parameter
 *        for clipping, normalization, regularization, momentum, update and
 *        clearing; those of LazyLayers only where something is in use.
 *
 * At the beginning all gradients must be zero. While it lives, the weights
 * that LazyLayers hold may be behind: CatchUpAll brings them up to date. It
 * does so when it is destroyed.
 */
template <typename Dtype>
class SGDUpdater {
 public:
  /// @brief Whether the solver of this type can leave the updates of this net
  ///        to an SGDUpdater: plain SGD on the CPU, where nobody reads whole
  ///        gradients (debug_info, snapshot_diff) or watches single layers.
  static bool CanUpdate(const string& type, const SolverParameter& param,
      const Net<Dtype>& net);

  SGDUpdater(const SolverParameter& param, Net<Dtype>* net,
      const vector<shared_ptr<Blob<Dtype> > >& history);
  ~SGDUpdater();

  /// @brief Does a step at this learning rate.
  void ApplyUpdate(Dtype rate);
  void CatchUpAll();

 private:
  struct Parameter {
    shared_ptr<LazyParameter<Dtype> > update;
    LazyLayer<Dtype>* layer;  // NULL: updated at once
    int index;                // among the layer's
    Dtype lr_mult;
  };

  void FindLazyLayers();
  /// @brief Factor of clip_gradients, as SGDSolver::ClipGradients has it.
  Dtype ClipFactor() const;

  Net<Dtype>* net_;
  Dtype clip_gradients_;
  vector<Parameter> parameters_;

  DISABLE_COPY_AND_ASSIGN(SGDUpdater);
};

}  // namespace caffe

#endif  // CAFFE_SGD_UPDATER_HPP_
