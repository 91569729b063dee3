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

void ListUnits(const KeptUnits& kept, bool compact, IndexList* weight,
    IndexList* stored) {
  const KeptCells& rows = kept.rows;
  const int num_tiles = (kept.units + kept.tile_size - 1) / kept.tile_size;
  const bool all_tiles = kept.tiles.kept == kept.tiles.period;
  for (int tile = 0; tile < (all_tiles ? 1 : num_tiles); ++tile) {
    if (!all_tiles && !kept.tiles.has(tile + kept.tile_shift)) { continue; }
    const int begin = all_tiles ? 0 : tile * kept.tile_size;
    const int end = all_tiles ? kept.units :
        std::min(kept.units, begin + kept.tile_size);
    const int last = rows.count(end);
    for (int j = rows.count(begin); j < last; ++j) {
      const int unit = rows.cell(j);
      weight->index.push_back(unit);
      stored->index.push_back(compact ? j : unit);
    }
  }
  weight->FindStride();
  stored->FindStride();
}

}  // namespace caffe
