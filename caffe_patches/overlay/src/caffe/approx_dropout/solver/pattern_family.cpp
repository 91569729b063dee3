#include <map>
#include <sstream>
#include <string>

#include "boost/property_tree/json_parser.hpp"
#include "boost/property_tree/ptree.hpp"
#include "caffe/approx_dropout/solver/pattern_family.hpp"
#include "caffe/common.hpp"

namespace caffe {

namespace {

// The search that a blob's values come from.
struct Search {
  string layer;
  DropoutPatternParameter::Family family;
};

// Whether the layer searches K, and then what for. A param_str that is wrong
// is the Python layer's to refuse.
bool ReadSearch(const LayerParameter& layer, Search* search) {
  const PythonParameter& python = layer.python_param();
  if (layer.type() != "Python" || python.layer() != "PatternSearchLayer" ||
      (python.module() != "approx_dropout" &&
       python.module() != "approx_dropout.layers")) {
    return false;
  }
  string family = "RESIDUE";  // the search's default
  try {
    std::istringstream text(python.param_str());
    boost::property_tree::ptree json;
    boost::property_tree::read_json(text, json);
    boost::property_tree::ptree::const_iterator member = json.begin();
    for (; member != json.end(); ++member) {
      if (member->first == "family") { family = member->second.data(); }
    }
  } catch (const boost::property_tree::ptree_error&) {
    return false;
  }
  search->layer = layer.name();
  return DropoutPatternParameter::Family_Parse(family, &search->family);
}

}  // namespace

void SetPatternFamilies(NetParameter* net) {
  std::map<string, Search> searches;  // of the blobs that come from one
  for (int i = 0; i < net->layer_size(); ++i) {
    LayerParameter* layer = net->mutable_layer(i);
    Search search;
    bool found = ReadSearch(*layer, &search);
    if (layer->bottom_size() == 1 && searches.count(layer->bottom(0))) {
      search = searches[layer->bottom(0)];
      found = true;
    }
    if (found && layer->type() == "DropoutPattern") {
      DropoutPatternParameter* param = layer->mutable_dropout_pattern_param();
      CHECK(!param->has_family() || param->family() == search.family)
          << "DropoutPattern layer '" << layer->name() << "' has family: "
          << DropoutPatternParameter::Family_Name(param->family())
          << ", but its K is searched by layer '" << search.layer
          << "' for family: "
          << DropoutPatternParameter::Family_Name(search.family)
          << "; leave it out, or name the same one in both";
      param->set_family(search.family);
      found = false;  // a pattern is no K
    }
    for (int j = 0; j < layer->top_size(); ++j) {
      searches.erase(layer->top(j));
      if (found) { searches[layer->top(j)] = search; }
    }
  }
}

}  // namespace caffe
