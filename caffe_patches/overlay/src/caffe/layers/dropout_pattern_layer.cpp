#include <algorithm>
#include <cmath>
#include <vector>

#include "caffe/approx_dropout/pattern/draw_pattern.hpp"
#include "caffe/approx_dropout/pattern/kept_cells.hpp"
#include "caffe/layers/dropout_pattern_layer.hpp"
#include "caffe/util/math_functions.hpp"

namespace caffe {

namespace {

// Two values of K that differ no more than this are the same: a K goes through
// text and through float.
const double kSameProbability = 1e-6;

const int kMaxGroups = 65535;

}  // namespace

template <typename Dtype>
void DropoutPatternLayer<Dtype>::LayerSetUp(
    const vector<Blob<Dtype>*>& bottom, const vector<Blob<Dtype>*>& top) {
  const DropoutPatternParameter& param =
      this->layer_param_.dropout_pattern_param();
  const string& name = this->layer_param_.name();
  CHECK_EQ(bottom.size(), param.probability_size() > 0 ? 0 : 1)
      << "DropoutPattern layer '" << name << "' takes K either from one "
      << "bottom or from probability in dropout_pattern_param; it has "
      << bottom.size() << " bottoms and " << param.probability_size()
      << " values of probability";
  family_ = param.family();
  CHECK(param.groups() >= 1 && param.groups() <= kMaxGroups)
      << "DropoutPattern layer '" << name << "' has groups: " << param.groups()
      << "; it must be from 1 to " << kMaxGroups;
  groups_ = param.groups();
  const bool period = family_ == DropoutPatternParameter::PERIOD;
  CHECK(groups_ == 1 || !period) << "DropoutPattern layer '" << name
      << "' has groups: " << groups_ << "; family: PERIOD takes groups: 1 only";
  if (bottom.empty()) {
    probability_.assign(param.probability().begin(), param.probability().end());
    max_period_ = probability_.size();
    CheckProbability();
  } else {
    CHECK_EQ(bottom[0]->num_axes(), 1) << "DropoutPattern layer '" << name
        << "': K has shape " << bottom[0]->shape_string()
        << "; it must have one axis, of length N";
    max_period_ = bottom[0]->count();
  }
  const int limit = period ? kMaxPeriod : kMaxResidues;
  CHECK(max_period_ >= 1 && max_period_ <= limit) << "DropoutPattern layer '"
      << name << "': K has length N = " << max_period_ << "; family: "
      << DropoutPatternParameter::Family_Name(family_) << " takes 1 to "
      << limit;
  KeepEverything(top[0]);
}

template <typename Dtype>
void DropoutPatternLayer<Dtype>::KeepEverything(Blob<Dtype>* top) const {
  vector<int> shape(2);
  shape[0] = groups_;
  shape[1] = 2 + max_period_;
  top->Reshape(shape);
  Dtype* row = top->mutable_cpu_data();
  for (int g = 0; g < groups_; ++g, row += shape[1]) {
    row[0] = 1;
    row[1] = max_period_;
    for (int i = 0; i < max_period_; ++i) { row[2 + i] = i; }
  }
}

template <typename Dtype>
void DropoutPatternLayer<Dtype>::CheckProbability() const {
  double sum = 0;
  for (int i = 0; i < max_period_; ++i) {
    CHECK(std::isfinite(probability_[i]) && probability_[i] >= 0)
        << "DropoutPattern layer '" << this->layer_param_.name() << "': K["
        << i << "] is " << probability_[i]
        << "; probabilities must be finite and not negative";
    sum += probability_[i];
  }
  CHECK_LT(std::abs(sum - 1), 1e-3) << "DropoutPattern layer '"
      << this->layer_param_.name() << "': the " << max_period_
      << " probabilities of K sum to " << sum << "; they must sum to 1";
}

template <typename Dtype>
void DropoutPatternLayer<Dtype>::UseProbability(
    const vector<double>& probability) {
  bool same = probability.size() == probability_.size();
  for (size_t i = 0; same && i < probability.size(); ++i) {
    // Also false for NaN, which CheckProbability then refuses.
    same = std::abs(probability[i] - probability_[i]) <= kSameProbability;
  }
  if (!same) {
    const vector<double> before = probability_;
    probability_ = probability;
    CheckProbability();
    LOG_IF(WARNING, restored_) << "DropoutPattern layer '"
        << this->layer_param_.name() << "': K of the solver state, of drop "
        << "rate " << DropRate(family_, before) << ", is not the net's, of "
        << "drop rate " << DropRate(family_, probability_) << "; the net's is "
        << "used";
  }
  restored_ = false;
}

template <typename Dtype>
void DropoutPatternLayer<Dtype>::Forward_cpu(
    const vector<Blob<Dtype>*>& bottom, const vector<Blob<Dtype>*>& top) {
  if (this->phase_ != TRAIN) {
    KeepEverything(top[0]);
    return;
  }
  if (!bottom.empty()) {
    CHECK_EQ(bottom[0]->count(), max_period_) << "DropoutPattern layer '"
        << this->layer_param_.name() << "': the length N of K has changed";
    const Dtype* k = bottom[0]->cpu_data();
    UseProbability(vector<double>(k, k + max_period_));
  }
  if (!has_seed_) {
    const uint64_t high = caffe_rng_rand();
    SetSeed(high << 32 | caffe_rng_rand());
  }
  PatternStream stream(seed_, this->layer_param_.name(), draws_);
  ++draws_;
  int period;
  vector<vector<int> > residues;
  DrawPattern(family_, probability_, groups_, &stream, &period, &residues);
  vector<int> shape(2);
  shape[0] = groups_;
  shape[1] = 2 + residues[0].size();
  top[0]->Reshape(shape);
  Dtype* row = top[0]->mutable_cpu_data();
  const Dtype scale = 1. / (1. - DropRate(family_, probability_));
  for (int g = 0; g < groups_; ++g, row += shape[1]) {
    row[0] = scale;
    row[1] = period;
    std::copy(residues[g].begin(), residues[g].end(), row + 2);
  }
}

template <typename Dtype>
void DropoutPatternLayer<Dtype>::SetSeed(uint64_t seed) {
  seed_ = seed;
  has_seed_ = true;
  draws_ = 0;
}

template <typename Dtype>
void DropoutPatternLayer<Dtype>::ToProto(DropoutPatternState* state) const {
  state->set_layer(this->layer_param_.name());
  state->set_family(family_);
  state->set_max_period(max_period_);
  state->clear_probability();
  for (size_t i = 0; i < probability_.size(); ++i) {
    state->add_probability(probability_[i]);
  }
  state->set_seed(seed_);
  state->set_draws(draws_);
}

template <typename Dtype>
void DropoutPatternLayer<Dtype>::FromProto(const DropoutPatternState& state) {
  CHECK_EQ(state.layer(), this->layer_param_.name());
  if (state.family() != family_ || state.max_period() != max_period_) {
    LOG(WARNING) << "DropoutPattern layer '" << state.layer() << "': the "
        << "solver state has family: "
        << DropoutPatternParameter::Family_Name(state.family()) << " and N = "
        << state.max_period() << ", the net family: "
        << DropoutPatternParameter::Family_Name(family_) << " and N = "
        << max_period_ << "; it starts at draw 0 with the net's";
    StartOver();
    return;
  }
  SetSeed(state.seed());
  draws_ = state.draws();
  if (state.probability_size() == 0) { return; }
  probability_.assign(state.probability().begin(), state.probability().end());
  restored_ = true;
  const DropoutPatternParameter& param =
      this->layer_param_.dropout_pattern_param();
  // A bottom's K may be there only in the next forward pass.
  if (param.probability_size() > 0) {
    UseProbability(vector<double>(param.probability().begin(),
        param.probability().end()));
  }
}

INSTANTIATE_CLASS(DropoutPatternLayer);
REGISTER_LAYER_CLASS(DropoutPattern);

}  // namespace caffe
