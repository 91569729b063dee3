#ifndef CAFFE_APPROX_DROPOUT_SOLVER_RUN_STATE_HPP_
#define CAFFE_APPROX_DROPOUT_SOLVER_RUN_STATE_HPP_

#include <vector>

#ifdef USE_HDF5
#include "hdf5.h"
#endif

#include "caffe/net.hpp"
#include "caffe/proto/caffe.pb.h"

namespace caffe {

/**
 * @brief What a solver state says beyond weights, history and dropout
 *        patterns: where Caffe's generator of random numbers and every
 *        ResumableLayer of the train net and the test nets stand.
 */

template <typename Dtype>
void SaveRunState(const Net<Dtype>& net,
    const vector<shared_ptr<Net<Dtype> > >& test_nets, RunState* run);

/// @brief Restores it. Layers are matched by net, name and type. One that only
///        the nets or only the state have is a warning, as is a state without
///        a run state, which is one of stock Caffe.
template <typename Dtype>
void RestoreRunState(const Net<Dtype>& net,
    const vector<shared_ptr<Net<Dtype> > >& test_nets, const RunState& run);

#ifdef USE_HDF5
/// @brief In HDF5 the serialized message is the dataset run_state.
void SaveRunStateToHDF5(const RunState& run, hid_t file);

/// @brief An empty message if the file has none.
RunState LoadRunStateFromHDF5(hid_t file);
#endif  // USE_HDF5

}  // namespace caffe

#endif  // CAFFE_APPROX_DROPOUT_SOLVER_RUN_STATE_HPP_
