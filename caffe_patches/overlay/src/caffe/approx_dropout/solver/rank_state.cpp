#include "caffe/approx_dropout/solver/rank_state.hpp"

#include <sstream>
#include <string>
#include <vector>

#include "caffe/approx_dropout/solver/dropout_pattern_state.hpp"
#include "caffe/layers/resumable_layer.hpp"
#include "caffe/solver.hpp"

namespace caffe {

namespace {

// Ranks 0, 1, ... of a run that was saved.
vector<const RunState*> SavedRanks(const RunState& run) {
  vector<const RunState*> ranks(1, &run);
  for (int i = 0; i < run.rank_size(); ++i) {
    ranks.push_back(&run.rank(i));
  }
  return ranks;
}

// Deals what the ranks' k-th layers hand on in their b-th blob, whose axis
// before the last one are streams. False if the blobs do not fit together.
bool DealBlob(const vector<const RunState*>& saved, int k, int b, int rank,
    int size, BlobProto* dealt) {
  const BlobShape& shape = dealt->shape();
  const int axis = shape.dim_size() - 2;
  if (axis < 0) {
    return false;
  }
  const int units = shape.dim(axis + 1);
  const int streams = shape.dim(axis);
  const int all = streams * saved.size();
  for (const RunState* from : saved) {
    if (k >= from->layer_size() || b >= from->layer(k).blob_size() ||
        from->layer(k).blob(b).data_size() != streams * units) {
      return false;
    }
  }
  if (all % size != 0) {
    return false;
  }
  dealt->clear_data();
  for (int s = rank; s < all; s += size) {
    const BlobProto& from = saved[s % saved.size()]->layer(k).blob(b);
    const int begin = s / saved.size() * units;
    for (int u = 0; u < units; ++u) {
      dealt->add_data(from.data(begin + u));
    }
  }
  dealt->mutable_shape()->set_dim(axis, all / size);
  return true;
}

}  // namespace

string FactOf(uint64_t checksum) {
  std::ostringstream text;
  text << std::hex << checksum;
  return text.str();
}

void CompareRanks(const RankFacts& facts, const string& where) {
  Ranks* ranks = Ranks::Get();
  string text;
  for (size_t i = 0; i < facts.size(); ++i) {
    text += facts[i].first + "\n" + facts[i].second + "\n";
  }
  const vector<string> all = ranks->Gather(text);
  for (size_t r = 1; r < all.size(); ++r) {
    std::istringstream own(all[0]);
    std::istringstream other(all[r]);
    string what, value, other_what, other_value;
    while (std::getline(own, what) && std::getline(own, value)) {
      std::getline(other, other_what);
      std::getline(other, other_value);
      if (what == other_what && value == other_value) {
        continue;
      }
      LOG(ERROR) << "Rank " << r << " has another " << what << " than rank 0 "
                 << where << " (" << other_value << ", not " << value
                 << "): all ranks end";
      ranks->Abort();
    }
  }
}

template <typename Dtype>
void AddWeights(const Net<Dtype>& net, RankFacts* facts) {
  for (size_t i = 0; i < net.layers().size(); ++i) {
    const vector<shared_ptr<Blob<Dtype> > >& blobs = net.layers()[i]->blobs();
    uint64_t sum = Checksum(NULL, 0);
    bool learns = false;
    for (size_t b = 0; b < blobs.size(); ++b) {
      const LayerParameter& param = net.layers()[i]->layer_param();
      if (b < param.param_size() && param.param(b).lr_mult() == 0) {
        continue;
      }
      learns = true;
      sum = Checksum(
          blobs[b]->cpu_data(), blobs[b]->count() * sizeof(Dtype), sum);
    }
    if (learns) {
      facts->push_back(std::make_pair(
          "weight in layer '" + net.layer_names()[i] + "'", FactOf(sum)));
    }
  }
}

RunState RunOfRank(const RunState& run, int rank, int size) {
  const vector<const RunState*> saved = SavedRanks(run);
  if (saved.size() == size) {
    RunState own = *saved[rank];
    own.clear_rank();
    return own;
  }
  RunState own = run;
  own.clear_rank();
  for (int k = 0; k < own.layer_size(); ++k) {
    LayerState* layer = own.mutable_layer(k);
    for (int b = 0; b < layer->blob_size() && !layer->has_test_net(); ++b) {
      DealBlob(saved, k, b, rank, size, layer->mutable_blob(b));
    }
    if (rank > 0) {
      layer->clear_transform_generator();
      if (layer->type() == "WindowData") {
        layer->clear_generator();
      }
    }
  }
  return own;
}

template <typename Dtype>
shared_ptr<RunState> Solver<Dtype>::RunsOfRanks() {
  Ranks* ranks = Ranks::Get();
  RankFacts facts;
  AddWeights(*net_, &facts);
  SolverState patterns;
  SaveDropoutPatterns(*net_, &patterns);
  for (int i = 0; i < patterns.dropout_pattern_size(); ++i) {
    const string bytes = patterns.dropout_pattern(i).SerializeAsString();
    facts.push_back(
        std::make_pair("dropout pattern in layer '" +
                           patterns.dropout_pattern(i).layer() + "'",
            FactOf(Checksum(bytes.data(), bytes.size()))));
  }
  CompareRanks(facts, "in iteration " + std::to_string(iter_));
  const RunState own = before_test_ ? *before_test_ : CurrentRun();
  const vector<string> runs = ranks->Gather(own.SerializeAsString());
  shared_ptr<RunState> all(new RunState(own));
  for (size_t r = 1; r < runs.size(); ++r) {
    CHECK(all->add_rank()->ParseFromString(runs[r]));
  }
  return all;
}

template shared_ptr<RunState> Solver<float>::RunsOfRanks();
template shared_ptr<RunState> Solver<double>::RunsOfRanks();
template void AddWeights<float>(const Net<float>&, RankFacts*);
template void AddWeights<double>(const Net<double>&, RankFacts*);

}  // namespace caffe
