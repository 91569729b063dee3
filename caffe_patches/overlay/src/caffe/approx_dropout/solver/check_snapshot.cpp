#include <dirent.h>
#include <stdlib.h>

#include <algorithm>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "caffe/approx_dropout/solver/check_snapshot.hpp"
#include "caffe/approx_dropout/solver/snapshot_pair.hpp"
#include "caffe/layers/resumable_layer.hpp"

namespace caffe {

namespace {

string ShapeText(const BlobProto& blob) {
  std::ostringstream text;
  if (blob.has_shape()) {
    for (int i = 0; i < blob.shape().dim_size(); ++i) {
      text << (i ? " x " : "") << blob.shape().dim(i);
    }
  } else {
    text << blob.num() << " x " << blob.channels() << " x " << blob.height()
        << " x " << blob.width();
  }
  return "(" + text.str() + ")";
}

template <typename Dtype>
string ShapeText(const Blob<Dtype>& blob) {
  BlobProto shape;
  for (int i = 0; i < blob.num_axes(); ++i) {
    shape.mutable_shape()->add_dim(blob.shape(i));
  }
  shape.mutable_shape();
  return ShapeText(shape);
}

template <typename Dtype>
string ParameterName(const Net<Dtype>& net, const Blob<Dtype>* parameter) {
  std::ostringstream name;
  for (size_t i = 0; i < net.layers().size(); ++i) {
    const vector<shared_ptr<Blob<Dtype> > >& blobs = net.layers()[i]->blobs();
    for (size_t j = 0; j < blobs.size(); ++j) {
      if (blobs[j].get() == parameter) {
        name << "blob " << j << " of layer '" << net.layer_names()[i] << "'";
      }
    }
  }
  return name.str();
}

template <typename Dtype>
bool IsShared(const Net<Dtype>& net, const Blob<Dtype>* parameter) {
  for (size_t i = 0; i < net.params().size(); ++i) {
    if (net.params()[i].get() == parameter) {
      return net.param_owners()[i] != -1;
    }
  }
  return false;
}

// What is wrong, or nothing.
template <typename Dtype>
string HistoryFault(const SolverState& state, const string& solver_type,
    const Net<Dtype>& net, const vector<shared_ptr<Blob<Dtype> > >& history) {
  std::ostringstream fault;
  const string& saved_type = state.run().solver_type();
  if (!saved_type.empty() && saved_type != solver_type) {
    fault << "it was saved by a solver of type: \"" << saved_type << "\"; "
        << "this one has type: \"" << solver_type << "\"";
  } else if (state.history_size() != history.size()) {
    fault << "it holds " << state.history_size() << " history blobs; a solver "
        << "of type: \"" << solver_type << "\" has " << history.size()
        << " for this net. It is of another net or another type of solver, "
        << "or cut off";
  }
  for (size_t i = 0; i < history.size() && fault.str().empty(); ++i) {
    if (history[i]->ShapeEquals(state.history(i))) { continue; }
    const vector<Blob<Dtype>*>& parameters = net.learnable_params();
    fault << "it is of another net: its history blob " << i << " has shape "
        << ShapeText(state.history(i)) << "; "
        << ParameterName(net, parameters[i % parameters.size()])
        << " has shape " << ShapeText(*history[i]);
  }
  return fault.str();
}

template <typename Dtype>
string ModelFault(const SnapshotPair& pair, const Net<Dtype>& net) {
  std::ostringstream fault;
  for (size_t i = 0; i < net.layers().size() && fault.str().empty(); ++i) {
    const vector<shared_ptr<Blob<Dtype> > >& blobs = net.layers()[i]->blobs();
    if (blobs.empty()) { continue; }
    const string& name = net.layer_names()[i];
    vector<BlobProto> saved;
    if (pair.model.count(name)) { saved = pair.model.find(name)->second; }
    // Shared blobs at the end are left out of an HDF5 file.
    while (saved.size() < blobs.size() &&
        IsShared(net, blobs[saved.size()].get())) {
      saved.push_back(BlobProto());
    }
    if (saved.size() != blobs.size()) {
      fault << "it has " << saved.size() << " blobs of layer '" << name
          << "'; in this net that has " << blobs.size();
    }
    for (size_t j = 0; j < blobs.size() && fault.str().empty(); ++j) {
      const bool fits = saved[j].ByteSizeLong() == 0 ?
          IsShared(net, blobs[j].get()) : blobs[j]->ShapeEquals(saved[j]);
      if (!fits) {
        fault << "its blob " << j << " of layer '" << name << "' has shape "
            << ShapeText(saved[j]) << "; in this net that has "
            << ShapeText(*blobs[j]);
      }
    }
  }
  return fault.str();
}

void CheckGenerators(const RunState& run) {
  Caffe::RNG scratch(0);
  if (run.has_generator()) { RestoreGenerator(run.generator(), &scratch); }
  for (int i = 0; i < run.layer_size(); ++i) {
    const LayerState& layer = run.layer(i);
    if (layer.has_generator()) {
      RestoreGenerator(layer.generator(), &scratch);
    }
    if (layer.has_transform_generator()) {
      RestoreGenerator(layer.transform_generator(), &scratch);
    }
  }
}

}  // namespace

template <typename Dtype>
void CheckSnapshot(const string& state_file, const string& solver_type,
    const Net<Dtype>& net, const vector<shared_ptr<Blob<Dtype> > >& history) {
  const SnapshotPair pair = ReadSnapshot(state_file);
  string fault = HistoryFault(pair.state, solver_type, net, history);
  if (fault.empty()) {
    try {
      CheckGenerators(pair.state.run());
    } catch (const std::runtime_error& error) {
      fault = error.what();
    }
  }
  if (!fault.empty()) {
    throw std::runtime_error("Solver state " + state_file + ": " + fault);
  }
  if (!pair.state.has_learned_net()) { return; }
  fault = ModelFault(pair, net);
  if (!fault.empty()) {
    throw std::runtime_error("Model " + pair.state.learned_net() + " of "
        "solver state " + state_file + ": " + fault);
  }
}

template void CheckSnapshot<float>(const string&, const string&,
    const Net<float>&, const vector<shared_ptr<Blob<float> > >&);
template void CheckSnapshot<double>(const string&, const string&,
    const Net<double>&, const vector<shared_ptr<Blob<double> > >&);

namespace {

// The iteration of <base>_iter_<iteration>.solverstate, or ….solverstate.h5;
// -1 for any other name.
long IterationOf(const string& name, const string& base) {
  const string start = base + "_iter_";
  if (name.compare(0, start.size(), start) != 0) { return -1; }
  const char* digits = name.c_str() + start.size();
  char* end;
  const long iteration = strtol(digits, &end, 10);
  const string rest = end;
  return end > digits && *digits >= '0' && *digits <= '9' &&
      (rest == ".solverstate" || rest == ".solverstate.h5") ? iteration : -1;
}

}  // namespace

string NewestSnapshot(const string& prefix) {
  const size_t base = prefix.rfind('/') + 1;  // npos + 1 is 0
  const string folder = prefix.substr(0, base);
  vector<std::pair<long, string> > found;
  if (DIR* listing = opendir(folder.empty() ? "." : folder.c_str())) {
    while (const dirent* entry = readdir(listing)) {
      const long iteration = IterationOf(entry->d_name, prefix.substr(base));
      if (iteration >= 0) {
        found.push_back(std::make_pair(iteration, folder + entry->d_name));
      }
    }
    closedir(listing);
  }
  std::sort(found.rbegin(), found.rend());
  for (size_t i = 0; i < found.size(); ++i) {
    try {
      ReadSnapshot(found[i].second);
      LOG(INFO) << "The newest snapshot of " << prefix << " that is whole: "
          << found[i].second;
      return found[i].second;
    } catch (const std::runtime_error& error) {
      LOG(WARNING) << "Passed over. " << error.what();
    }
  }
  LOG(INFO) << "There is no whole snapshot of " << prefix
      << ": training starts anew";
  return string();
}

}  // namespace caffe
