#include "caffe/approx_dropout/solver/sgd_updater.hpp"

#include <cmath>
#include <string>
#include <vector>

#include "caffe/approx_dropout/ranks/ranks.hpp"
#include "caffe/approx_dropout/solver/older_caffe.hpp"
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
  bool owns_memory = true;
  for (const Blob<Dtype>* blob : net.learnable_params()) {
    owns_memory &= blob->data()->is_own() && blob->diff()->is_own();
  }
  // On GPUs ranks exchange whole gradients, by way of the host.
  const bool exchanges_whole = Ranks::Get() && Caffe::mode() == Caffe::GPU;
  return solver && owns_memory && !param.snapshot_diff() && !exchanges_whole;
}

template <typename Dtype>
shared_ptr<SGDUpdater<Dtype> > SGDUpdater<Dtype>::Renew(
    const shared_ptr<SGDUpdater>& last, const string& type,
    const SolverParameter& param, Net<Dtype>* net, const Blobs& history) {
  if (!CanUpdate(type, param, *net)) {
    LOG_FIRST_N(INFO, 1)
        << "Whole parameters are updated, dropped weights too: only Caffe's "
        << "solvers, on one device and without snapshot_diff, update what was "
        << "kept";
    return shared_ptr<SGDUpdater>();
  }
  if (last && last->Fits(param)) {
    return last;
  }
  return shared_ptr<SGDUpdater>(new SGDUpdater(type, param, net, history));
}

template <typename Dtype>
SGDUpdater<Dtype>::SGDUpdater(const string& type, const SolverParameter& param,
    Net<Dtype>* net, const Blobs& history)
    : solver_(FindSolver(type)->kind),
      mode_(Caffe::mode()),
      net_(net),
      clip_gradients_(param.clip_gradients()),
      history_(history),
      debug_info_(param.debug_info()),
      watched_(false),
      fuses_(false) {
  const int num_parameters = net->learnable_params().size();
#ifndef CPU_ONLY
  if (mode_ == Caffe::GPU) {
    device_steps_.reset(
        new DeviceSteps<Dtype>(num_parameters, clip_gradients_));
  }
#endif
  for (int i = 0; i < num_parameters; ++i) {
    parameters_.push_back(Describe(i, param));
    // Whatever waits in there for another solver.
    parameters_[i].memory.Finish();
  }
  FindLazyLayers();
  for (int i = 0; i < num_parameters; ++i) {
    MakeUpdate(i);
  }
}

template <typename Dtype>
typename SGDUpdater<Dtype>::Parameter SGDUpdater<Dtype>::Describe(
    int param_id, const SolverParameter& param) const {
  Parameter parameter = {};
  parameter.memory = ParameterMemory(*net_->learnable_params()[param_id],
      *history_[param_id], SecondHistory(param_id));
  UpdateRule<Dtype>& rule = parameter.rule;
  rule.solver = solver_;
  rule.normalization = Dtype(1.) / param.iter_size();
  rule.momentum =
      solver_ == SolverKind::RMSPROP ? param.rms_decay() : param.momentum();
  rule.momentum2 = param.momentum2();
  rule.delta = param.delta();
  rule.decay = param.weight_decay();
  rule.decay *= net_->params_weight_decay()[param_id];
  rule.l1 = param.regularization_type() == "L1";
  CHECK(rule.decay == 0 || rule.l1 || param.regularization_type() == "L2")
      << "Unknown regularization type: " << param.regularization_type();
  parameter.lr_mult = net_->params_lr()[param_id];
  return parameter;
}

template <typename Dtype>
bool SGDUpdater<Dtype>::Fits(const SolverParameter& param) const {
  bool fits = mode_ == Caffe::mode() &&
              clip_gradients_ == Dtype(param.clip_gradients()) &&
              debug_info_ == param.debug_info() &&
              parameters_.size() == net_->learnable_params().size();
  for (size_t i = 0; fits && i < parameters_.size(); ++i) {
    const Parameter now = Describe(i, param);
    const UpdateRule<Dtype>& rule = parameters_[i].rule;
    fits = now.memory == parameters_[i].memory &&
           now.lr_mult == parameters_[i].lr_mult &&
           now.rule.normalization == rule.normalization &&
           now.rule.momentum == rule.momentum &&
           now.rule.momentum2 == rule.momentum2 &&
           now.rule.delta == rule.delta && now.rule.decay == rule.decay &&
           now.rule.l1 == rule.l1;
  }
  return fits;
}

template <typename Dtype>
void SGDUpdater<Dtype>::MakeUpdate(int param_id) {
  Parameter* parameter = &parameters_[param_id];
  Blob<Dtype>* blob = net_->learnable_params()[param_id];
  Blob<Dtype>* history = history_[param_id].get();
#ifndef CPU_ONLY
  if (device_steps_) {
    const shared_ptr<DeviceParameter<Dtype> > device(
        new DeviceParameter<Dtype>(blob, history, parameter->rule,
            parameter->lr_mult, device_steps_.get(), SecondHistory(param_id)));
    parameter->update.reset(new LazyParameter<Dtype>(device));
  }
#endif
  if (!parameter->update) {
    parameter->update.reset(new LazyParameter<Dtype>(
        blob, history, parameter->rule, SecondHistory(param_id)));
  }
  // On the GPU whole updates leave zeros where Caffe has the last update.
  if (parameter->layer || device_steps_) {
    parameter->pending.reset(new PendingParameter<Dtype>(
        parameter->memory, parameter->update.get(), &thread_));
  }
}

template <typename Dtype>
void SGDUpdater<Dtype>::FindLazyLayers() {
  for (Parameter& parameter : parameters_) {
    LazyLayer<Dtype>* layer = NULL;
    int index = 0;
    int users = 0;  // of tied weights there are several
    for (int l = 0; l < net_->layers().size(); ++l) {
      const Blobs& owned = net_->layers()[l]->blobs();
      for (int b = 0; b < owned.size(); ++b) {
        if (owned[b]->data() == parameter.memory.data) {
          ++users;
          layer = dynamic_cast<LazyLayer<Dtype>*>(net_->layers()[l].get());
          index = b;
        }
      }
    }
    if (users == 1 && layer && layer->CanBeLazy(index)) {
      parameter.layer = layer;
      parameter.index = index;
    }
  }
}

template <typename Dtype>
void SGDUpdater<Dtype>::BeginSteps(bool has_callbacks) {
  thread_.Begin();
  const bool is_watched = IsWatched(*net_, 0);
  // Python layers may hold arrays of any blob.
  watched_ = has_callbacks || is_watched;
  for (const shared_ptr<Layer<Dtype> >& layer : net_->layers()) {
    watched_ |= string(layer->type()) == "Python";
  }
  for (Parameter& parameter : parameters_) {
    PendingUpdates* other = parameter.memory.data->pending();
    const bool is_outer = other && other != parameter.pending.get();
    parameter.outer = is_outer && other->within_step() ? other : NULL;
    parameter.memory.Guard(parameter.pending.get());
    if (parameter.layer) {
      parameter.layer->SetLazy(parameter.index, parameter.update.get());
    }
  }
#ifndef CPU_ONLY
  fuses_ = device_steps_ && !is_watched && !debug_info_;
  if (fuses_) {
    FuseReLU(net_, true);
  }
#endif
}

template <typename Dtype>
void SGDUpdater<Dtype>::EndSteps() {
  ShowViewed();
  for (Parameter& parameter : parameters_) {
    if (parameter.layer) {
      parameter.layer->SetLazy(parameter.index, NULL);
    }
    if (parameter.outer) {  // goes on from the weights as they lie
      parameter.update->ShowDiff();
      parameter.memory.data->set_pending(parameter.outer);
    }
  }
#ifndef CPU_ONLY
  if (fuses_) {
    FuseReLU(net_, false);
  }
#endif
  thread_.End();
}

template <typename Dtype>
void SGDUpdater<Dtype>::ShowViewed() {
  for (Parameter& parameter : parameters_) {
    if (parameter.pending && parameter.memory.data->views() > 0) {
      parameter.update->ShowDiff();
    }
  }
}

template <typename Dtype>
void SGDUpdater<Dtype>::CheckMemory() const {
  for (int i = 0; i < parameters_.size(); ++i) {
    const ParameterMemory now(*net_->learnable_params()[i], *history_[i],
        SecondHistory(i));
    CHECK(now == parameters_[i].memory) << "learnable parameter " << i
        << " of net '" << net_->name() << "' has other memory than when the "
        << "solver's step began: share weights (share_with, ShareData) between "
        << "two steps, not in a callback or layer within one";
  }
}

template <typename Dtype>
void SGDUpdater<Dtype>::ClearGradients() {
  for (Parameter& parameter : parameters_) {
    parameter.update->BeginStep(!parameter.layer);
  }
  if (watched_) {
    ShowViewed();
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
  if (watched_) {
    CheckMemory();
  }
#ifdef CPU_ONLY
  ApplyUpdateOnHost(rate, iteration);
#else
  device_steps_ ? ApplyUpdateOnDevice(rate, iteration)
                : ApplyUpdateOnHost(rate, iteration);
#endif
  if (watched_) {
    ShowViewed();
  }
}

template <typename Dtype>
void SGDUpdater<Dtype>::ApplyUpdateOnHost(Dtype rate, int iteration) {
  const Dtype clip = ClipFactor();
  for (Parameter& parameter : parameters_) {
    UpdateStep<Dtype> step = {rate * parameter.lr_mult, clip};
    if (solver_ == SolverKind::ADAM) {
      step.rate *= AdamCorrection(parameter.rule, iteration);
    }
    if (parameter.layer) {
      parameter.update->EndStep(step);
    } else {
      parameter.update->UpdateWhole(step);
    }
  }
}

#ifndef CPU_ONLY
template <typename Dtype>
void SGDUpdater<Dtype>::ApplyUpdateOnDevice(Dtype rate, int iteration) {
  for (Parameter& parameter : parameters_) {
    DeviceParameter<Dtype>* update = parameter.update->device();
    if (device_steps_->clips()) {
      update->SumSquares(!parameter.layer);
    }
    update->EndStep();
  }
  if (solver_ == SolverKind::ADAM && !parameters_.empty()) {
    rate *= AdamCorrection(parameters_[0].rule, iteration);
  }
  device_steps_->Append(rate);
  for (Parameter& parameter : parameters_) {
    if (!parameter.layer) {
      parameter.update->device()->UpdateWhole();
    }
  }
  if (!device_steps_->full()) {
    return;
  }
  for (Parameter& parameter : parameters_) {
    parameter.update->CatchUpAll();
    parameter.update->device()->ForgetSteps();
  }
  device_steps_->Clear();
}
#endif

INSTANTIATE_CLASS(SGDUpdater);

}  // namespace caffe
