#include "caffe/approx_dropout/solver/rank_state.hpp"

#include <algorithm>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "caffe/approx_dropout/solver/dropout_pattern_state.hpp"
#include "caffe/layers/resumable_layer.hpp"
#include "caffe/solver.hpp"

namespace caffe {

namespace {

const char kRank[] = "rank";  // the type of an entry that is another rank's run

bool IsRank(const LayerState& layer) { return layer.type() == kRank; }

// Ranks 0, 1, ... of a run that was saved.
vector<RunState> SavedRanks(const RunState& run) {
  vector<RunState> ranks(1, run);
  ranks[0].clear_layer();
  for (const LayerState& layer : run.layer()) {
    if (!IsRank(layer)) {
      *ranks[0].add_layer() = layer;
      continue;
    }
    RunState rank;
    if (!rank.ParseFromString(layer.key())) {
      throw std::runtime_error("it is damaged: entry " +
                               std::to_string(ranks.size()) +
                               " of its ranks cannot be read");
    }
    ranks.push_back(rank);
  }
  return ranks;
}

// Deals what the ranks' k-th layers hand on in their b-th blob, whose axis
// before the last one are streams. Leaves it where they do not fit together.
void DealBlob(const vector<RunState>& saved, int k, int b, int rank, int size,
    BlobProto* dealt) {
  const BlobShape& shape = dealt->shape();
  const int axis = shape.dim_size() - 2;
  const int64_t values = dealt->data_size();
  if (axis < 0 || values == 0 || shape.dim(axis + 1) < 1 ||
      values % shape.dim(axis + 1) != 0) {
    return;
  }
  const int units = shape.dim(axis + 1);
  const int streams = values / units;
  const int64_t all = static_cast<int64_t>(streams) * saved.size();
  bool fit = shape.dim(axis) == streams && all % size == 0;
  for (const RunState& from : saved) {
    fit = fit && k < from.layer_size() && b < from.layer(k).blob_size() &&
          from.layer(k).blob(b).data_size() == values;
  }
  if (!fit) {
    return;
  }
  dealt->clear_data();
  for (int64_t s = rank; s < all; s += size) {
    const BlobProto& from = saved[s % saved.size()].layer(k).blob(b);
    const int begin = s / saved.size() * units;
    for (int u = 0; u < units; ++u) {
      dealt->add_data(from.data(begin + u));
    }
  }
  dealt->mutable_shape()->set_dim(axis, all / size);
}

// A layer's place in the data is where the last rank stands, behind all records
// that ranks have read; what rank 0 drew at random, it goes on to draw.
void TakePlace(const LayerState& last, int rank, LayerState* layer) {
  const LayerState first = *layer;
  *layer = last;
  layer->clear_transform_generator();
  if (rank == 0 && first.has_transform_generator()) {
    layer->set_transform_generator(first.transform_generator());
  }
  if (layer->type() == "WindowData") {
    layer->clear_generator();
    if (rank == 0 && first.has_generator()) {
      layer->set_generator(first.generator());
    }
  }
}

}  // namespace

void AddRank(const string& packed, RunState* run) {
  LayerState* entry = run->add_layer();
  entry->set_type(kRank);
  entry->set_key(packed);
}

int NumRanks(const RunState& run) {
  return 1 + std::count_if(run.layer().begin(), run.layer().end(), IsRank);
}

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
  const vector<RunState> saved = SavedRanks(run);
  if (saved.size() == size) {
    return saved[rank];
  }
  RunState own = saved[0];
  for (int k = 0; k < own.layer_size(); ++k) {
    LayerState* layer = own.mutable_layer(k);
    if (layer->has_test_net()) {
      continue;
    }
    if (k < saved.back().layer_size()) {
      TakePlace(saved.back().layer(k), rank, layer);
    }
    for (int b = 0; b < layer->blob_size(); ++b) {
      DealBlob(saved, k, b, rank, size, layer->mutable_blob(b));
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
    AddRank(runs[r], all.get());
  }
  return all;
}

template shared_ptr<RunState> Solver<float>::RunsOfRanks();
template shared_ptr<RunState> Solver<double>::RunsOfRanks();
template void AddWeights<float>(const Net<float>&, RankFacts*);
template void AddWeights<double>(const Net<double>&, RankFacts*);

}  // namespace caffe
