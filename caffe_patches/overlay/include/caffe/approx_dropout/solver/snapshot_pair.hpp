#ifndef CAFFE_APPROX_DROPOUT_SOLVER_SNAPSHOT_PAIR_HPP_
#define CAFFE_APPROX_DROPOUT_SOLVER_SNAPSHOT_PAIR_HPP_

#include <map>
#include <string>
#include <vector>

#include "caffe/net.hpp"
#include "caffe/proto/caffe.pb.h"

namespace caffe {

/**
 * @brief A solver state and the model that belongs to it, as far as one must
 *        know them to say whether a training can go on from them. Blobs have
 *        their shapes only.
 *
 * Whatever is wrong throws std::runtime_error, which names the file.
 */
struct SnapshotPair {
  SolverState state;
  /// Blobs of each layer of the model, by name; without a shape what the
  /// layer shares with another one. Empty if the state names no model.
  std::map<string, vector<BlobProto> > model;
};

/// @brief Reads a pair of either format. Throws if one is missing, cut off, or
///        something else.
SnapshotPair ReadSnapshot(const string& state_file);

}  // namespace caffe

#endif  // CAFFE_APPROX_DROPOUT_SOLVER_SNAPSHOT_PAIR_HPP_
