#include <cmath>
#include <sstream>
#include <string>
#include <vector>

#include "caffe/approx_dropout/pattern/cell_grid.hpp"
#include "caffe/approx_dropout/pattern/dropout_pattern.hpp"

namespace caffe {

namespace {

const uint32_t kMaxTileSize = 4096;

string Name(const LayerParameter& layer) {
  return layer.type() + " layer '" + layer.name() + "'";
}

template <typename Dtype>
KeptCells ReadGroup(const Dtype* row, int kept, const string& name) {
  const int period = static_cast<int>(row[1]);
  CHECK(period == row[1] && period >= kept && period <= kMaxPeriod) << name
      << ": a pattern has period " << row[1] << " and " << kept
      << " residues; the period must be a whole number from the number of "
      << "residues to " << kMaxPeriod;
  if (kept == period) { return AllCells(); }
  CHECK_LE(kept, kMaxResidues) << name << ": a pattern has " << kept
      << " residues; at most " << kMaxResidues << " can be handled";
  KeptCells cells = {};
  cells.period = period;
  cells.kept = kept;
  for (int i = 0; i < kept; ++i) {
    const Dtype residue = row[2 + i];
    CHECK(residue == std::floor(residue) && residue < period &&
        residue >= (i == 0 ? Dtype(0) : row[1 + i] + 1)) << name
        << ": residue " << i << " of a pattern of period " << period << " is "
        << residue << "; residues must be whole numbers that ascend and are "
        << "below the period";
    cells.residues[i] = static_cast<int>(residue);
  }
  return cells;
}

}  // namespace

template <typename Dtype>
DropoutPattern<Dtype> ReadDropoutPattern(const Blob<Dtype>& blob,
    const LayerParameter& layer) {
  const string name = Name(layer);
  CHECK(blob.num_axes() == 2 && blob.shape(0) >= 1 && blob.shape(1) >= 3)
      << name << ": a pattern bottom has shape " << blob.shape_string()
      << "; it must be (groups, 2 + kept residues), as DropoutPattern makes it";
  DropoutPattern<Dtype> pattern;
  const Dtype* data = blob.cpu_data();
  const int width = blob.shape(1);
  pattern.groups.assign(blob.shape(0), AllCells());
  if (data[1] == 0) { return pattern; }
  pattern.scale = data[0];
  CHECK(std::isfinite(pattern.scale) && pattern.scale > 0) << name
      << ": a pattern has scale " << pattern.scale << "; it must be above 0";
  for (int g = 0; g < blob.shape(0); ++g) {
    const Dtype* row = data + g * width;
    CHECK(row[0] == data[0] && row[1] == data[1]) << name << ": the groups of "
        << "a pattern differ in scale or period";
    pattern.groups[g] = ReadGroup(row, width - 2, name);
  }
  return pattern;
}

template <typename Dtype>
ApproxDropoutPatterns<Dtype>::ApproxDropoutPatterns(
    const LayerParameter& layer, int num_inputs, int num_bottoms)
    : layer_(layer), output_bottom_(-1), input_bottom_(-1) {
  layer_.clear_blobs();
  const ApproxDropoutParameter& param = layer.approx_dropout_param();
  const string name = Name(layer);
  CHECK(!param.compact_output() ||
      param.pattern() == ApproxDropoutParameter_Pattern_ROW) << name
      << ": compact_output goes with pattern: ROW only, not with "
      << ApproxDropoutParameter_Pattern_Name(param.pattern());
  CHECK(param.tile_size() >= 1 && param.tile_size() <= kMaxTileSize) << name
      << ": tile_size is " << param.tile_size() << "; it must be from 1 to "
      << kMaxTileSize;
  CHECK(!param.has_unit_axis() || layer.type() == "ApproxDropout")
      << name << ": unit_axis is for ApproxDropout";
  int expected = num_inputs;
  if (param.pattern() != ApproxDropoutParameter_Pattern_NONE) {
    output_bottom_ = expected++;
  }
  if (param.compact_input()) { input_bottom_ = expected++; }
  CHECK_EQ(num_bottoms, expected) << name << ": has " << num_bottoms
      << " bottoms; with pattern: "
      << ApproxDropoutParameter_Pattern_Name(param.pattern())
      << (param.compact_input() ? " and" : " and without")
      << " compact_input it takes " << expected << ": " << num_inputs
      << (num_inputs == 1 ? " input" : " inputs")
      << (has_output() ? ", the output's pattern" : "")
      << (has_input() ? ", the input's own pattern" : "");
}

template <typename Dtype>
void ApproxDropoutPatterns<Dtype>::CheckUnits(
    const vector<Blob<Dtype>*>& bottom, int num_output, int num_input,
    int input_width) const {
  const ApproxDropoutParameter& param = layer_.approx_dropout_param();
  CHECK_LE(num_input, kMaxUnits)
      << Name(layer_) << ": has " << num_input << " inputs; there must be "
      << kMaxUnits << " or less";
  if (param.pattern() == ApproxDropoutParameter_Pattern_TILE) {
    CheckTiles(bottom, num_output, num_input * input_width, "weights");
  } else if (has_output()) {
    CheckSide(*bottom[output_bottom_], "output", num_output,
        param.compact_output());
  }
  if (has_input()) {
    CheckSide(*bottom[input_bottom_], "input", num_input, true);
  }
}

template <typename Dtype>
void ApproxDropoutPatterns<Dtype>::CheckSide(const Blob<Dtype>& blob,
    const string& side, int units, bool compact) const {
  const string name = Name(layer_);
  ReadDropoutPattern(blob, layer_);
  const int max_period = blob.shape(1) - 2;
  CHECK_LE(max_period, units) << name << ": the pattern of its " << side
      << " has N = " << max_period << ", the longest period, but there are "
      << "only " << units << " units; set max_period to " << units
      << " or less";
  CHECK(blob.shape(0) == 1 || !compact || units % max_period == 0) << name
      << ": with groups: " << blob.shape(0) << " and a compact " << side
      << " its " << units << " units must be divisible by N = " << max_period
      << ", so that every group keeps equally many";
}

template <typename Dtype>
void ApproxDropoutPatterns<Dtype>::CheckTiles(
    const vector<Blob<Dtype>*>& bottom, int num_output, int num_input,
    const string& weights) const {
  const Blob<Dtype>& blob = *bottom[output_bottom_];
  ReadDropoutPattern(blob, layer_);
  const int tile = layer_.approx_dropout_param().tile_size();
  const int max_period = blob.shape(1) - 2;
  const int diagonals = NumCells(num_output, tile) + NumCells(num_input, tile)
      - 1;
  CHECK_LE(max_period, diagonals) << Name(layer_) << ": the pattern of its "
      << "output has N = " << max_period << ", the longest period, but the "
      << weights << " have only " << diagonals << " diagonals of tiles (tile "
      << "rows + tile columns - 1); set max_period to " << diagonals
      << " or less, or a smaller tile_size";
}

template <typename Dtype>
void ApproxDropoutPatterns<Dtype>::Read(const vector<Blob<Dtype>*>& bottom,
    int num_samples) {
  if (has_output()) {
    output_ = ReadSide(*bottom[output_bottom_], "output", num_samples);
  }
  if (has_input()) {
    input_ = ReadSide(*bottom[input_bottom_], "input", num_samples);
  }
}

template <typename Dtype>
DropoutPattern<Dtype> ApproxDropoutPatterns<Dtype>::ReadSide(
    const Blob<Dtype>& blob, const string& side, int num_samples) const {
  DropoutPattern<Dtype> pattern = ReadDropoutPattern(blob, layer_);
  if (layer_.phase() == TEST && pattern.groups[0].keeps_all()) {
    pattern.groups.resize(1);  // they are all the same, for any batch
  }
  const int groups = pattern.groups.size();
  if (num_samples % groups == 0) { return pattern; }
  std::ostringstream legal;
  for (int g = 1; g <= num_samples; ++g) {
    if (num_samples % g == 0) { legal << " " << g; }
  }
  LOG(FATAL) << Name(layer_) << ": the pattern of its " << side
      << " has groups: " << groups << ", which must divide the "
      << num_samples << " samples (the axis before the features); legal:"
      << legal.str();
  return pattern;
}

template <typename Dtype>
void ApproxDropoutPatterns<Dtype>::CheckGroups(int num_steps) const {
  const int output = output_.groups.size();
  const int input = input_.groups.size();
  CHECK(num_steps == 1 || output == input || output == 1 || input == 1)
      << Name(layer_) << ": the pattern of its output has groups: " << output
      << ", that of its input groups: " << input << "; where there are several "
      << "time steps (axes before the samples), they must be the same, or one "
      << "of them 1";
}

template DropoutPattern<float> ReadDropoutPattern<float>(
    const Blob<float>& blob, const LayerParameter& layer);
template DropoutPattern<double> ReadDropoutPattern<double>(
    const Blob<double>& blob, const LayerParameter& layer);
INSTANTIATE_CLASS(ApproxDropoutPatterns);

}  // namespace caffe
