#include "caffe/approx_dropout/solver/dropout_pattern_state.hpp"

#include <cmath>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "caffe/approx_dropout/pattern/kept_cells.hpp"
#include "caffe/approx_dropout/solver/older_caffe.hpp"
#include "caffe/layers/dropout_pattern_layer.hpp"
#include "caffe/util/format.hpp"
#include "caffe/util/hdf5.hpp"
#include "caffe/util/math_functions.hpp"

namespace caffe {

namespace {

template <typename Dtype>
vector<DropoutPatternLayer<Dtype>*> PatternLayers(const Net<Dtype>& net) {
  vector<DropoutPatternLayer<Dtype>*> layers;
  for (size_t i = 0; i < net.layers().size(); ++i) {
    DropoutPatternLayer<Dtype>* layer =
        dynamic_cast<DropoutPatternLayer<Dtype>*>(net.layers()[i].get());
    if (layer) { layers.push_back(layer); }
  }
  return layers;
}

string Names(const vector<string>& names) {
  string all;
  for (size_t i = 0; i < names.size(); ++i) {
    all += (i ? ", '" : "'") + names[i] + "'";
  }
  return all;
}

// What is wrong with an entry of a solver state, or nothing.
string DamageOf(const DropoutPatternState& pattern) {
  std::ostringstream damage;
  if (!pattern.has_layer()) { return "has no layer"; }
  if (!pattern.has_family()) { return "has no family"; }
  if (!pattern.has_max_period()) { return "has no max_period"; }
  if (!pattern.has_seed()) { return "has no seed"; }
  if (!pattern.has_draws()) { return "has no draws"; }
  const int size = pattern.probability_size();
  if (size != 0 && size != pattern.max_period()) {
    damage << "has " << size << " values of probability, but max_period is "
        << pattern.max_period();
  }
  double sum = 0;
  for (int i = 0; i < size; ++i) {
    if (!(pattern.probability(i) >= 0)) {
      damage << "has probability " << pattern.probability(i);
      return damage.str();
    }
    sum += pattern.probability(i);
  }
  if (size > 0 && !(std::abs(sum - 1) < 1e-3)) {
    damage << "has probabilities that sum to " << sum << " instead of 1";
  }
  return damage.str();
}

// The first entry of that name that no layer has taken yet, or -1.
int Find(const SolverState& state, const string& layer,
    const vector<bool>& taken) {
  for (int i = 0; i < state.dropout_pattern_size(); ++i) {
    if (!taken[i] && state.dropout_pattern(i).layer() == layer) { return i; }
  }
  return -1;
}

}  // namespace

void CheckDropoutPatterns(const SolverState& state) {
  for (int i = 0; i < state.dropout_pattern_size(); ++i) {
    const DropoutPatternState& pattern = state.dropout_pattern(i);
    const string damage = DamageOf(pattern);
    if (damage.empty()) {
      continue;
    }
    throw std::runtime_error("it is damaged: entry " + format_int(i) +
                             " of dropout_pattern (layer '" + pattern.layer() +
                             "') " + damage);
  }
}

template <typename Dtype>
void SeedDropoutPatterns(const Net<Dtype>& net, SolverParameter* param) {
  const vector<DropoutPatternLayer<Dtype>*> layers = PatternLayers(net);
  if (layers.empty()) { return; }
  if (param->random_seed() < 0) {
    CHECK(!IsMultiprocess<Caffe>(0)) << "Replicas in processes of their own "
        << "must draw the same dropout patterns: set random_seed in the solver";
    param->set_random_seed(caffe_rng_rand());
    LOG_IF(INFO, Caffe::root_solver()) << "Dropout patterns are drawn with "
        << "random_seed: " << param->random_seed();
  }
  for (size_t i = 0; i < layers.size(); ++i) {
    layers[i]->SetSeed(param->random_seed());
  }
}

template <typename Dtype>
void SaveDropoutPatterns(const Net<Dtype>& net, SolverState* state) {
  const vector<DropoutPatternLayer<Dtype>*> layers = PatternLayers(net);
  for (size_t i = 0; i < layers.size(); ++i) {
    layers[i]->ToProto(state->add_dropout_pattern());
  }
}

template <typename Dtype>
void RestoreDropoutPatterns(const Net<Dtype>& net, const SolverState& state) {
  const vector<DropoutPatternLayer<Dtype>*> layers = PatternLayers(net);
  vector<bool> taken(state.dropout_pattern_size());
  vector<string> started_over;
  for (size_t i = 0; i < layers.size(); ++i) {
    const string& name = layers[i]->layer_param().name();
    const int entry = Find(state, name, taken);
    if (entry < 0) {
      layers[i]->StartOver();
      started_over.push_back(name);
    } else {
      taken[entry] = true;
      layers[i]->FromProto(state.dropout_pattern(entry));
    }
  }
  vector<string> left_out;
  for (size_t i = 0; i < taken.size(); ++i) {
    if (!taken[i]) { left_out.push_back(state.dropout_pattern(i).layer()); }
  }
  LOG_IF(WARNING, !started_over.empty()) << "The solver state holds no "
      << "dropout patterns of " << Names(started_over) << ": these "
      << "DropoutPattern layers start at draw 0";
  LOG_IF(WARNING, !left_out.empty()) << "The net has no DropoutPattern layers "
      << Names(left_out) << ", which the solver state has: they are left out";
}

#define INSTANTIATE_DROPOUT_PATTERN_STATE(Dtype) \
  template void SeedDropoutPatterns<Dtype>(const Net<Dtype>&, \
      SolverParameter*); \
  template void SaveDropoutPatterns<Dtype>(const Net<Dtype>&, SolverState*); \
  template void RestoreDropoutPatterns<Dtype>(const Net<Dtype>&, \
      const SolverState&)

INSTANTIATE_DROPOUT_PATTERN_STATE(float);
INSTANTIATE_DROPOUT_PATTERN_STATE(double);

#ifdef USE_HDF5
namespace {

const char kGroup[] = "dropout_pattern";

void SaveUint64(hid_t group, const char* name, uint64_t value) {
  const hsize_t one = 1;
  CHECK_GE(H5LTmake_dataset(group, name, 1, &one, H5T_NATIVE_UINT64, &value),
      0) << "Failed to save " << name << " of a dropout pattern.";
}

void SavePatternToHDF5(const DropoutPatternState& state, hid_t group) {
  hdf5_save_string(group, "layer", state.layer());
  hdf5_save_int(group, "family", state.family());
  hdf5_save_int(group, "max_period", state.max_period());
  SaveUint64(group, "seed", state.seed());
  SaveUint64(group, "draws", state.draws());
  if (state.probability_size() > 0) {
    const hsize_t size = state.probability_size();
    CHECK_GE(H5LTmake_dataset_double(group, "probability", 1, &size,
        state.probability().data()), 0)
        << "Failed to save probability of a dropout pattern.";
  }
}

// The dataset's length, or 0 if it is not there or has not one axis.
hsize_t Length(hid_t group, const char* name) {
  int axes = 0;
  hsize_t length = 0;
  if (H5LTfind_dataset(group, name) > 0
      && H5LTget_dataset_ndims(group, name, &axes) >= 0 && axes == 1) {
    H5LTget_dataset_info(group, name, &length, NULL, NULL);
  }
  return length;
}

bool LoadUint64(hid_t group, const char* name, uint64_t* value) {
  return Length(group, name) == 1
      && H5LTread_dataset(group, name, H5T_NATIVE_UINT64, value) >= 0;
}

// Fields that are not there, or of another kind, stay unset. What is wrong with
// K, or nothing.
string LoadPatternFromHDF5(hid_t group, DropoutPatternState* state) {
  H5T_class_t type = H5T_NO_CLASS;
  if (H5LTfind_dataset(group, "layer") > 0 &&
      H5LTget_dataset_info(group, "layer", NULL, &type, NULL) >= 0 &&
      type == H5T_STRING) {
    state->set_layer(hdf5_load_string(group, "layer"));
  }
  uint64_t value = 0;
  if (LoadUint64(group, "family", &value)
      && DropoutPatternParameter::Family_IsValid(value)) {
    state->set_family(static_cast<DropoutPatternParameter::Family>(value));
  }
  if (LoadUint64(group, "max_period", &value)) {
    state->set_max_period(value);
  }
  if (LoadUint64(group, "seed", &value)) {
    state->set_seed(value);
  }
  if (LoadUint64(group, "draws", &value)) {
    state->set_draws(value);
  }
  if (H5LTfind_dataset(group, "probability") <= 0) {
    return string();
  }
  const string named = "DropoutPattern layer '" + state->layer() + "'";
  const hsize_t size = Length(group, "probability");
  if (size > kMaxPeriod) {
    return named + " has " + std::to_string(size) + " values of probability";
  }
  state->mutable_probability()->Resize(size, 0);
  return size > 0 && H5LTread_dataset_double(group, "probability",
                         state->mutable_probability()->mutable_data()) >= 0
             ? string()
             : "probability of " + named + " is not numbers";
}

// What is wrong with the file, or nothing.
string LoadPatternsFromHDF5(hid_t all, SolverState* state) {
  const int size = hdf5_get_num_links(all);
  for (int i = 0; i < size; ++i) {
    const string name = format_int(i);
    const hid_t group = H5Lexists(all, name.c_str(), H5P_DEFAULT) > 0
                            ? H5Gopen2(all, name.c_str(), H5P_DEFAULT)
                            : -1;
    if (group < 0) {
      return string(kGroup) + " has no group " + name;
    }
    const string damage =
        LoadPatternFromHDF5(group, state->add_dropout_pattern());
    H5Gclose(group);
    if (!damage.empty()) {
      return damage;
    }
  }
  return string();
}

}  // namespace

template <typename Dtype>
void SaveDropoutPatternsToHDF5(const Net<Dtype>& net, hid_t file) {
  SolverState state;
  SaveDropoutPatterns(net, &state);
  if (state.dropout_pattern_size() == 0) { return; }
  const hid_t all = H5Gcreate2(file, kGroup, H5P_DEFAULT, H5P_DEFAULT,
      H5P_DEFAULT);
  CHECK_GE(all, 0) << "Error saving dropout patterns.";
  for (int i = 0; i < state.dropout_pattern_size(); ++i) {
    std::ostringstream name;
    name << i;
    const hid_t group = H5Gcreate2(all, name.str().c_str(), H5P_DEFAULT,
        H5P_DEFAULT, H5P_DEFAULT);
    CHECK_GE(group, 0) << "Error saving dropout pattern " << i << ".";
    SavePatternToHDF5(state.dropout_pattern(i), group);
    H5Gclose(group);
  }
  H5Gclose(all);
}

void LoadDropoutPatternsFromHDF5(hid_t file, SolverState* state) {
  if (H5Lexists(file, kGroup, H5P_DEFAULT) <= 0) {
    return;
  }
  const hid_t all = H5Gopen2(file, kGroup, H5P_DEFAULT);
  const string damage = all < 0 ? string(kGroup) + " is no group"
                                : LoadPatternsFromHDF5(all, state);
  if (all >= 0) {
    H5Gclose(all);
  }
  if (!damage.empty()) {
    throw std::runtime_error("it is damaged: " + damage);
  }
}

template <typename Dtype>
void RestoreDropoutPatternsFromHDF5(const Net<Dtype>& net, hid_t file) {
  SolverState state;
  LoadDropoutPatternsFromHDF5(file, &state);
  RestoreDropoutPatterns(net, state);
}

#define INSTANTIATE_DROPOUT_PATTERN_HDF5(Dtype) \
  template void SaveDropoutPatternsToHDF5<Dtype>(const Net<Dtype>&, hid_t); \
  template void RestoreDropoutPatternsFromHDF5<Dtype>(const Net<Dtype>&, hid_t)

INSTANTIATE_DROPOUT_PATTERN_HDF5(float);
INSTANTIATE_DROPOUT_PATTERN_HDF5(double);
#endif  // USE_HDF5

}  // namespace caffe
