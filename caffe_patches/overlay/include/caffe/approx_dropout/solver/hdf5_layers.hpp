#ifndef CAFFE_APPROX_DROPOUT_SOLVER_HDF5_LAYERS_HPP_
#define CAFFE_APPROX_DROPOUT_SOLVER_HDF5_LAYERS_HPP_

#include <string>
#include <vector>

#include "caffe/net.hpp"
#include "caffe/util/use_hdf5.hpp"

#ifdef USE_HDF5

namespace caffe {

/**
 * @brief Where the layers of a net lie in an HDF5 model: each is a group, whose
 *        datasets 0, 1, ... are its blobs. HDF5 has paths, so that a layer
 *        "a/b" is the group b in the group a, which may be a layer too.
 */
struct HDF5Layer {
  string name;
  int blobs;
};

/// @brief Throws std::runtime_error, which names the layer, if one has no place
///        of its own.
template <typename Dtype>
void CheckHDF5Layers(const Net<Dtype>& net);

/// @brief The group of a layer, with those that it lies in.
hid_t CreateHDF5Layer(hid_t where, const string& layer);

/// @brief All layers below a group; throws std::runtime_error if it is damaged.
vector<HDF5Layer> HDF5Layers(hid_t where);

}  // namespace caffe

#endif  // USE_HDF5

#endif  // CAFFE_APPROX_DROPOUT_SOLVER_HDF5_LAYERS_HPP_
