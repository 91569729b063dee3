#include <sstream>
#include <string>
#include <vector>

#ifdef USE_HDF5
#include "hdf5_hl.h"
#endif

#include "caffe/approx_dropout/solver/dropout_pattern_state.hpp"
#include "caffe/approx_dropout/solver/older_caffe.hpp"
#include "caffe/layers/dropout_pattern_layer.hpp"
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
  string all = names.empty() ? "none" : names[0];
  for (size_t i = 1; i < names.size(); ++i) { all += ", " + names[i]; }
  return all;
}

}  // namespace

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
  if (state.dropout_pattern_size() == 0) {
    LOG_IF(WARNING, !layers.empty()) << "The solver state holds no dropout "
        << "patterns: the net's DropoutPattern layers start at draw 0";
    return;
  }
  vector<string> saved;
  vector<string> present;
  for (int i = 0; i < state.dropout_pattern_size(); ++i) {
    saved.push_back(state.dropout_pattern(i).layer());
  }
  for (size_t i = 0; i < layers.size(); ++i) {
    present.push_back(layers[i]->layer_param().name());
  }
  CHECK(saved == present) << "The solver state does not fit the net: it was "
      << "saved with the DropoutPattern layers " << Names(saved)
      << "; the net has " << Names(present);
  for (size_t i = 0; i < layers.size(); ++i) {
    layers[i]->FromProto(state.dropout_pattern(i));
  }
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

uint64_t LoadUint64(hid_t group, const char* name) {
  uint64_t value;
  CHECK_GE(H5LTread_dataset(group, name, H5T_NATIVE_UINT64, &value), 0)
      << "Failed to load " << name << " of a dropout pattern.";
  return value;
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

DropoutPatternState LoadPatternFromHDF5(hid_t group) {
  DropoutPatternState state;
  state.set_layer(hdf5_load_string(group, "layer"));
  const int family = hdf5_load_int(group, "family");
  CHECK(DropoutPatternParameter::Family_IsValid(family))
      << "The solver state is damaged: DropoutPattern layer '" << state.layer()
      << "' has family " << family;
  state.set_family(static_cast<DropoutPatternParameter::Family>(family));
  state.set_max_period(hdf5_load_int(group, "max_period"));
  state.set_seed(LoadUint64(group, "seed"));
  state.set_draws(LoadUint64(group, "draws"));
  if (H5LTfind_dataset(group, "probability")) {
    hsize_t size = 0;
    CHECK_GE(H5LTget_dataset_info(group, "probability", &size, NULL, NULL), 0)
        << "Failed to load probability of DropoutPattern layer '"
        << state.layer() << "'";
    vector<double> probability(size);
    CHECK_GE(H5LTread_dataset_double(group, "probability",
        probability.data()), 0)
        << "Failed to load probability of DropoutPattern layer '"
        << state.layer() << "'";
    for (size_t i = 0; i < probability.size(); ++i) {
      state.add_probability(probability[i]);
    }
  }
  return state;
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

template <typename Dtype>
void RestoreDropoutPatternsFromHDF5(const Net<Dtype>& net, hid_t file) {
  SolverState state;
  if (H5Lexists(file, kGroup, H5P_DEFAULT) > 0) {
    const hid_t all = H5Gopen2(file, kGroup, H5P_DEFAULT);
    CHECK_GE(all, 0) << "Error reading dropout patterns.";
    const int size = hdf5_get_num_links(all);
    for (int i = 0; i < size; ++i) {
      std::ostringstream name;
      name << i;
      const hid_t group = H5Gopen2(all, name.str().c_str(), H5P_DEFAULT);
      CHECK_GE(group, 0) << "Error reading dropout pattern " << i << ".";
      *state.add_dropout_pattern() = LoadPatternFromHDF5(group);
      H5Gclose(group);
    }
    H5Gclose(all);
  }
  RestoreDropoutPatterns(net, state);
}

#define INSTANTIATE_DROPOUT_PATTERN_HDF5(Dtype) \
  template void SaveDropoutPatternsToHDF5<Dtype>(const Net<Dtype>&, hid_t); \
  template void RestoreDropoutPatternsFromHDF5<Dtype>(const Net<Dtype>&, hid_t)

INSTANTIATE_DROPOUT_PATTERN_HDF5(float);
INSTANTIATE_DROPOUT_PATTERN_HDF5(double);
#endif  // USE_HDF5

}  // namespace caffe
