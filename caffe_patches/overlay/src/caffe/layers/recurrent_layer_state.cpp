#include "caffe/layers/recurrent_layer.hpp"

namespace caffe {

template <typename Dtype>
void RecurrentLayer<Dtype>::SaveState(LayerState* state) const {
  if (expose_hidden_) { return; }  // It comes from a bottom.
  for (int i = 0; i < recur_output_blobs_.size(); ++i) {
    recur_output_blobs_[i]->ToProto(state->add_blob());
  }
}

template <typename Dtype>
void RecurrentLayer<Dtype>::RestoreState(const LayerState& state) {
  if (expose_hidden_ || RestoreBlobs(state, recur_output_blobs_)) { return; }
  LOG(WARNING) << type() << " layer '" << this->layer_param_.name()
      << "': its hidden state has another shape than in the snapshot. "
      << "Training goes on with zeros";
  Reset();
}

#define INSTANTIATE_STATE(Dtype) \
  template void RecurrentLayer<Dtype>::SaveState(LayerState*) const; \
  template void RecurrentLayer<Dtype>::RestoreState(const LayerState&)

INSTANTIATE_STATE(float);
INSTANTIATE_STATE(double);

}  // namespace caffe
