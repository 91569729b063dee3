#ifndef CAFFE_TEST_UPDATE_RULES_UTIL_HPP_
#define CAFFE_TEST_UPDATE_RULES_UTIL_HPP_

#include <cmath>
#include <vector>

#include "caffe/approx_dropout/update/solver_steps.hpp"
#include "caffe/blob.hpp"

namespace caffe {

/// @brief How the solvers are called in prototxt.
inline const char* SolverName(SolverKind kind) {
  const char* kNames[] = {
      "SGD", "Nesterov", "AdaGrad", "RMSProp", "AdaDelta", "Adam"};
  return kNames[static_cast<int>(kind)];
}

const SolverKind kSolverKinds[] = {SolverKind::SGD, SolverKind::NESTEROV,
    SolverKind::ADAGRAD, SolverKind::RMSPROP, SolverKind::ADADELTA,
    SolverKind::ADAM};

/// @brief A solver's rule; its constants are those that people use.
template <typename Dtype>
UpdateRule<Dtype> MakeRule(
    SolverKind kind, double decay, bool l1, double momentum = 0.9) {
  // A prototxt holds floats.
  const float kMomentum = kind == SolverKind::ADAGRAD ? 0 : momentum;
  const float kMomentum2 = 0.999, kDecay = decay;
  const float kDelta = kind == SolverKind::ADADELTA ? 1e-6 : 1e-8;
  const UpdateRule<Dtype> rule = {Dtype(0.5), kDecay, l1, kMomentum, kind,
      kMomentum2, kDelta, Idle::MOVES_WEIGHT};
  return rule;
}

/// @brief Rules of every solver: without decay, with L2 and with L1, without
///        momentum, and without a delta.
template <typename Dtype>
std::vector<UpdateRule<Dtype> > AllRules() {
  std::vector<UpdateRule<Dtype> > rules;
  for (SolverKind kind : kSolverKinds) {
    rules.push_back(MakeRule<Dtype>(kind, 0, false));
    rules.push_back(MakeRule<Dtype>(kind, 0.01, false));
    rules.push_back(MakeRule<Dtype>(kind, 0.01, true));
    rules.push_back(MakeRule<Dtype>(kind, 0, false, 0));
    rules.push_back(MakeRule<Dtype>(kind, 0, false));
    rules.back().delta = 0;
  }
  rules.push_back(MakeRule<Dtype>(SolverKind::SGD, 0.01, false, 0));
  return rules;
}

/// @brief Whether two blobs hold the same numbers, or both none.
template <typename Dtype>
bool SameValues(const Dtype* a, const Dtype* b, int count) {
  for (int i = 0; i < count; ++i) {
    if (a[i] != b[i] && !(std::isnan(a[i]) && std::isnan(b[i]))) {
      return false;
    }
  }
  return true;
}

}  // namespace caffe

#endif  // CAFFE_TEST_UPDATE_RULES_UTIL_HPP_
