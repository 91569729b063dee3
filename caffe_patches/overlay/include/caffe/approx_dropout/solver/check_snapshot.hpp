#ifndef CAFFE_APPROX_DROPOUT_SOLVER_CHECK_SNAPSHOT_HPP_
#define CAFFE_APPROX_DROPOUT_SOLVER_CHECK_SNAPSHOT_HPP_

#include <string>
#include <vector>

#include "caffe/net.hpp"

namespace caffe {

/// @brief Throws std::runtime_error, which names the file and what is wrong,
///        unless ReadSnapshot takes the solver state and its model, and a
///        solver of this type, with this net and history, can go on from them.
template <typename Dtype>
void CheckSnapshot(const string& state_file, const string& solver_type,
    const Net<Dtype>& net, const vector<shared_ptr<Blob<Dtype> > >& history);

/// @brief The state of the highest iteration, of those with this
///        snapshot_prefix, that ReadSnapshot takes; "" if there is none. Logs
///        which one, and which were passed over and why.
string NewestSnapshot(const string& prefix);

}  // namespace caffe

#endif  // CAFFE_APPROX_DROPOUT_SOLVER_CHECK_SNAPSHOT_HPP_
