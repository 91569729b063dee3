#include "caffe/approx_dropout/solver/run_state.hpp"

#include <climits>
#include <stdexcept>
#include <string>
#include <vector>

#include "caffe/approx_dropout/ranks/ranks.hpp"
#include "caffe/approx_dropout/solver/rank_requests.hpp"
#include "caffe/approx_dropout/solver/rank_state.hpp"
#include "caffe/approx_dropout/solver/snapshot_files.hpp"
#include "caffe/layers/resumable_layer.hpp"
#include "caffe/solver.hpp"
#include "caffe/util/format.hpp"

namespace caffe {

namespace {

// A ResumableLayer of one of the nets, and what a state says of its place.
struct Place {
  ResumableLayer* layer;
  LayerState id;  // layer, type, test_net

  bool Is(const LayerState& other) const {
    return id.layer() == other.layer() && id.type() == other.type() &&
        id.has_test_net() == other.has_test_net() &&
        id.test_net() == other.test_net();
  }
};

string Name(const LayerState& id) {
  const string net = id.has_test_net() ?
      "test net #" + format_int(id.test_net()) : string("the train net");
  return id.type() + " layer '" + id.layer() + "' of " + net;
}

template <typename Dtype>
void AddPlaces(const Net<Dtype>& net, int test_net, vector<Place>* places) {
  for (size_t i = 0; i < net.layers().size(); ++i) {
    Layer<Dtype>* layer = net.layers()[i].get();
    Place place;
    place.layer = dynamic_cast<ResumableLayer*>(layer);
    if (!place.layer) { continue; }
    place.id.set_layer(layer->layer_param().name());
    const char* type = place.layer->state_type();
    place.id.set_type(type ? type : layer->type());
    if (test_net >= 0) { place.id.set_test_net(test_net); }
    places->push_back(place);
  }
}

template <typename Dtype>
vector<Place> Places(const Net<Dtype>& net,
    const vector<shared_ptr<Net<Dtype> > >& test_nets) {
  vector<Place> places;
  AddPlaces(net, -1, &places);
  for (size_t i = 0; i < test_nets.size(); ++i) {
    AddPlaces(*test_nets[i], i, &places);
  }
  return places;
}

}  // namespace

template <typename Dtype>
void SaveRunState(const Net<Dtype>& net,
    const vector<shared_ptr<Net<Dtype> > >& test_nets, RunState* run) {
  const vector<Place> places = Places(net, test_nets);
  for (size_t i = 0; i < places.size(); ++i) {
    LayerState* state = run->add_layer();
    *state = places[i].id;
    places[i].layer->SaveState(state);
  }
  run->set_generator(SaveGenerator(&Caffe::rng_stream()));
}

template <typename Dtype>
void RestoreRunState(const Net<Dtype>& net,
    const vector<shared_ptr<Net<Dtype> > >& test_nets, const RunState& run) {
  if (!run.has_generator()) {
    LOG(WARNING) << "The solver state does not say where data and random "
        << "numbers stand, as those of stock Caffe: data layers start at "
        << "their first record";
    return;
  }
  const vector<Place> places = Places(net, test_nets);
  vector<bool> used(run.layer_size(), false);
  for (size_t i = 0; i < places.size(); ++i) {
    int k = 0;
    while (k < run.layer_size() &&
        (used[k] || !places[i].Is(run.layer(k)))) {
      ++k;
    }
    if (k < run.layer_size()) {
      places[i].layer->RestoreState(run.layer(k));
      used[k] = true;
    } else {
      LOG(WARNING) << Name(places[i].id) << " is not in the solver state: it "
          << "starts as in a new training";
    }
  }
  for (int k = 0; k < run.layer_size(); ++k) {
    LOG_IF(WARNING, !used[k]) << "The solver state is also of "
        << Name(run.layer(k)) << ", which is not there any more";
  }
  // Last, since layers that start anew draw. Solvers of other GPUs must not
  // draw what the first one draws; a rank's state is its own.
  if (Caffe::root_solver() || Ranks::Get()) {
    RestoreGenerator(run.generator(), &Caffe::rng_stream());
  }
}

template <typename Dtype>
RunState Solver<Dtype>::CurrentRun() {
  RunState run;
  run.set_solver_type(type());
  SaveRunState(*net_, test_nets_, &run);
  return run;
}

template <typename Dtype>
RunState Solver<Dtype>::SnapshotRun(const string& model_filename) {
  RunState run = before_test_ ? *before_test_ : CurrentRun();
  run.set_model_bytes(FileBytes(PartOf(model_filename)));
  return run;
}

template <typename Dtype>
void Solver<Dtype>::TestAll() {
  Ranks* ranks = Ranks::Get();
  if (!ranks || ranks->rank() == 0) {
    before_test_.reset(new RunState(CurrentRun()));
    RankRequests::Get()->set_testing(true);
    TestNets();
    RankRequests::Get()->set_testing(false);
    if (!requested_early_exit_) {
      before_test_.reset();
    }
  }
  // The others wait.
  if (ranks) {
    ranks->Broadcast(&requested_early_exit_, sizeof(requested_early_exit_));
  }
}

template <typename Dtype>
void Solver<Dtype>::RestoreRun(const RunState& run) {
  before_test_.reset();
  Ranks* ranks = Ranks::Get();
  if (ranks) {
    restored_run_.reset(new RunState(run));
  }
  RestoreRunState(*net_, test_nets_,
      RunOfRank(run, ranks ? ranks->rank() : 0, ranks ? ranks->size() : 1));
}

#define INSTANTIATE_RUN_STATE(Dtype) \
  template void SaveRunState<Dtype>(const Net<Dtype>&, \
      const vector<shared_ptr<Net<Dtype> > >&, RunState*); \
  template void RestoreRunState<Dtype>(const Net<Dtype>&, \
      const vector<shared_ptr<Net<Dtype> > >&, const RunState&); \
  template RunState Solver<Dtype>::CurrentRun(); \
  template RunState Solver<Dtype>::SnapshotRun(const string&); \
  template void Solver<Dtype>::TestAll(); \
  template void Solver<Dtype>::RestoreRun(const RunState&)

INSTANTIATE_RUN_STATE(float);
INSTANTIATE_RUN_STATE(double);

#ifdef USE_HDF5
namespace {

const char kDataset[] = "run_state";

}  // namespace

void SaveRunStateToHDF5(const RunState& run, hid_t file) {
  const string bytes = run.SerializeAsString();
  const hsize_t size = bytes.size();
  CHECK_GE(H5LTmake_dataset(file, kDataset, 1, &size, H5T_NATIVE_UCHAR,
      bytes.data()), 0) << "Failed to save " << kDataset;
}

RunState LoadRunStateFromHDF5(hid_t file) {
  RunState run;
  if (H5Lexists(file, kDataset, H5P_DEFAULT) <= 0) { return run; }
  int axes = 0;
  hsize_t size = 0;
  string bytes;
  bool read = H5LTget_dataset_ndims(file, kDataset, &axes) >= 0 && axes == 1 &&
              H5LTget_dataset_info(file, kDataset, &size, NULL, NULL) >= 0 &&
              size <= INT_MAX;
  if (read) {
    bytes.resize(size);
    read = H5LTread_dataset(file, kDataset, H5T_NATIVE_UCHAR, &bytes[0]) >= 0;
  }
  if (!read || !run.ParseFromString(bytes)) {
    throw std::runtime_error(string("its dataset ") + kDataset
        + " is damaged");
  }
  return run;
}
#endif  // USE_HDF5

}  // namespace caffe
