#include <algorithm>
#include <vector>

#include "boost/math/common_factor_rt.hpp"

#include "caffe/util/kept_parts.hpp"
#include "caffe/util/kept_product.hpp"

namespace caffe {

void IndexList::FindStride() {
  stride = index.size() > 1 ? index[1] - index[0] : 1;
  for (size_t i = 2; i < index.size(); ++i) {
    if (index[i] - index[i - 1] != stride) {
      stride = 0;
      return;
    }
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

template <typename Dtype>
void KeptProduct<Dtype>::Keep(const ApproxDropoutPatterns<Dtype>& patterns,
    const ApproxDropoutParameter& param, int num_output, int num_input,
    int num_samples) {
  num_output_ = num_output;
  num_input_ = num_input;
  num_samples_ = num_samples;
  compact_output_ = param.compact_output();
  compact_input_ = param.compact_input();
  const DropoutPattern<Dtype>& output = patterns.output();
  const DropoutPattern<Dtype>& input = patterns.input();
  tiled_ = param.pattern() == ApproxDropoutParameter_Pattern_TILE;
  scale_ = output.scale;
  bias_scale_ = tiled_ ? Dtype(1) : scale_;
  stored_output_ = compact_output_ ?
      output.groups[0].count(num_output) : num_output;
  stored_input_ = compact_input_ ?
      input.groups[0].count(num_input) : num_input;
  blocks_.clear();
  const int parts = boost::math::lcm(output.groups.size(),
      input.groups.size());
  const int size = num_samples / parts;
  covers_output_ = true;
  for (int first = 0; first < num_samples; first += size) {
    const KeptCells& out = output.of_sample(first, num_samples);
    const KeptCells& in = input.of_sample(first, num_samples);
    if (!tiled_) {
      AddBlock(first, size, UnitsOf(out, num_output), UnitsOf(in, num_input));
      covers_output_ &= compact_output_ || out.kept == out.period;
      continue;
    }
    // All tile rows with the same r mod n keep the same tile columns.
    const int tile = param.tile_size();
    const int tile_rows = (num_output + tile - 1) / tile;
    for (int r = 0; r < std::min(out.period, tile_rows); ++r) {
      KeptCells every_nth = {};
      every_nth.period = out.period;
      every_nth.kept = 1;
      every_nth.residues[0] = r;
      const KeptUnits outputs = { AllCells(), every_nth, tile, 0, num_output };
      const KeptUnits inputs = { in, out, tile, r, num_input };
      AddBlock(first, size, outputs, inputs);
    }
  }
}

template <typename Dtype>
void KeptProduct<Dtype>::AddBlock(int first_sample, int num_samples,
    const KeptUnits& output, const KeptUnits& input) {
  blocks_.push_back(Block());
  Block& block = blocks_.back();
  block.first_sample = first_sample;
  block.num_samples = num_samples;
  block.output = output;
  block.input = input;
  block.weight = NULL;
  ListUnits(output, compact_output_, &block.output_weight,
      &block.output_stored);
  ListUnits(input, compact_input_, &block.input_weight, &block.input_stored);
}

template <typename Dtype>
IndexList KeptProduct<Dtype>::Rows(int outer, const Block& block) const {
  IndexList rows;
  for (int t = 0; t < outer; ++t) {
    for (int i = 0; i < block.num_samples; ++i) {
      rows.index.push_back(t * num_samples_ + block.first_sample + i);
    }
  }
  rows.FindStride();
  return rows;
}

template <typename Dtype>
void KeptProduct<Dtype>::PackWeights_cpu(const Dtype* weight) {
  size_t size = 0;
  for (size_t b = 0; b < blocks_.size(); ++b) {
    Block& block = blocks_[b];
    block.packed_offset = size;
    if (!views_weight(block)) {
      size += static_cast<size_t>(block.output_weight.size())
          * block.input_weight.size();
    }
  }
  Dtype* packed = size ? GrowBuffer(&packed_, size) : NULL;
  for (size_t b = 0; b < blocks_.size(); ++b) {
    Block& block = blocks_[b];
    if (views_weight(block)) {
      block.weight = weight + block.input_weight.first()
          + static_cast<size_t>(block.output_weight.first()) * num_input_;
      block.weight_stride = block.output_weight.stride * num_input_;
    } else {
      block.weight = packed + block.packed_offset;
      block.weight_stride = block.input_weight.size();
      GatherPart(weight, num_input_, block.output_weight, block.input_weight,
          packed + block.packed_offset);
    }
  }
}

template <typename Dtype>
void KeptProduct<Dtype>::Forward_cpu(int outer, const Dtype* x,
    const Dtype* bias, bool accumulate, Dtype* y) {
  CHECK(!(accumulate && bias)) << "A product that is added to takes no bias";
  if (!covers_output_ && !accumulate) {
    caffe_set(outer * num_samples_ * stored_output_, Dtype(0), y);
  }
  for (size_t b = 0; b < blocks_.size(); ++b) {
    const Block& block = blocks_[b];
    const int num_output = block.output_weight.size();
    if (num_output == 0) { continue; }
    const IndexList rows = Rows(outer, block);
    const PartView<Dtype> x_part = ViewPart(x, stored_input_, rows,
        block.input_stored, &x_part_);
    const bool direct = rows.stride > 0 && block.output_stored.contiguous();
    PartView<Dtype> y_part = { y + block.output_stored.first()
        + static_cast<size_t>(rows.first()) * stored_output_,
        rows.stride * stored_output_ };
    if (!direct) {
      y_part.data = GrowBuffer(&y_part_, rows.size() * num_output);
      y_part.stride = num_output;
    }
    if (bias) {
      FillRows(bias, bias_scale_, block.output_weight, rows.size(), y_part);
    }
    const bool add = bias || (accumulate && direct);
    cpu_gemm_strided<Dtype>(CblasNoTrans, CblasTrans, rows.size(), num_output,
        block.input_weight.size(), scale_, x_part.data, x_part.stride,
        block.weight, block.weight_stride, add ? 1 : 0, y_part.data,
        y_part.stride);
    if (!direct) {
      ScatterPart(y_part.data, rows, block.output_stored, accumulate,
          stored_output_, y);
    }
  }
}

template <typename Dtype>
void KeptProduct<Dtype>::Backward_cpu(int outer, const Dtype* x,
    const Dtype* dy, Dtype* dx, Dtype* dweight, Dtype* dbias) {
  if (dx && tiled_) {
    caffe_set(outer * num_samples_ * stored_input_, Dtype(0), dx);
  }
  for (size_t b = 0; b < blocks_.size(); ++b) {
    const Block& block = blocks_[b];
    const int num_output = block.output_weight.size();
    const int num_input = block.input_weight.size();
    if (num_output == 0) { continue; }
    const IndexList rows = Rows(outer, block);
    const PartView<Dtype> dy_part = ViewPart(dy, stored_output_, rows,
        block.output_stored, &y_part_);
    if (dbias) {
      AddColumnSums(dy_part, rows.size(), bias_scale_, block.output_weight,
          dbias);
    }
    if (num_input == 0) { continue; }
    if (dweight) {
      const PartView<Dtype> x_part = ViewPart(x, stored_input_, rows,
          block.input_stored, &x_part_);
      const bool direct = views_weight(block);
      Dtype* part = direct ? dweight + block.input_weight.first()
          + static_cast<size_t>(block.output_weight.first()) * num_input_
          : GrowBuffer(&gradient_part_, num_output * num_input);
      cpu_gemm_strided<Dtype>(CblasTrans, CblasNoTrans, num_output, num_input,
          rows.size(), scale_, dy_part.data, dy_part.stride, x_part.data,
          x_part.stride, direct ? 1 : 0, part,
          direct ? block.output_weight.stride * num_input_ : num_input);
      if (!direct) {
        ScatterPart(part, block.output_weight, block.input_weight, true,
            num_input_, dweight);
      }
    }
    if (dx) {
      const bool direct = rows.stride > 0 && block.input_stored.contiguous();
      Dtype* part = direct ? dx + block.input_stored.first()
          + static_cast<size_t>(rows.first()) * stored_input_
          : GrowBuffer(&x_part_, rows.size() * num_input);
      cpu_gemm_strided<Dtype>(CblasNoTrans, CblasNoTrans, rows.size(),
          num_input, num_output, scale_, dy_part.data, dy_part.stride,
          block.weight, block.weight_stride, direct && tiled_ ? 1 : 0, part,
          direct ? rows.stride * stored_input_ : num_input);
      if (!direct) {
        ScatterPart(part, rows, block.input_stored, tiled_, stored_input_, dx);
      }
    }
  }
}

INSTANTIATE_CLASS(KeptProduct);

}  // namespace caffe
