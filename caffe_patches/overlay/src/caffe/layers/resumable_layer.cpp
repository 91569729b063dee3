#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "caffe/layers/resumable_layer.hpp"
#include "caffe/util/rng.hpp"

namespace caffe {

string SaveGenerator(Caffe::RNG* generator) {
  std::ostringstream text;
  text << *static_cast<rng_t*>(generator->generator());
  return text.str();
}

void RestoreGenerator(const string& text, Caffe::RNG* generator) {
  rng_t restored;
  // Boost skips the space behind every number.
  std::istringstream stream(text + " ");
  if (!(stream >> restored)) {
    throw std::runtime_error("it holds a generator of random numbers that is "
        "not 624 numbers");
  }
  *static_cast<rng_t*>(generator->generator()) = restored;
}

template <typename Dtype>
bool RestoreBlobs(const LayerState& state,
    const vector<Blob<Dtype>*>& blobs) {
  if (state.blob_size() != blobs.size()) { return false; }
  for (size_t i = 0; i < blobs.size(); ++i) {
    const BlobProto& saved = state.blob(i);
    const int numbers = saved.double_data_size() > 0 ?
        saved.double_data_size() : saved.data_size();
    if (!blobs[i]->ShapeEquals(saved) || numbers != blobs[i]->count() ||
        saved.diff_size() + saved.double_diff_size() > 0) {
      return false;
    }
  }
  for (size_t i = 0; i < blobs.size(); ++i) {
    blobs[i]->FromProto(state.blob(i), false);
  }
  return true;
}

template bool RestoreBlobs<float>(const LayerState&,
    const vector<Blob<float>*>&);
template bool RestoreBlobs<double>(const LayerState&,
    const vector<Blob<double>*>&);

uint64_t Checksum(const void* data, size_t bytes, uint64_t seed) {
  const unsigned char* byte = static_cast<const unsigned char*>(data);
  uint64_t sum = seed;
  for (size_t i = 0; i < bytes; ++i) {
    sum = (sum ^ byte[i]) * 0x100000001b3ULL;
  }
  return sum;
}

}  // namespace caffe
