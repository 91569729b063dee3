#include <algorithm>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "caffe/approx_dropout/solver/compact_blobs.hpp"
#include "caffe/common.hpp"

namespace caffe {

namespace {

// The axis along which units lie, of how many; -1 and 0 if only the blob's
// shape tells.
struct UnitAxis {
  int axis, num_axes;

  // Whether a layer that takes them along this axis is wrong.
  bool differs(int other) const {
    if (other < 0) {
      other += num_axes;
    }
    return axis >= 0 && other >= 0 && axis != other;
  }
};

// What is known of a blob. Layers and tops count from 0, in the net's order.
struct BlobContent {
  int maker;  // the layer that wrote its values, Splits aside
  int top;    // which of its tops that was
  // Of a compact blob: the layer whose compact_output it is, and what its
  // pattern bottom holds and is called. Else -1.
  int compact_layer;
  int pattern_maker, pattern_top;
  string pattern;
  UnitAxis units;

  bool compact() const { return compact_layer >= 0; }
  bool same_units(const BlobContent& other) const {
    return compact() && other.compact() &&
           is_pattern(other.pattern_maker, other.pattern_top) &&
           !units.differs(other.units.axis);
  }
  bool is_pattern(int maker, int top) const {
    return pattern_maker == maker && pattern_top == top;
  }
};

// Whether each value of the top is a function of the same value of the bottom,
// the same for all channels.
bool WorksOnSingleValues(const LayerParameter& layer) {
  static const char* const kTypes[] = { "AbsVal", "BNLL", "Clip", "Dropout",
      "ELU", "Exp", "Log", "Power", "ReLU", "Sigmoid", "Split", "Swish",
      "TanH", "Threshold" };
  return std::count(kTypes, kTypes + sizeof(kTypes) / sizeof(*kTypes),
      layer.type()) > 0
      || (layer.type() == "PReLU" && layer.prelu_param().channel_shared());
}

// Layers without tops that are no loss, which Caffe gives a top of its own.
bool OnlyLooks(const LayerParameter& layer) {
  return layer.type() == "Silence" || layer.type() == "HDF5Output"
      || (layer.type() == "Python" && layer.top_size() == 0);
}

bool HasWeights(const LayerParameter& layer) {
  return layer.type() == "ApproxDropoutInnerProduct" ||
         layer.type() == "ApproxDropoutConvolution" ||
         layer.type() == "ApproxDropoutLSTM";
}

// The axis whose entries a layer with weights takes for the units of its input.
int InputAxis(const LayerParameter& layer) {
  if (layer.type() == "ApproxDropoutLSTM") {
    return 2;
  }
  return layer.type() == "ApproxDropoutConvolution"
             ? 1
             : layer.inner_product_param().axis();
}

// That of the units in the output of an ApproxDropout* layer.
UnitAxis OutputAxis(const LayerParameter& layer) {
  const UnitAxis unknown = {-1, 0};
  const UnitAxis channels = {1, 4};
  if (layer.type() == "ApproxDropoutConvolution") {
    return channels;
  }
  if (layer.type() == "ApproxDropout") {
    const ApproxDropoutParameter& param = layer.approx_dropout_param();
    const UnitAxis given = {param.unit_axis(), 0};
    return param.has_unit_axis() && param.unit_axis() >= 0 ? given : unknown;
  }
  const int axis = InputAxis(layer);
  const UnitAxis last = {axis, axis + 1};
  return axis >= 0 ? last : unknown;
}

// Of an ApproxDropout* layer: which bottom is its output's pattern, if
// pattern is not NONE. The input's own comes behind it.
int OutputPatternBottom(const LayerParameter& layer) {
  return layer.type() == "ApproxDropoutLSTM" ? 2 : 1;
}

string Name(const LayerParameter& layer) {
  return layer.type() + " layer '" + layer.name() + "'";
}

class CompactBlobs {
 public:
  explicit CompactBlobs(const NetParameter& net) : net_(net) {}

  // Checks layer i, whose bottoms are known, and says what its tops hold.
  void Pass(int i) {
    const LayerParameter& layer = net_.layer(i);
    // A bottom that is not there is Net's to refuse.
    vector<BlobContent> bottoms;
    for (int j = 0; j < layer.bottom_size(); ++j) {
      const std::map<string, BlobContent>::const_iterator found =
          blobs_.find(layer.bottom(j));
      bottoms.push_back(found == blobs_.end() ? Unknown() : found->second);
    }
    for (int j = 0; j < layer.bottom_size(); ++j) {
      if (bottoms[j].compact()) { CheckReader(layer, j, bottoms); }
    }
    for (int j = 0; j < layer.top_size(); ++j) {
      blobs_[layer.top(j)] = Top(i, j, bottoms);
    }
  }

 private:
  static BlobContent Unknown() {
    const BlobContent content = {-1, -1, -1, -1, -1, string(), {-1, 0}};
    return content;
  }

  void CheckReader(const LayerParameter& layer, int j,
      const vector<BlobContent>& bottoms) const {
    if (WorksOnSingleValues(layer) || OnlyLooks(layer)) { return; }
    const BlobContent& blob = bottoms[j];
    std::ostringstream what;
    what << Name(layer) << " reads blob '" << layer.bottom(j)
        << "', which holds only the units that "
        << Name(net_.layer(blob.compact_layer)) << " kept by pattern '"
        << blob.pattern << "'";
    if (layer.type() == "Pooling") {
      CHECK(!blob.units.differs(1)) << what.str() << ", not channels: they lie "
                                    << "along axis " << blob.units.axis;
      return;
    }
    if (layer.type() == "Eltwise") {
      for (size_t b = 0; b < bottoms.size(); ++b) {
        CHECK(bottoms[b].same_units(blob)) << what.str() << ", and blob '"
            << layer.bottom(b) << "', which does not hold the same ones; take "
            << "compact_output: true out of what makes them";
      }
      return;
    }
    CHECK_NE(layer.type(), "PReLU") << what.str() << ", but has a parameter "
        << "per channel; set channel_shared: true";
    CHECK(HasWeights(layer) && j == 0) << what.str() << ", and cannot know "
        << "which these are; take compact_output: true out of layer '"
        << net_.layer(blob.compact_layer).name() << "'";
    CHECK(layer.approx_dropout_param().compact_input()) << what.str()
        << "; set compact_input: true and give it that pattern as its last "
        << "bottom";
    CHECK(!blob.units.differs(InputAxis(layer)))
        << what.str() << ", along "
        << "axis " << blob.units.axis << ", as if along axis "
        << InputAxis(layer);
    const int own = OutputPatternBottom(layer)
        + (layer.approx_dropout_param().pattern() !=
            ApproxDropoutParameter::NONE);
    if (own >= layer.bottom_size()) { return; }  // the layer's to refuse
    CHECK(blob.is_pattern(bottoms[own].maker, bottoms[own].top)) << what.str()
        << ", as if pattern '" << layer.bottom(own) << "' had kept them; "
        << "bottom " << own << ", the input's own pattern, must be '"
        << blob.pattern << "'";
  }

  BlobContent Top(int i, int j, const vector<BlobContent>& bottoms) const {
    const LayerParameter& layer = net_.layer(i);
    if (layer.type() == "Split" && bottoms.size() == 1) { return bottoms[0]; }
    BlobContent content = Unknown();
    if (bottoms.size() > 0 && bottoms[0].compact() &&
        (WorksOnSingleValues(layer) || layer.type() == "Eltwise" ||
            layer.type() == "Pooling")) {
      content = bottoms[0];
    }
    content.maker = i;
    content.top = j;
    const size_t pattern = OutputPatternBottom(layer);
    if (layer.approx_dropout_param().compact_output() &&
        layer.type().compare(0, 13, "ApproxDropout") == 0 &&
        pattern < bottoms.size()) {
      content.compact_layer = i;
      content.pattern_maker = bottoms[pattern].maker;
      content.pattern_top = bottoms[pattern].top;
      content.pattern = layer.bottom(pattern);
      content.units = OutputAxis(layer);
    }
    return content;
  }

  const NetParameter& net_;
  std::map<string, BlobContent> blobs_;
};

}  // namespace

void CheckCompactBlobs(const NetParameter& net) {
  CompactBlobs blobs(net);
  for (int i = 0; i < net.layer_size(); ++i) { blobs.Pass(i); }
}

}  // namespace caffe
