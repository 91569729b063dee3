#ifndef CAFFE_RESUMABLE_LAYER_HPP_
#define CAFFE_RESUMABLE_LAYER_HPP_

#include <stdint.h>

#include <string>
#include <vector>

#include "caffe/blob.hpp"
#include "caffe/common.hpp"
#include "caffe/proto/caffe.pb.h"

namespace caffe {

/**
 * @brief A layer whose next Forward depends on more than its bottoms and
 *        blobs: on where it reads, on random numbers of its own, on what its
 *        last pass handed on. A solver keeps that in its snapshots.
 */
class ResumableLayer {
 public:
  virtual ~ResumableLayer() {}
  /// @brief Says where the next Forward starts.
  virtual void SaveState(LayerState* state) const = 0;
  /// @brief Makes the next Forward start there. Where the data has changed
  ///        since, a warning says where it starts instead.
  virtual void RestoreState(const LayerState& state) = 0;
  /// @brief The type whose states it writes and goes on from; NULL: its own.
  virtual const char* state_type() const { return NULL; }
};

/// @brief A generator's state as text, the same for every version of Boost.
string SaveGenerator(Caffe::RNG* generator);

/// @brief Restores it. Throws std::runtime_error if it is no generator's.
void RestoreGenerator(const string& text, Caffe::RNG* generator);

/// @brief What a recurrent layer hands on to its next pass; false, and nothing
///        is done, if the shapes differ.
template <typename Dtype>
bool RestoreBlobs(const LayerState& state, const vector<Blob<Dtype>*>& blobs);

/// @brief 64 bits of the data, mixed with `seed` (FNV-1a).
uint64_t Checksum(const void* data, size_t bytes,
    uint64_t seed = 0xcbf29ce484222325ULL);

}  // namespace caffe

#endif  // CAFFE_RESUMABLE_LAYER_HPP_
