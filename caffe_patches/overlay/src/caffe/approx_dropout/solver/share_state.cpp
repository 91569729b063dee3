#include <cmath>
#include <string>
#include <vector>

#include "caffe/approx_dropout/ranks/ranks.hpp"
#include "caffe/approx_dropout/solver/dropout_pattern_state.hpp"
#include "caffe/approx_dropout/solver/rank_state.hpp"
#include "caffe/layers/resumable_layer.hpp"
#include "caffe/sgd_solvers.hpp"

namespace caffe {

namespace {

// The same K as a DropoutPattern layer sees it (kSameProbability).
const double kSameProbability = 1e-6;

template <typename Dtype>
void BroadcastBlob(Ranks* ranks, Blob<Dtype>* blob) {
  ranks->Broadcast(blob->mutable_cpu_data(), blob->count() * sizeof(Dtype));
}

// Rank 0's K for all: its bits go into the state, and a K that is another one
// ends all ranks.
template <typename Dtype>
void ShareProbability(Ranks* ranks, const Net<Dtype>& net, SolverState* state) {
  int pattern = 0;
  for (size_t i = 0; i < net.layers().size(); ++i) {
    if (string(net.layers()[i]->type()) != "DropoutPattern") {
      continue;
    }
    DropoutPatternState* own = state->mutable_dropout_pattern(pattern++);
    if (net.bottom_vecs()[i].empty()) {
      continue;
    }
    const Blob<Dtype>& bottom = *net.bottom_vecs()[i][0];
    vector<Dtype> k(bottom.cpu_data(), bottom.cpu_data() + bottom.count());
    ranks->Broadcast(k.data(), k.size() * sizeof(Dtype));
    for (size_t j = 0; j < k.size(); ++j) {
      if (std::abs(k[j] - bottom.cpu_data()[j]) > kSameProbability) {
        LOG(ERROR) << "Rank " << ranks->rank() << " has another K than rank 0 "
                   << "in DropoutPattern layer '" << net.layer_names()[i]
                   << "' (K[" << j << "] = " << bottom.cpu_data()[j] << ", not "
                   << k[j] << "): all ranks end";
        ranks->Abort();
      }
    }
    if (own->probability_size() == 0) {
      for (size_t j = 0; j < k.size(); ++j) {
        own->add_probability(k[j]);
      }
    }
  }
}

}  // namespace

template <typename Dtype>
void Solver<Dtype>::ShareState() {
  Ranks* ranks = Ranks::Get();
  const bool root = ranks->rank() == 0;
  SolverState state;
  if (root) {
    state.set_iter(iter_);
    state.set_current_step(current_step_);
    SaveDropoutPatterns(*net_, &state);
    if (restored_run_) {
      *state.mutable_run() = *restored_run_;
    }
  }
  string bytes = state.SerializeAsString();
  ranks->Broadcast(&bytes);
  CHECK(state.ParseFromString(bytes));
  ShareProbability(ranks, *net_, &state);
  RestoreDropoutPatterns(*net_, state);
  for (size_t i = 0; i < net_->layers().size(); ++i) {
    for (size_t b = 0; b < net_->layers()[i]->blobs().size(); ++b) {
      BroadcastBlob(ranks, net_->layers()[i]->blobs()[b].get());
    }
  }
  SGDSolver<Dtype>* sgd = dynamic_cast<SGDSolver<Dtype>*>(this);
  CHECK(sgd) << "Several processes train with SGD and the solvers made of it, "
             << "not with " << type();
  for (size_t i = 0; i < sgd->history().size(); ++i) {
    BroadcastBlob(ranks, sgd->history()[i].get());
  }
  if (root) {
    return;
  }
  iter_ = state.iter();
  current_step_ = state.current_step();
  if (state.has_run()) {
    RestoreRun(state.run());
  }
  // Nets are made with one seed, so that data is shuffled alike; what they
  // draw from here on, masks say, is each rank's own.
  if (NumRanks(state.run()) != ranks->size()) {
    Caffe::set_random_seed(
        param_.random_seed() + ranks->rank() + Checksum(&iter_, sizeof(iter_)));
  }
}

template void Solver<float>::ShareState();
template void Solver<double>::ShareState();

}  // namespace caffe
