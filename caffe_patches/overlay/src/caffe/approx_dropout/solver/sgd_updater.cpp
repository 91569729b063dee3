#include <cmath>
#include <string>
#include <vector>

#include "caffe/approx_dropout/solver/older_caffe.hpp"
#include "caffe/approx_dropout/solver/sgd_updater.hpp"
#include "caffe/util/math_functions.hpp"
#ifndef CPU_ONLY
#include "caffe/approx_dropout/solver/fuse_relu.hpp"
#include "caffe/approx_dropout/update/device_parameter.hpp"
#endif

namespace caffe {

namespace {

struct KnownSolver {
  const char* type;
  SolverKind kind;
};

const KnownSolver kSolvers[] = {{"SGD", SolverKind::SGD},
    {"Nesterov", SolverKind::NESTEROV}, {"AdaGrad", SolverKind::ADAGRAD},
    {"RMSProp", SolverKind::RMSPROP}, {"AdaDelta", SolverKind::ADADELTA},
    {"Adam", SolverKind::ADAM}};

/// @brief NULL: a solver of someone else's.
const KnownSolver* FindSolver(const string& type) {
  for (const KnownSolver& solver : kSolvers) {
    if (type == solver.type) {
      return &solver;
    }
  }
  return NULL;
}

}  // namespace

template <typename Dtype>
bool SGDUpdater<Dtype>::CanUpdate(const string& type,
    const SolverParameter& param, const Net<Dtype>& net) {
  const KnownSolver* solver = FindSolver(type);
  return solver &&
         (Caffe::mode() == Caffe::CPU || solver->kind == SolverKind::SGD) &&
         !param.debug_info() && !param.snapshot_diff() && !IsWatched(net, 0);
}

template <typename Dtype>
SGDUpdater<Dtype>::SGDUpdater(const string& type, const SolverParameter& param,
    Net<Dtype>* net, const vector<shared_ptr<Blob<Dtype> > >& history)
    : net_(net),
      rule_(),
      clip_gradients_(param.clip_gradients()),
      history_(history) {
  rule_.solver = FindSolver(type)->kind;
  rule_.normalization = Dtype(1.) / param.iter_size();
  rule_.momentum = rule_.solver == SolverKind::RMSPROP ? param.rms_decay()
                                                       : param.momentum();
  rule_.momentum2 = param.momentum2();
  rule_.delta = param.delta();
  rule_.decay = param.weight_decay();
  rule_.l1 = param.regularization_type() == "L1";
#ifndef CPU_ONLY
  if (Caffe::mode() == Caffe::GPU) {
    net->ClearParamDiffs();
    FuseReLU(net, true);
    device_steps_.reset(new DeviceSteps<Dtype>(
        net->learnable_params().size(), clip_gradients_));
  }
#endif
  for (int i = 0; i < net->learnable_params().size(); ++i) {
    AddParameter(i, param.regularization_type());
  }
  FindLazyLayers();
}

template <typename Dtype>
void SGDUpdater<Dtype>::AddParameter(
    int param_id, const string& regularization_type) {
  Blob<Dtype>* blob = net_->learnable_params()[param_id];
  Blob<Dtype>* history = history_[param_id].get();
  const int second = net_->learnable_params().size() + param_id;
  UpdateRule<Dtype> rule = rule_;
  rule.decay *= net_->params_weight_decay()[param_id];
  CHECK(rule.decay == 0 || rule.l1 || regularization_type == "L2")
      << "Unknown regularization type: " << regularization_type;
  Parameter parameter = {shared_ptr<LazyParameter<Dtype> >(), NULL, 0,
      net_->params_lr()[param_id]};
#ifndef CPU_ONLY
  if (device_steps_) {
    const shared_ptr<DeviceParameter<Dtype> > device(new DeviceParameter<Dtype>(
        blob, history, rule, parameter.lr_mult, device_steps_.get()));
    parameter.update.reset(new LazyParameter<Dtype>(device));
  }
#endif
  if (!parameter.update) {
    parameter.update.reset(new LazyParameter<Dtype>(blob, history, rule,
        second < history_.size() ? history_[second].get() : NULL));
  }
  parameters_.push_back(parameter);
}

template <typename Dtype>
void SGDUpdater<Dtype>::FindLazyLayers() {
  const vector<Blob<Dtype>*>& blobs = net_->learnable_params();
  for (int i = 0; i < blobs.size(); ++i) {
    LazyLayer<Dtype>* layer = NULL;
    int index = 0;
    int users = 0;  // of tied weights there are several
    for (int l = 0; l < net_->layers().size(); ++l) {
      const vector<shared_ptr<Blob<Dtype> > >& owned =
          net_->layers()[l]->blobs();
      for (int b = 0; b < owned.size(); ++b) {
        if (owned[b]->data() == blobs[i]->data()) {
          ++users;
          layer = dynamic_cast<LazyLayer<Dtype>*>(net_->layers()[l].get());
          index = b;
        }
      }
    }
    if (users == 1 && layer && layer->CanBeLazy(index)) {
      parameters_[i].layer = layer;
      parameters_[i].index = index;
      layer->SetLazy(index, parameters_[i].update.get());
    }
  }
}

template <typename Dtype>
SGDUpdater<Dtype>::~SGDUpdater() {
  CatchUpAll();
  for (size_t i = 0; i < parameters_.size(); ++i) {
    if (parameters_[i].layer) {
      parameters_[i].layer->SetLazy(parameters_[i].index, NULL);
    }
  }
#ifndef CPU_ONLY
  if (!device_steps_) {
    return;
  }
  FuseReLU(net_, false);
  for (size_t i = 0; i < parameters_.size(); ++i) {
    // What SGDSolver::ComputeUpdateValue leaves: the last update.
    Blob<Dtype>* blob = net_->learnable_params()[i];
    caffe_copy(
        blob->count(), history_[i]->gpu_data(), blob->mutable_gpu_diff());
  }
#endif
}

template <typename Dtype>
void SGDUpdater<Dtype>::ClearGradients() {
  if (device_steps_) {
    return;  // UpdateWhole clears
  }
  for (size_t i = 0; i < parameters_.size(); ++i) {
    if (parameters_[i].layer) {
      continue;
    }
    Blob<Dtype>* blob = net_->learnable_params()[i];
    caffe_set(blob->count(), Dtype(0), blob->mutable_cpu_diff());
  }
}

template <typename Dtype>
Dtype SGDUpdater<Dtype>::ClipFactor() const {
  if (clip_gradients_ < 0) { return 1; }
  double sum = 0;
  for (size_t i = 0; i < parameters_.size(); ++i) {
    sum += parameters_[i].layer ? parameters_[i].update->SumSquares() :
        net_->learnable_params()[i]->sumsq_diff();
  }
  const Dtype norm = GradientNorm<Dtype>(sum);
  // As in Caffe a norm that is not a number does not clip.
  if (!(norm > clip_gradients_)) { return 1; }
  const Dtype factor = clip_gradients_ / norm;
  LOG(INFO) << "Gradient clipping: scaling down gradients (L2 norm " << norm
      << " > " << clip_gradients_ << ") by scale factor " << factor;
  return factor;
}

template <typename Dtype>
void SGDUpdater<Dtype>::ApplyUpdate(Dtype rate, int iteration) {
#ifndef CPU_ONLY
  if (device_steps_) { return ApplyUpdateOnDevice(rate); }
#endif
  const Dtype clip = ClipFactor();
  const Dtype correction = rule_.solver == SolverKind::ADAM
                               ? AdamCorrection(rule_, iteration)
                               : Dtype(1);
  for (size_t i = 0; i < parameters_.size(); ++i) {
    const UpdateStep<Dtype> step = {
        rate * parameters_[i].lr_mult * correction, clip};
    if (parameters_[i].layer) {
      parameters_[i].update->EndStep(step);
    } else {
      parameters_[i].update->UpdateWhole(step);
    }
  }
}

#ifndef CPU_ONLY
template <typename Dtype>
void SGDUpdater<Dtype>::ApplyUpdateOnDevice(Dtype rate) {
  for (size_t i = 0; i < parameters_.size(); ++i) {
    DeviceParameter<Dtype>* update = parameters_[i].update->device();
    if (device_steps_->clips()) { update->SumSquares(!parameters_[i].layer); }
    update->EndStep();
  }
  device_steps_->Append(rate);
  for (size_t i = 0; i < parameters_.size(); ++i) {
    if (!parameters_[i].layer) {
      parameters_[i].update->device()->UpdateWhole();
    }
  }
  if (device_steps_->full()) { CatchUpAll(); }
}
#endif

template <typename Dtype>
void SGDUpdater<Dtype>::CatchUpAll() {
#ifndef CPU_ONLY
  if (device_steps_) {
    for (size_t i = 0; i < parameters_.size(); ++i) {
      // The others do each step at once.
      if (parameters_[i].layer) {
        parameters_[i].update->device()->CatchUpAll();
      }
    }
    device_steps_->Clear();
    return;
  }
#endif
  for (size_t i = 0; i < parameters_.size(); ++i) {
    parameters_[i].update->CatchUpAll();
  }
}

INSTANTIATE_CLASS(SGDUpdater);

}  // namespace caffe
