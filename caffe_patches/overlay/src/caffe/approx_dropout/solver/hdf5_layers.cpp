#include "caffe/approx_dropout/solver/hdf5_layers.hpp"

#include <map>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "caffe/util/format.hpp"

#ifdef USE_HDF5

namespace caffe {

namespace {

void Refuse(const string& layer, const string& reason) {
  throw std::runtime_error("Layer '" + layer +
                           "' has no place in an HDF5 "
                           "file: " +
                           reason +
                           ". Rename it, or set snapshot_format: BINARYPROTO");
}

// HDF5 takes "a//b" and "a/./b" for "a/b".
bool IsPath(const string& name) {
  size_t begin = 0, end;
  do {
    end = name.find('/', begin);
    const string part = name.substr(begin, end - begin);
    if (part.empty() || part == ".") {
      return false;
    }
    begin = end + 1;
  } while (end != string::npos);
  return true;
}

// A group, with what lies in it but in none of its groups.
struct Group {
  Group() : datasets(0), groups(0) {}
  int datasets, groups;
};

typedef std::map<string, Group> Groups;  // by path, "" is where they all lie

// H5Lvisit calls it for each link, once for each object; path: from the group
// on that is visited.
herr_t AddLink(hid_t where, const char* path, const H5L_info_t*, void* data) {
  Groups* groups = static_cast<Groups*>(data);
  const string name = path;
  const size_t slash = name.rfind('/');
  Group* parent =
      &(*groups)[slash == string::npos ? "" : name.substr(0, slash)];
  const hid_t object = H5Oopen(where, path, H5P_DEFAULT);
  if (object < 0) {
    return -1;
  }
  if (H5Iget_type(object) == H5I_GROUP) {
    (*groups)[name];
    ++parent->groups;
  } else {
    ++parent->datasets;
  }
  H5Oclose(object);
  return 0;
}

}  // namespace

template <typename Dtype>
void CheckHDF5Layers(const Net<Dtype>& net) {
  const vector<string>& names = net.layer_names();
  std::set<string> groups;
  std::map<string, string> datasets;  // the layer of each
  for (size_t i = 0; i < names.size(); ++i) {
    if (!IsPath(names[i])) {
      Refuse(names[i],
          "before, between and behind slashes there must be names "
          "other than '.'");
    }
    if (!groups.insert(names[i]).second) {
      Refuse(names[i], "another layer has the same name");
    }
    for (size_t j = 0; j < net.layers()[i]->blobs().size(); ++j) {
      datasets[names[i] + "/" + format_int(j)] = names[i];
    }
  }
  for (size_t i = 0; i < names.size(); ++i) {
    size_t end = 0;
    do {
      end = names[i].find('/', end + 1);
      const string path = names[i].substr(0, end);
      if (datasets.count(path)) {
        Refuse(names[i], path + " is a blob of layer '" + datasets[path] + "'");
      }
    } while (end != string::npos);
  }
}

template void CheckHDF5Layers<float>(const Net<float>&);
template void CheckHDF5Layers<double>(const Net<double>&);

hid_t CreateHDF5Layer(hid_t where, const string& layer) {
  hid_t group = -1;
  size_t end = 0;
  do {
    if (group >= 0) {
      H5Gclose(group);
    }
    end = layer.find('/', end + 1);
    const string path = layer.substr(0, end);
    // It is there if another layer lies in it.
    group = H5Lexists(where, path.c_str(), H5P_DEFAULT) > 0
                ? H5Gopen2(where, path.c_str(), H5P_DEFAULT)
                : H5Gcreate2(where, path.c_str(), H5P_DEFAULT, H5P_DEFAULT,
                      H5P_DEFAULT);
  } while (end != string::npos);
  return group;
}

vector<HDF5Layer> HDF5Layers(hid_t where) {
  Groups groups;
  if (H5Lvisit(where, H5_INDEX_NAME, H5_ITER_NATIVE, AddLink, &groups) < 0) {
    throw std::runtime_error("a layer cannot be read: the file is damaged");
  }
  if (groups[""].datasets > 0) {
    throw std::runtime_error("a blob lies in no layer: it is not a model");
  }
  groups.erase("");
  vector<HDF5Layer> layers;
  for (Groups::const_iterator i = groups.begin(); i != groups.end(); ++i) {
    if (i->second.datasets == 0 && i->second.groups > 0) {
      continue;
    }
    HDF5Layer layer = {i->first, i->second.datasets};
    layers.push_back(layer);
  }
  return layers;
}

}  // namespace caffe

#endif  // USE_HDF5
