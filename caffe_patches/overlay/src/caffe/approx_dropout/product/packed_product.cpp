#include "caffe/approx_dropout/product/packed_product.hpp"

#include <algorithm>
#include <vector>

#include "caffe/approx_dropout/math/panel_product.hpp"
#include "caffe/approx_dropout/math/panels.hpp"
#include "caffe/approx_dropout/math/parallel.hpp"
#include "caffe/approx_dropout/product/gather_scatter.hpp"

namespace caffe {

namespace {

// Rows of a strip: a multiple of the micro-kernel's.
const int kStrip = 24;
// Inputs of a strip of dx, whose weights fit in L2.
const int kInputs = 48;
// Inputs whose factors are side by side: a multiple of the micro-kernel's rows.
const int kFactors = 12;
// Below this many multiplications a product is not worth waking threads for.
const int64_t kParallelProducts = 1 << 20;

}  // namespace

template <typename Dtype>
void PackedProduct<Dtype>::Pack(
    const ProductSpec<Dtype>& spec, const Dtype* weight) {
  spec_ = &spec;
  weight_ = weight;
  outputs_ =
      ListSide(UnitsOf(spec.output[0], spec.num_output), spec.compact_output);
  inputs_ = ListSide(UnitsOf(spec.input[0], spec.num_input, spec.input_width),
      spec.compact_input);
  taken_up_ = false;
  if (!inputs_.weight.contiguous()) {
    const int blocks = (num_inputs() + kFactors - 1) / kFactors;
    GrowTo(static_cast<size_t>(num_outputs()) * blocks * kFactors, &packed_);
  }
}

template <typename Dtype>
int PackedProduct<Dtype>::num_strips() const {
  return (num_outputs() + kStrip - 1) / kStrip;
}

template <typename Dtype>
typename PackedProduct<Dtype>::Strip PackedProduct<Dtype>::StripAt(
    int i) const {
  const Strip strip = {i * kStrip, std::min((i + 1) * kStrip, num_outputs())};
  return strip;
}

template <typename Dtype>
bool PackedProduct<Dtype>::worth_threads(int num_samples) const {
  return static_cast<int64_t>(num_samples) * num_outputs() * num_inputs() >
         kParallelProducts;
}

template <typename Dtype>
const Dtype* PackedProduct<Dtype>::WeightRow(int output) const {
  return weight_ + inputs_.weight.first() +
         static_cast<size_t>(outputs_.weight.index[output]) * spec_->num_input;
}

// Where the factors of dx's strips are written, side by side, those of the
// inputs from `begin` to before `end` of the strip's outputs, whose rows of
// inputs are given.
template <typename Dtype>
void PackedProduct<Dtype>::PackFactors(const PartView<const Dtype>& rows,
    const Strip& strip, int begin, int end, Dtype* factors) const {
  const size_t depth = num_outputs();
  const Dtype scale = spec_->scale;
  for (int i = begin; i < end; i += kFactors) {
    Dtype* to = factors + (i - begin) * depth + strip.begin * kFactors;
    const Dtype* from = rows.data + i;
    const int count = std::min(kFactors, end - i);
    for (int r = 0; r < strip.size(); ++r) {
      if (count == kFactors) {
        for (int j = 0; j < kFactors; ++j) {
          to[j] = scale * from[j];
        }
      } else {
        for (int j = 0; j < count; ++j) {
          to[j] = scale * from[j];
        }
      }
      from += rows.stride;
      to += kFactors;
    }
  }
}

template <typename Dtype>
PartView<const Dtype> PackedProduct<Dtype>::CopyRows(
    const Strip& strip, Scratch* scratch) const {
  const int columns = num_inputs();
  // Rows apart by a power of two would get into each other's way in L1.
  const int stride = columns + kPanelBytes / sizeof(Dtype);
  GrowTo(static_cast<size_t>(kStrip) * stride, &scratch->weight);
  const int* column = inputs_.weight.index.data();
  for (int r = 0; r < strip.size(); ++r) {
    Dtype* to = scratch->weight.data() + static_cast<size_t>(r) * stride;
    const Dtype* row = WeightRow(strip.begin + r);
    if (inputs_.weight.contiguous()) {
      std::copy_n(row, columns, to);
      continue;
    }
    row -= inputs_.weight.first();
    for (int j = 0; j < columns; ++j) {
      to[j] = row[column[j]];
    }
  }
  const PartView<const Dtype> view = {scratch->weight.data(), stride};
  return view;
}

template <typename Dtype>
PartView<const Dtype> PackedProduct<Dtype>::Weight(
    const Strip& strip, Scratch* scratch) {
  const IndexList& outputs = outputs_.weight;
  if (spec_->lazy && !taken_up_) {
    spec_->lazy->CatchUpOnThisThread(
        outputs.index.data() + strip.begin, strip.size());
  }
  if (inputs_.weight.contiguous() && outputs.stride > 0) {
    const PartView<const Dtype> view = {
        WeightRow(strip.begin), outputs.stride * spec_->num_input};
    return view;
  }
  const PartView<const Dtype> rows = CopyRows(strip, scratch);
  if (!inputs_.weight.contiguous() && !taken_up_) {
    PackFactors(rows, strip, 0, num_inputs(), packed_.data());
  }
  return rows;
}

template <typename Dtype>
Dtype* const* PackedProduct<Dtype>::RowsOf(
    int rows, int columns, Scratch* scratch) const {
  GrowTo(static_cast<size_t>(rows) * columns, &scratch->sums);
  scratch->rows.resize(rows);
  for (int r = 0; r < rows; ++r) {
    scratch->rows[r] = scratch->sums.data() + static_cast<size_t>(r) * columns;
  }
  return scratch->rows.data();
}

template <typename Dtype>
void PackedProduct<Dtype>::Forward(
    int outer, const Dtype* x, const Dtype* bias, bool accumulate, Dtype* y) {
  if (num_outputs() == 0) {
    return;
  }
  const int num_samples = outer * spec_->num_samples;
  const int num_panels = Panel<Dtype>::count(num_samples);
  const PartView<const Dtype> x_part = ViewPart<CpuParts<Dtype> >(
      x, spec_->stored_input, AllUnits(num_samples), inputs_.stored, &x_);
  GrowTo(static_cast<size_t>(num_panels) * Panel<Dtype>::kWidth * num_inputs(),
      &panels_);
  const int strips = num_strips();
  spec_->GrowScratch(&scratch_);
#pragma omp parallel if (worth_threads(num_samples))
  {
#pragma omp for
    for (int j = 0; j < num_panels; ++j) {
      PackRows(j, num_samples, num_inputs(), x_part.data, x_part.stride,
          panels_.data());
    }
#pragma omp for schedule(dynamic)
    for (int i = 0; i < strips; ++i) {
      ForwardStrip(StripAt(i), num_samples, bias, accumulate, y);
    }
  }
  taken_up_ = true;
}

template <typename Dtype>
void PackedProduct<Dtype>::ForwardStrip(const Strip& strip, int num_samples,
    const Dtype* bias, bool accumulate, Dtype* y) {
  Scratch* scratch = &scratch_[ThreadIndex()];
  const PartView<const Dtype> weight = Weight(strip, scratch);
  const Factors<Dtype> factors = {
      weight.data, static_cast<size_t>(weight.stride), 1};
  Dtype* const* sums = RowsOf(strip.size(), num_samples, scratch);
  multiply_panels(strip.size(), num_inputs(), num_samples, factors,
      panels_.data(), false, sums);
  Dtype added[kStrip] = {};
  for (int r = 0; r < strip.size() && bias; ++r) {
    added[r] = spec_->bias_scale * bias[outputs_.weight.index[strip.begin + r]];
  }
  const int* column = outputs_.stored.index.data() + strip.begin;
  for (int s = 0; s < num_samples; ++s) {
    Dtype* to = y + static_cast<size_t>(s) * spec_->stored_output;
    if (outputs_.stored.contiguous() && !accumulate) {
      to += column[0];
      const Dtype* sum = sums[0] + s;
      for (int r = 0; r < strip.size(); ++r, sum += num_samples) {
        to[r] = spec_->scale * *sum + added[r];
      }
      continue;
    }
    for (int r = 0; r < strip.size(); ++r) {
      const Dtype value = spec_->scale * sums[r][s] + added[r];
      to[column[r]] = accumulate ? to[column[r]] + value : value;
    }
  }
}

template <typename Dtype>
void PackedProduct<Dtype>::Backward(int outer, const Dtype* x, const Dtype* dy,
    Dtype* dx, Dtype* dweight, Dtype* dbias) {
  CHECK(taken_up_ || !dx) << "Backward without Forward";
  const int num_samples = outer * spec_->num_samples;
  const int num_panels = dweight ? Panel<Dtype>::count(num_inputs()) : 0;
  const int dy_panels = dx ? Panel<Dtype>::count(num_samples) : 0;
  const int strips = dweight || dbias ? num_strips() : 0;
  const int input_parts = dx ? (num_inputs() + kInputs - 1) / kInputs : 0;
  const IndexList samples = AllUnits(num_samples);
  const PartView<const Dtype> dy_part = ViewPart<CpuParts<Dtype> >(
      dy, spec_->stored_output, samples, outputs_.stored, &dy_);
  GrowTo(static_cast<size_t>(dy_panels) * Panel<Dtype>::kWidth * num_outputs(),
      &dy_panels_);
  PartView<const Dtype> x_part = {};
  int columns = 0;
  if (dweight) {
    x_part = ViewPart<CpuParts<Dtype> >(
        x, spec_->stored_input, samples, inputs_.stored, &x_);
    GrowTo(static_cast<size_t>(num_panels) * Panel<Dtype>::kWidth * num_samples,
        &panels_);
    if (spec_->lazy) {
      columns = spec_->lazy->AddColumns(inputs_.weight.index);
    }
  }
  spec_->GrowScratch(&scratch_);
#pragma omp parallel if (worth_threads(num_samples))
  {
#pragma omp for nowait
    for (int j = 0; j < num_panels; ++j) {
      PackColumns(j, num_samples, num_inputs(), x_part.data, x_part.stride,
          panels_.data());
    }
#pragma omp for
    for (int j = 0; j < dy_panels; ++j) {
      PackRows(j, num_samples, num_outputs(), dy_part.data, dy_part.stride,
          dy_panels_.data());
    }
#pragma omp for schedule(dynamic) nowait
    for (int i = 0; i < strips; ++i) {
      GradientStrip(StripAt(i), num_samples, dy_part, columns, dweight, dbias);
    }
#pragma omp for schedule(dynamic)
    for (int i = 0; i < input_parts; ++i) {
      const Strip strip = {
          i * kInputs, std::min((i + 1) * kInputs, num_inputs())};
      InputGradient(strip, num_samples, dx);
    }
  }
}

template <typename Dtype>
void PackedProduct<Dtype>::GradientStrip(const Strip& strip, int num_samples,
    const PartView<const Dtype>& dy, int columns, Dtype* dweight,
    Dtype* dbias) {
  Scratch* scratch = &scratch_[ThreadIndex()];
  GrowTo(static_cast<size_t>(num_samples) * kStrip, &scratch->dy);
  Dtype bias_sums[kStrip] = {};
  for (int s = 0; s < num_samples; ++s) {
    const Dtype* from =
        dy.data + static_cast<size_t>(s) * dy.stride + strip.begin;
    Dtype* to = scratch->dy.data() + s * kStrip;
    for (int r = 0; r < strip.size(); ++r) {
      bias_sums[r] += from[r];
      to[r] = spec_->scale * from[r];
    }
  }
  const int* outputs = outputs_.weight.index.data() + strip.begin;
  for (int r = 0; r < strip.size() && dbias; ++r) {
    dbias[outputs[r]] += spec_->bias_scale * bias_sums[r];
  }
  if (!dweight || num_inputs() == 0) {
    return;
  }
  Dtype* const* sums = RowsOf(strip.size(), num_inputs(), scratch);
  bool adds = !spec_->lazy;
  for (int r = 0; r < strip.size() && spec_->lazy; ++r) {
    Dtype* row = spec_->lazy->ClaimRowOnThisThread(outputs[r], columns);
    scratch->rows[r] = row ? row : scratch->rows[r];
    adds = adds || !row;
  }
  const Factors<Dtype> factors = {scratch->dy.data(), 1, kStrip};
  multiply_panels(strip.size(), num_samples, num_inputs(), factors,
      panels_.data(), false, sums);
  if (adds) {
    AddGradient(strip, sums, dweight);
  }
}

// Those rows that are in the thread's buffer.
template <typename Dtype>
void PackedProduct<Dtype>::AddGradient(
    const Strip& strip, Dtype* const* rows, Dtype* dweight) {
  const Dtype* buffer = scratch_[ThreadIndex()].sums.data();
  const vector<int>& columns = inputs_.weight.index;
  for (int r = 0; r < strip.size(); ++r) {
    if (rows[r] != buffer + static_cast<size_t>(r) * num_inputs()) {
      continue;
    }
    const int output = outputs_.weight.index[strip.begin + r];
    if (spec_->lazy) {
      spec_->lazy->AddRowOnThisThread(output, columns, rows[r]);
      continue;
    }
    Dtype* to = dweight + static_cast<size_t>(output) * spec_->num_input;
    for (int j = 0; j < num_inputs(); ++j) {
      to[columns[j]] += rows[r][j];
    }
  }
}

template <typename Dtype>
void PackedProduct<Dtype>::InputGradient(
    const Strip& strip, int num_samples, Dtype* dx) {
  Scratch* scratch = &scratch_[ThreadIndex()];
  const size_t depth = num_outputs();
  const Dtype* packed;
  if (inputs_.weight.contiguous()) {
    GrowTo(depth * kInputs, &scratch->weight);
    for (int o = 0; o < depth; ++o) {
      const Strip row = {o, o + 1};
      PackFactors(View(WeightRow(o), 0), row, strip.begin, strip.end,
          scratch->weight.data());
    }
    packed = scratch->weight.data();
  } else {
    packed = packed_.data() + strip.begin * depth;
  }
  Dtype* const* sums = RowsOf(strip.size(), num_samples, scratch);
  const Factors<Dtype> factors = {
      packed, 1, kFactors, kFactors, kFactors * depth};
  multiply_panels(strip.size(), depth, num_samples, factors, dy_panels_.data(),
      false, sums);
  const int* column = inputs_.stored.index.data() + strip.begin;
  for (int s = 0; s < num_samples; ++s) {
    Dtype* to = dx + static_cast<size_t>(s) * spec_->stored_input;
    for (int i = 0; i < strip.size(); ++i) {
      to[column[i]] = sums[i][s];
    }
  }
}

INSTANTIATE_CLASS(PackedProduct);

}  // namespace caffe
