#include "caffe/util/use_hdf5.hpp"

#ifdef USE_HDF5
#include <string>
#include <vector>

#include "caffe/approx_dropout/ranks/ranks.hpp"
#include "caffe/layers/hdf5_data_layer.hpp"
#include "caffe/util/math_functions.hpp"
#include "caffe/util/rng.hpp"

namespace caffe {

namespace {

// Each of 0 ... size - 1 once.
template <typename Order>
bool IsOrder(const Order& order, int size) {
  vector<bool> seen(size, false);
  for (int i = 0; i < order.size(); ++i) {
    if (order.Get(i) >= size || seen[order.Get(i)]) { return false; }
    seen[order.Get(i)] = true;
  }
  return order.size() == size;
}

}  // namespace

template <typename Dtype>
uint64_t HDF5DataLayer<Dtype>::RowChecksum() const {
  uint64_t sum = Checksum(NULL, 0);
  for (int i = 0; i < hdf_blobs_.size(); ++i) {
    const int size = hdf_blobs_[i]->count(1);
    sum = Checksum(hdf_blobs_[i]->cpu_data()
        + data_permutation_[current_row_] * size, size * sizeof(Dtype), sum);
  }
  return sum;
}

template <typename Dtype>
void HDF5DataLayer<Dtype>::SaveState(LayerState* state) const {
  state->set_records(offset_);
  state->set_key(hdf_filenames_[file_permutation_[current_file_]]);
  state->set_file(current_file_);
  state->set_position(current_row_);
  state->set_checksum(RowChecksum());
  if (shuffle_rng_) {
    state->set_generator(SaveGenerator(shuffle_rng_.get()));
  }
  if (!this->layer_param_.hdf5_data_param().shuffle()) { return; }
  for (int i = 0; i < file_permutation_.size(); ++i) {
    state->add_file_order(file_permutation_[i]);
  }
  for (int i = 0; i < data_permutation_.size(); ++i) {
    state->add_row_order(data_permutation_[i]);
  }
}

// False if files or rows are not as many, in the order or in the place that
// the state says.
template <typename Dtype>
bool HDF5DataLayer<Dtype>::RestoreOrder(const LayerState& state) {
  const bool shuffled = this->layer_param_.hdf5_data_param().shuffle();
  if (shuffled ? !IsOrder(state.file_order(), num_files_) :
      state.file_order_size() > 0) {
    return false;
  }
  if (state.file() >= num_files_) { return false; }
  const int file = shuffled ? state.file_order(state.file()) : state.file();
  if (hdf_filenames_[file] != state.key()) { return false; }
  if (shuffled) {
    file_permutation_.assign(state.file_order().begin(),
        state.file_order().end());
  }
  current_file_ = state.file();
  current_row_ = 0;
  LoadHDF5FileData(hdf_filenames_[file].c_str());
  const int rows = hdf_blobs_[0]->shape(0);
  if (state.position() >= rows ||
      (shuffled && !IsOrder(state.row_order(), rows))) {
    return false;
  }
  if (shuffled) {
    data_permutation_.assign(state.row_order().begin(),
        state.row_order().end());
  }
  current_row_ = state.position();
  return true;
}

template <typename Dtype>
void HDF5DataLayer<Dtype>::RestorePlace(const LayerState& state) {
  const bool restored = RestoreOrder(state);
  LOG_IF(WARNING, !restored || RowChecksum() != state.checksum())
      << "HDF5Data layer '" << this->layer_param_.name() << "': the data of "
      << this->layer_param_.hdf5_data_param().source() << " has changed since "
      << "the snapshot, which stood at row " << state.position() << " of "
      << state.key() << ". Training goes on with row " << current_row_
      << " of " << hdf_filenames_[file_permutation_[current_file_]];
  offset_ = state.records();
  if (shuffle_rng_ && state.has_generator()) {
    RestoreGenerator(state.generator(), shuffle_rng_.get());
  }
}

template <typename Dtype>
void HDF5DataLayer<Dtype>::RestoreState(const LayerState& state) {
  RestorePlace(state);
  // As in DataLayer::RestoreCursor.
  while (this->phase_ == TRAIN && offset_ % Caffe::solver_count() != 0) {
    Next();
  }
}

// All ranks read the same rows in the same order, whatever else each of them
// draws from Caffe's generator.
template <typename Dtype>
void HDF5DataLayer<Dtype>::Shuffle(vector<unsigned int>* order) {
  if (Ranks::Get() && !shuffle_rng_) {
    shuffle_rng_.reset(new Caffe::RNG(caffe_rng_rand()));
  }
  if (shuffle_rng_) {
    shuffle(order->begin(), order->end(),
        static_cast<rng_t*>(shuffle_rng_->generator()));
  } else {
    shuffle(order->begin(), order->end());
  }
}

#define INSTANTIATE_STATE(Dtype)                                       \
  template uint64_t HDF5DataLayer<Dtype>::RowChecksum() const;         \
  template void HDF5DataLayer<Dtype>::SaveState(LayerState*) const;    \
  template bool HDF5DataLayer<Dtype>::RestoreOrder(const LayerState&); \
  template void HDF5DataLayer<Dtype>::RestorePlace(const LayerState&); \
  template void HDF5DataLayer<Dtype>::RestoreState(const LayerState&); \
  template void HDF5DataLayer<Dtype>::Shuffle(vector<unsigned int>*)

INSTANTIATE_STATE(float);
INSTANTIATE_STATE(double);

}  // namespace caffe
#endif  // USE_HDF5
