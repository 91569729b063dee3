#include "caffe/approx_dropout/ranks/ranks.hpp"
#include "caffe/layers/base_data_layer.hpp"

namespace caffe {

template <typename Dtype>
void BasePrefetchingDataLayer<Dtype>::SaveState(LayerState* state) const {
  // The thread reads ahead: the cursor itself is some batches further.
  state->MergeFrom(next_);
}

template <typename Dtype>
void BasePrefetchingDataLayer<Dtype>::RestoreState(const LayerState& state) {
  this->StopInternalThread();
  Batch<Dtype>* batch;
  while (prefetch_full_.try_pop(&batch)) { prefetch_free_.push(batch); }
  RestoreCursor(state);
  next_.Clear();
  SaveCursor(&next_);
  this->StartInternalThread();
}

template <typename Dtype>
Batch<Dtype>* BasePrefetchingDataLayer<Dtype>::TakeBatch() {
  Batch<Dtype>* batch = prefetch_full_.pop("Waiting for data");
  next_.Swap(&batch->next_);
  return batch;
}

template <typename Dtype>
void BasePrefetchingDataLayer<Dtype>::SaveCursor(LayerState* state) const {
  Caffe::RNG* generator = this->data_transformer_->rng();
  if (generator) { state->set_transform_generator(SaveGenerator(generator)); }
}

template <typename Dtype>
void BasePrefetchingDataLayer<Dtype>::RestoreCursor(const LayerState& state) {
  Caffe::RNG* generator = this->data_transformer_->rng();
  // Replicas on other GPUs must not draw what the first one draws; a rank's
  // state is its own.
  if (generator && state.has_transform_generator() &&
      (Caffe::solver_rank() == 0 || Ranks::Get())) {
    RestoreGenerator(state.transform_generator(), generator);
  }
}

#define INSTANTIATE_STATE(Dtype) \
  template Batch<Dtype>* BasePrefetchingDataLayer<Dtype>::TakeBatch(); \
  template void BasePrefetchingDataLayer<Dtype>::SaveState( \
      LayerState*) const; \
  template void BasePrefetchingDataLayer<Dtype>::RestoreState( \
      const LayerState&); \
  template void BasePrefetchingDataLayer<Dtype>::SaveCursor( \
      LayerState*) const; \
  template void BasePrefetchingDataLayer<Dtype>::RestoreCursor( \
      const LayerState&)

INSTANTIATE_STATE(float);
INSTANTIATE_STATE(double);

}  // namespace caffe
