#ifdef USE_OPENCV
#include <string>

#include "caffe/approx_dropout/ranks/ranks.hpp"
#include "caffe/layers/window_data_layer.hpp"

namespace caffe {

// Windows are drawn, so the generator says which one is the next.
template <typename Dtype>
void WindowDataLayer<Dtype>::SaveCursor(LayerState* state) const {
  BasePrefetchingDataLayer<Dtype>::SaveCursor(state);
  state->set_records(fg_windows_.size() + bg_windows_.size());
  if (prefetch_rng_) {
    state->set_generator(SaveGenerator(prefetch_rng_.get()));
  }
}

template <typename Dtype>
void WindowDataLayer<Dtype>::RestoreCursor(const LayerState& state) {
  BasePrefetchingDataLayer<Dtype>::RestoreCursor(state);
  const uint64_t windows = fg_windows_.size() + bg_windows_.size();
  LOG_IF(WARNING, windows != state.records()) << "WindowData layer '"
      << this->layer_param_.name() << "': "
      << this->layer_param_.window_data_param().source() << " has changed "
      << "since the snapshot: it had " << state.records() << " windows and "
      << "has " << windows << ". Training goes on with draws from these";
  if (prefetch_rng_ && state.has_generator() &&
      (Caffe::solver_rank() == 0 || Ranks::Get())) {
    RestoreGenerator(state.generator(), prefetch_rng_.get());
  }
}

#define INSTANTIATE_STATE(Dtype) \
  template void WindowDataLayer<Dtype>::SaveCursor(LayerState*) const; \
  template void WindowDataLayer<Dtype>::RestoreCursor(const LayerState&)

INSTANTIATE_STATE(float);
INSTANTIATE_STATE(double);

}  // namespace caffe
#endif  // USE_OPENCV
