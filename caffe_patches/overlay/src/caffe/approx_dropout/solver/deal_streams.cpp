#include "caffe/approx_dropout/solver/deal_streams.hpp"

#include <map>
#include <set>
#include <string>

#include "caffe/approx_dropout/ranks/ranks.hpp"

namespace caffe {

namespace {

bool IsRecurrent(const string& type) {
  return type == "LSTM" || type == "RNN" || type == "ApproxDropoutLSTM";
}

// Layers that give each rank a share of their records.
bool DealsRecords(const string& type) {
  return type == "Data" || type == "ImageData" || type == "WindowData";
}

// The layers without bottoms that a layer's bottom comes from. Layers come
// after those that they read.
typedef std::map<string, std::set<int> > Sources;

Sources SourcesOfBlobs(const NetParameter& net) {
  Sources sources;
  for (int i = 0; i < net.layer_size(); ++i) {
    const LayerParameter& layer = net.layer(i);
    std::set<int> own;
    for (int b = 0; b < layer.bottom_size(); ++b) {
      const std::set<int>& above = sources[layer.bottom(b)];
      own.insert(above.begin(), above.end());
    }
    if (layer.bottom_size() == 0) {
      own.insert(i);
    }
    for (int t = 0; t < layer.top_size(); ++t) {
      sources[layer.top(t)] = own;
    }
  }
  return sources;
}

}  // namespace

void DealStreams(NetParameter* net) {
  if (!Ranks::Get() || net->state().phase() != TRAIN) {
    return;
  }
  const Sources sources = SourcesOfBlobs(*net);
  bool streams = false;
  for (int i = 0; i < net->layer_size(); ++i) {
    const LayerParameter& layer = net->layer(i);
    if (!IsRecurrent(layer.type()) || layer.bottom_size() < 2) {
      continue;
    }
    const Sources::const_iterator cont = sources.find(layer.bottom(1));
    if (cont == sources.end()) {
      continue;
    }
    for (int source : cont->second) {
      CHECK(!DealsRecords(net->layer(source).type()))
          << layer.type() << " layer '" << layer.name() << "': its cont comes "
          << "from " << net->layer(source).type() << " layer '"
          << net->layer(source).name() << "', whose records are time steps. "
          << "Where several ranks train, sequences must come from HDF5Data";
      streams = streams || net->layer(source).type() == "HDF5Data";
    }
  }
  for (int i = 0; streams && i < net->layer_size(); ++i) {
    if (net->layer(i).type() == "HDF5Data") {
      net->mutable_layer(i)->set_type("HDF5Streams");
    }
  }
}

}  // namespace caffe
