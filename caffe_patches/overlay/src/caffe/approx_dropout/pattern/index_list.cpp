#include <algorithm>

#include "caffe/approx_dropout/pattern/index_list.hpp"

namespace caffe {

void IndexList::FindStride() {
  stride = index.size() > 1 ? index[1] - index[0] : 1;
  runs.clear();
  for (size_t i = 0; i < index.size(); ++i) {
    if (i == 0 || index[i] != index[i - 1] + 1) { runs.push_back(i); }
    if (i > 0 && index[i] - index[i - 1] != stride) { stride = 0; }
  }
  const size_t kShortestMean = 8;
  if (runs.size() * kShortestMean > index.size()) {
    runs.clear();
  } else {
    runs.push_back(index.size());
  }
}

void ListUnits(
    const KeptUnits& kept, bool compact, IndexList* weight, IndexList* stored) {
  // Where all tiles are kept, the whole side is one.
  const int tile_size =
      kept.tiles.keeps_all() ? std::max(1, kept.units) : kept.tile_size;
  for (int begin = 0; begin < kept.units; begin += tile_size) {
    if (!kept.tiles.has_tile(kept.line, begin / tile_size)) { continue; }
    const int last =
        kept.count_in_rows(std::min(kept.units, begin + tile_size));
    for (int j = kept.count_in_rows(begin); j < last; ++j) {
      const int unit = kept.unit_in_rows(j);
      weight->index.push_back(unit);
      stored->index.push_back(compact ? j : unit);
    }
  }
  weight->FindStride();
  stored->FindStride();
}

}  // namespace caffe
