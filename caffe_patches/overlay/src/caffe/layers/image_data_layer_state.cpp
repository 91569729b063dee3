#ifdef USE_OPENCV
#include <string>
#include <utility>
#include <vector>

#include "caffe/approx_dropout/ranks/ranks.hpp"
#include "caffe/layers/image_data_layer.hpp"
#include "caffe/util/rng.hpp"

namespace caffe {

namespace {

// More images than a training reads: to shuffle on to a damaged state's place
// would take minutes.
const uint64_t kMaxShuffled = 1ULL << 32;

typedef std::pair<string, int> Line;

uint64_t ListChecksum(const vector<Line>& lines) {
  uint64_t sum = 0;
  for (size_t i = 0; i < lines.size(); ++i) {
    // A sum, since the lines are in any order.
    sum += Checksum(lines[i].first.data(), lines[i].first.size(),
        Checksum(&lines[i].second, sizeof(lines[i].second)));
  }
  return sum;
}

// Puts the lines, and the generator, where `shuffles` shuffles put them; back
// to the file's order if `undo`.
void ShuffleLines(uint64_t shuffles, Caffe::RNG* generator, bool undo,
    vector<Line>* lines) {
  rng_t* rng = static_cast<rng_t*>(generator->generator());
  vector<int> order(lines->size());
  for (size_t i = 0; i < order.size(); ++i) { order[i] = i; }
  for (uint64_t i = 0; i < shuffles; ++i) {
    shuffle(order.begin(), order.end(), rng);
  }
  vector<Line> moved(lines->size());
  for (size_t i = 0; i < order.size(); ++i) {
    moved[undo ? order[i] : i].swap((*lines)[undo ? i : order[i]]);
  }
  lines->swap(moved);
}

}  // namespace

template <typename Dtype>
void ImageDataLayer<Dtype>::SaveCursor(LayerState* state) const {
  BasePrefetchingDataLayer<Dtype>::SaveCursor(state);
  // The first time, before the thread is started.
  if (list_checksum_ == 0) { list_checksum_ = ListChecksum(lines_); }
  state->set_records(lines_.size());
  state->set_checksum(list_checksum_);
  state->set_key(lines_[lines_id_].first);
  state->set_position(lines_id_);
  state->set_shuffles(shuffles_);
  if (shuffles_ > 0) { state->set_generator(first_generator_); }
}

template <typename Dtype>
void ImageDataLayer<Dtype>::RestoreCursor(const LayerState& state) {
  BasePrefetchingDataLayer<Dtype>::RestoreCursor(state);
  // Replicas on several GPUs shuffle each in its own way, ranks alike.
  if (shuffles_ > 0 && Caffe::solver_rank() > 0 && !Ranks::Get()) {
    return;
  }
  const bool same_list = state.records() == lines_.size() &&
                         state.position() < lines_.size() &&
                         state.checksum() == list_checksum_ &&
                         (state.shuffles() > 0) == (shuffles_ > 0) &&
                         state.has_generator() == (shuffles_ > 0) &&
                         state.shuffles() <= kMaxShuffled / lines_.size();
  if (shuffles_ > 0) {
    // The thread may have read on, and shuffled: back to the file's order, and
    // from there to the state's, or to the one that a new run begins with.
    RestoreGenerator(first_generator_, prefetch_rng_.get());
    ShuffleLines(shuffles_, prefetch_rng_.get(), true, &lines_);
    if (same_list) { first_generator_ = state.generator(); }
    shuffles_ = same_list ? state.shuffles() : 1;
    RestoreGenerator(first_generator_, prefetch_rng_.get());
    ShuffleLines(shuffles_, prefetch_rng_.get(), false, &lines_);
  }
  lines_id_ = same_list ? state.position() : 0;
  LOG_IF(WARNING, !same_list || lines_[lines_id_].first != state.key())
      << "ImageData layer '" << this->layer_param_.name() << "': "
      << this->layer_param_.image_data_param().source() << ", or whether it "
      << "is shuffled, has changed since the snapshot, where image "
      << state.key() << " was the next. Training goes on with image "
      << lines_[lines_id_].first;
}

#define INSTANTIATE_STATE(Dtype) \
  template void ImageDataLayer<Dtype>::SaveCursor(LayerState*) const; \
  template void ImageDataLayer<Dtype>::RestoreCursor(const LayerState&)

INSTANTIATE_STATE(float);
INSTANTIATE_STATE(double);

}  // namespace caffe
#endif  // USE_OPENCV
