#include "caffe/approx_dropout/solver/snapshot_pair.hpp"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "caffe/approx_dropout/solver/dropout_pattern_state.hpp"
#include "caffe/approx_dropout/solver/hdf5_layers.hpp"
#include "caffe/approx_dropout/solver/run_state.hpp"
#include "caffe/approx_dropout/solver/snapshot_files.hpp"
#include "caffe/util/format.hpp"
#include "caffe/util/io.hpp"
#include "caffe/util/upgrade_proto.hpp"

namespace caffe {

namespace {

void Require(bool condition, const string& otherwise) {
  if (!condition) { throw std::runtime_error(otherwise); }
}

string Text(uint64_t number) {
  std::ostringstream text;
  text << number;
  return text.str();
}

// Leaves the shape only, which every blob in a file must fill.
void StripBlob(BlobProto* blob, const string& name) {
  double size = 1;  // no overflow
  for (int i = 0; i < blob->shape().dim_size(); ++i) {
    size *= blob->shape().dim(i);
  }
  if (!blob->has_shape()) {
    size *= blob->num();
    size *= blob->channels();
    size *= blob->height();
    size *= blob->width();
  }
  const int data = blob->double_data_size() > 0 ? blob->double_data_size() :
      blob->data_size();
  const int diff = blob->double_diff_size() > 0 ? blob->double_diff_size() :
      blob->diff_size();
  Require(data == size && (diff == 0 || diff == size), name
      + " has not as many numbers as its shape says");
  blob->clear_data();
  blob->clear_double_data();
  blob->clear_diff();
  blob->clear_double_diff();
}

void ReadBinaryState(const string& file, SolverState* state) {
  Require(ReadProtoFromBinaryFile(file, state) && state->has_iter(),
      "it is cut off, or not a solver state");
  for (int i = 0; i < state->history_size(); ++i) {
    StripBlob(state->mutable_history(i), "its history blob "
        + format_int(i));
  }
}

void ReadBinaryModel(const string& file, SnapshotPair* pair) {
  NetParameter net;
  Require(ReadProtoFromBinaryFile(file, &net) &&
      net.layer_size() + net.layers_size() > 0,
      "it is cut off, or not a model");
  UpgradeNetAsNeeded(file, &net);
  for (int i = 0; i < net.layer_size(); ++i) {
    LayerParameter* layer = net.mutable_layer(i);
    vector<BlobProto>* blobs = &pair->model[layer->name()];
    for (int j = 0; j < layer->blobs_size(); ++j) {
      StripBlob(layer->mutable_blobs(j), "blob " + format_int(j)
          + " of its layer '" + layer->name() + "'");
      blobs->push_back(layer->blobs(j));
    }
  }
}

#ifdef USE_HDF5

// Closes what HDF5 opened, and keeps the library from printing what is thrown.
class HDF5Id {
 public:
  HDF5Id(hid_t id, herr_t (*close)(hid_t)) : id_(id), close_(close) {}
  ~HDF5Id() { if (id_ >= 0) { close_(id_); } }
  operator hid_t() const { return id_; }
  bool valid() const { return id_ >= 0; }

 private:
  hid_t id_;
  herr_t (*close_)(hid_t);
  DISABLE_COPY_AND_ASSIGN(HDF5Id);
};

class QuietHDF5 {
 public:
  QuietHDF5() {
    H5Eget_auto2(H5E_DEFAULT, &print_, &data_);
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
  }
  ~QuietHDF5() { H5Eset_auto2(H5E_DEFAULT, print_, data_); }

 private:
  H5E_auto2_t print_;
  void* data_;
};

bool Exists(hid_t where, const string& name) {
  return H5Lexists(where, name.c_str(), H5P_DEFAULT) > 0;
}

// Shape and class of a dataset; false if there is none.
bool DatasetInfo(hid_t where, const string& name, vector<hsize_t>* shape,
    H5T_class_t* type, size_t* bytes) {
  int axes = 0;
  if (!Exists(where, name) ||
      H5LTget_dataset_ndims(where, name.c_str(), &axes) < 0) {
    return false;
  }
  shape->assign(axes + 1, 1);
  const bool found = H5LTget_dataset_info(where, name.c_str(), shape->data(),
      type, bytes) >= 0;
  shape->resize(axes);
  return found;
}

int ReadInt(hid_t file, const string& name) {
  vector<hsize_t> shape;
  H5T_class_t type;
  size_t bytes;
  int value = 0;
  Require(DatasetInfo(file, name, &shape, &type, &bytes) &&
      type == H5T_INTEGER && shape == vector<hsize_t>(1, 1) &&
      H5LTread_dataset_int(file, name.c_str(), &value) >= 0,
      "it has no number '" + name + "': it is not a solver state");
  return value;
}

string ReadString(hid_t file, const string& name) {
  vector<hsize_t> shape;
  H5T_class_t type;
  size_t bytes = 0;
  const bool found = DatasetInfo(file, name, &shape, &type, &bytes) &&
                     type == H5T_STRING && shape.empty() && bytes <= PATH_MAX;
  string value(found ? bytes + 1 : 0, '\0');
  Require(found &&
      H5LTread_dataset_string(file, name.c_str(), &value[0]) >= 0,
      "its '" + name + "' is not a text: it is not a solver state");
  return value.c_str();
}

// False if there is no such dataset of numbers.
bool ReadShape(hid_t where, const string& name, BlobProto* blob) {
  vector<hsize_t> shape;
  H5T_class_t type;
  size_t bytes;
  if (!DatasetInfo(where, name, &shape, &type, &bytes) || type != H5T_FLOAT) {
    return false;
  }
  blob->mutable_shape();
  for (size_t i = 0; i < shape.size(); ++i) {
    // Longer axes than a blob has would be cut down.
    if (shape[i] > INT_MAX) {
      return false;
    }
    blob->mutable_shape()->add_dim(shape[i]);
  }
  return true;
}

int Links(hid_t group) {
  H5G_info_t info;
  Require(H5Gget_info(group, &info) >= 0, "it is damaged");
  return info.nlinks;
}

hid_t OpenHDF5(const string& file) {
  const hid_t id = H5Fopen(file.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT);
  Require(id >= 0, "it is cut off, or not an HDF5 file");
  return id;
}

void ReadHDF5State(const string& name, SolverState* state) {
  QuietHDF5 quiet;
  HDF5Id file(OpenHDF5(name), H5Fclose);
  state->set_iter(ReadInt(file, "iter"));
  state->set_current_step(ReadInt(file, "current_step"));
  if (Exists(file, "learned_net")) {
    state->set_learned_net(ReadString(file, "learned_net"));
  }
  HDF5Id history(H5Gopen2(file, "history", H5P_DEFAULT), H5Gclose);
  Require(history.valid(), "it has no history: it is not a solver state");
  const int size = Links(history);
  for (int i = 0; i < size; ++i) {
    Require(ReadShape(history, format_int(i), state->add_history()),
        "its history blob " + format_int(i) + " is not numbers");
  }
  LoadDropoutPatternsFromHDF5(file, state);
  *state->mutable_run() = LoadRunStateFromHDF5(file);
}

void ReadHDF5Model(const string& name, SnapshotPair* pair) {
  QuietHDF5 quiet;
  HDF5Id file(OpenHDF5(name), H5Fclose);
  HDF5Id data(H5Gopen2(file, "data", H5P_DEFAULT), H5Gclose);
  Require(data.valid(), "it has no data: it is not a model");
  const vector<HDF5Layer> layers = HDF5Layers(data);
  for (size_t i = 0; i < layers.size(); ++i) {
    const string& layer = layers[i].name;
    HDF5Id group(H5Gopen2(data, layer.c_str(), H5P_DEFAULT), H5Gclose);
    vector<BlobProto>* blobs = &pair->model[layer];
    // What a layer shares is left out.
    for (int j = 0, found = 0; found < layers[i].blobs; ++j) {
      blobs->push_back(BlobProto());
      found += ReadShape(group, format_int(j), &blobs->back());
      Require(j < 1000, "its layer '" + layer + "' holds something else than "
          "blobs");
    }
  }
}

#endif  // USE_HDF5

bool NamesHDF5(const string& file) {
  return file.size() >= 3 && file.compare(file.size() - 3, 3, ".h5") == 0;
}

void RequireReadable(const string& path) {
  const int file = open(path.c_str(), O_RDONLY);
  char byte;
  // A folder opens, but cannot be read.
  const bool readable = file >= 0 && read(file, &byte, 1) >= 0;
  const int error = errno;
  if (file >= 0) { close(file); }
  Require(readable, strerror(error));
}

void ReadState(const string& file, SolverState* state) {
  RequireReadable(file);
  if (!NamesHDF5(file)) {
    ReadBinaryState(file, state);
  } else {
#ifdef USE_HDF5
    ReadHDF5State(file, state);
#else
    Require(false, "this build of Caffe lacks HDF5");
#endif
  }
  CheckDropoutPatterns(*state);
}

void ReadModel(const string& file, const RunState& run, SnapshotPair* pair) {
  RequireReadable(file);
  Require(!run.has_model_bytes() || run.model_bytes() == FileBytes(file),
      "it has " + Text(FileBytes(file)) + " bytes, not the "
      + Text(run.model_bytes()) + " that were saved: it is cut off, or of "
      "another run");
#ifdef USE_HDF5
  // As Net::CopyTrainedLayersFrom, whatever the name.
  if (H5Fis_hdf5(file.c_str()) > 0) { return ReadHDF5Model(file, pair); }
#endif
  ReadBinaryModel(file, pair);
}

}  // namespace

SnapshotPair ReadSnapshot(const string& state_file) {
  SnapshotPair pair;
  try {
    ReadState(state_file, &pair.state);
  } catch (const std::runtime_error& error) {
    throw std::runtime_error("Solver state " + state_file + ": "
        + error.what());
  }
  if (!pair.state.has_learned_net()) { return pair; }
  try {
    ReadModel(pair.state.learned_net(), pair.state.run(), &pair);
  } catch (const std::runtime_error& error) {
    throw std::runtime_error("Model " + pair.state.learned_net() + " of "
        "solver state " + state_file + ": " + error.what());
  }
  return pair;
}

}  // namespace caffe
