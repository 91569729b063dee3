#include <string>

#include "caffe/layers/data_layer.hpp"

namespace caffe {

template <typename Dtype>
void DataLayer<Dtype>::SaveCursor(LayerState* state) const {
  BasePrefetchingDataLayer<Dtype>::SaveCursor(state);
  const string record = cursor_->value();
  state->set_records(offset_);
  state->set_key(cursor_->key());
  state->set_checksum(Checksum(record.data(), record.size()));
}

template <typename Dtype>
void DataLayer<Dtype>::RestoreCursor(const LayerState& state) {
  BasePrefetchingDataLayer<Dtype>::RestoreCursor(state);
  const string where = "Data layer '" + this->layer_param_.name() + "': "
      + this->layer_param_.data_param().source() + " has changed since the "
      "snapshot: its record '" + state.key() + "' ";
  cursor_->Seek(state.key());
  if (!cursor_->valid()) { cursor_->SeekToFirst(); }
  if (cursor_->key() != state.key()) {
    LOG(WARNING) << where << "is gone. Training goes on with record '"
        << cursor_->key() << "'";
  } else {
    const string record = cursor_->value();
    LOG_IF(WARNING, Checksum(record.data(), record.size()) != state.checksum())
        << where << "is another one now. Training goes on with it";
  }
  offset_ = state.records();
  // The state is rank 0's. All solvers start together at the first record
  // that none of them has read.
  while (this->phase_ == TRAIN && offset_ % Caffe::solver_count() != 0) {
    Next();
  }
}

#define INSTANTIATE_STATE(Dtype) \
  template void DataLayer<Dtype>::SaveCursor(LayerState*) const; \
  template void DataLayer<Dtype>::RestoreCursor(const LayerState&)

INSTANTIATE_STATE(float);
INSTANTIATE_STATE(double);

}  // namespace caffe
