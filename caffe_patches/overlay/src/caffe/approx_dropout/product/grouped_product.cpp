#include <algorithm>
#include <vector>

#include "caffe/approx_dropout/math/parallel.hpp"
#include "caffe/approx_dropout/product/gather_scatter.hpp"
#include "caffe/approx_dropout/product/grouped_product.hpp"

namespace caffe {

namespace {

// Bytes of W per chunk; chunk and gradient fit in L2.
const size_t kChunkBytes = 1 << 18;
// Chunks per thread, at least.
const int kChunksPerThread = 4;

IndexList Slice(const IndexList& list, int begin, int end) {
  IndexList slice;
  slice.index.assign(list.index.begin() + begin, list.index.begin() + end);
  slice.FindStride();
  return slice;
}

}  // namespace

template <typename Dtype>
void GroupedProduct<Dtype>::Pack(const ProductSpec<Dtype>& spec,
    const Dtype* weight) {
  spec_ = &spec;
  weight_ = weight;
  outer_ = 0;
  groups_.resize(spec.num_groups());
  for (size_t g = 0; g < groups_.size(); ++g) {
    groups_[g].outputs = ListSide(UnitsOf(spec.output[g], spec.num_output),
        spec.compact_output);
    groups_[g].inputs =
        ListSide(UnitsOf(spec.input[g], spec.num_input, spec.input_width),
            spec.compact_input);
  }
}

template <typename Dtype>
void GroupedProduct<Dtype>::SetOuter(int outer) {
  if (outer == outer_) { return; }
  outer_ = outer;
  inputs_size_ = 0;
  const GroupRows rows = spec_->rows();
  for (size_t g = 0; g < groups_.size(); ++g) {
    Group& group = groups_[g];
    group.samples = IndexList();
    for (int i = 0; i < outer * rows.size; ++i) {
      group.samples.index.push_back(rows(g, i));
    }
    group.samples.FindStride();
    group.offset = inputs_size_;
    inputs_size_ += static_cast<size_t>(group.samples.size())
        * group.inputs.weight.size();
  }
}

template <typename Dtype>
int GroupedProduct<Dtype>::num_chunks() const {
  const size_t bytes = sizeof(Dtype) * spec_->num_output * spec_->num_input;
  const size_t threads = scratch_.size();
  return std::min<size_t>(spec_->num_output,
      std::max(bytes / kChunkBytes, threads * kChunksPerThread));
}

template <typename Dtype>
typename GroupedProduct<Dtype>::Part GroupedProduct<Dtype>::PartOf(int g,
    int chunk) {
  const Group& group = groups_[g];
  const vector<int>& index = group.outputs.weight.index;
  const size_t chunks = num_chunks();
  const size_t rows = spec_->num_output;  // times chunk, it exceeds an int
  const int begin = std::lower_bound(index.begin(), index.end(),
      static_cast<int>(chunk * rows / chunks)) - index.begin();
  const int end = std::lower_bound(index.begin(), index.end(),
      static_cast<int>((chunk + 1) * rows / chunks)) - index.begin();
  Part part;
  part.group = &group;
  part.outputs = Slice(group.outputs.weight, begin, end);
  part.stored_outputs = Slice(group.outputs.stored, begin, end);
  part.num_samples = group.samples.size();
  part.num_outputs = end - begin;
  part.num_inputs = group.inputs.weight.size();
  part.scratch = &scratch_[ThreadIndex()];
  return part;
}

template <typename Dtype>
template <typename Function>
void GroupedProduct<Dtype>::ForEachPart(const Function& f) {
  const int chunks = num_chunks();
  const int num_groups = groups_.size();
#pragma omp parallel for schedule(static, 1)
  for (int c = 0; c < chunks; ++c) {
    for (int g = 0; g < num_groups; ++g) { f(PartOf(g, c)); }
  }
}

template <typename Dtype>
PartView<const Dtype> GroupedProduct<Dtype>::Weight(const Part& part) const {
  return ViewPart<CpuParts<Dtype> >(weight_, spec_->num_input, part.outputs,
      part.group->inputs.weight, &part.scratch->weight);
}

template <typename Dtype>
void GroupedProduct<Dtype>::GatherInputs(const Dtype* x) {
  Dtype* parts = CpuParts<Dtype>::Grow(&x_, inputs_size_);
  for (size_t g = 0; g < groups_.size(); ++g) {
    CpuParts<Dtype>::Gather(x, spec_->stored_input, groups_[g].samples,
        groups_[g].inputs.stored, parts + groups_[g].offset);
  }
}

template <typename Dtype>
void GroupedProduct<Dtype>::Forward(int outer, const Dtype* x,
    const Dtype* bias, bool accumulate, Dtype* y) {
  spec_->GrowScratch(&scratch_);
  SetOuter(outer);
  GatherInputs(x);
  const Dtype* x_parts = x_->cpu_data();
  ForEachPart([&](const Part& part) {
    if (spec_->lazy) {
      spec_->lazy->CatchUpOnThisThread(part.outputs.index);
    }
    const PartView<const Dtype> w = Weight(part);
    const PartView<Dtype> y_part = { CpuParts<Dtype>::Grow(&part.scratch->y,
        static_cast<size_t>(part.num_samples) * part.num_outputs),
        part.num_outputs };
    if (bias) {
      CpuParts<Dtype>::FillRows(bias, spec_->bias_scale, part.outputs,
          part.num_samples, y_part);
    }
    CpuParts<Dtype>::Gemm(CblasNoTrans, CblasTrans, part.num_samples,
        part.num_outputs, part.num_inputs, spec_->scale,
        x_parts + part.group->offset, part.num_inputs, w.data, w.stride,
        bias ? 1 : 0, y_part.data, y_part.stride);
    CpuParts<Dtype>::Scatter(y_part.data, part.group->samples,
        part.stored_outputs, accumulate, spec_->stored_output, y);
  });
}

template <typename Dtype>
void GroupedProduct<Dtype>::Backward(int outer, const Dtype* x,
    const Dtype* dy, Dtype* dx, Dtype* dweight, Dtype* dbias) {
  spec_->GrowScratch(&scratch_);
  SetOuter(outer);
  GatherInputs(x);
  const Dtype* x_parts = x_->cpu_data();
  if (dx) {
    for (size_t t = 0; t < scratch_.size(); ++t) {
      CpuParts<Dtype>::SetZero(inputs_size_,
          CpuParts<Dtype>::Grow(&scratch_[t].dx, inputs_size_));
    }
  }
  ForEachPart([&](const Part& part) {
    const PartView<const Dtype> dy_part = ViewPart<CpuParts<Dtype> >(dy,
        spec_->stored_output, part.group->samples, part.stored_outputs,
        &part.scratch->y);
    if (dbias) {
      CpuParts<Dtype>::AddColumnSums(dy_part, part.num_samples,
          spec_->bias_scale, part.outputs, dbias);
    }
    if (dx) {
      const PartView<const Dtype> w = Weight(part);
      CpuParts<Dtype>::Gemm(CblasNoTrans, CblasNoTrans, part.num_samples,
          part.num_inputs, part.num_outputs, spec_->scale, dy_part.data,
          dy_part.stride, w.data, w.stride, 1,
          part.scratch->dx->mutable_cpu_data() + part.group->offset,
          part.num_inputs);
    }
    if (dweight) { AddWeightGradient(part, x_parts, dy_part, dweight); }
  });
  if (dx) { ScatterInputGradients(dx); }
}

template <typename Dtype>
void GroupedProduct<Dtype>::AddWeightGradient(const Part& part,
    const Dtype* x, const PartView<const Dtype>& dy, Dtype* dweight) const {
  const IndexList& inputs = part.group->inputs.weight;
  Dtype* dw = CpuParts<Dtype>::Grow(&part.scratch->weight,
      static_cast<size_t>(part.num_outputs) * part.num_inputs);
  CpuParts<Dtype>::Gemm(CblasTrans, CblasNoTrans, part.num_outputs,
      part.num_inputs, part.num_samples, spec_->scale, dy.data, dy.stride,
      x + part.group->offset, part.num_inputs, 0, dw, part.num_inputs);
  if (spec_->lazy) {
    spec_->lazy->AddGradientOnThisThread(part.outputs.index, inputs.index, dw);
  } else {
    CpuParts<Dtype>::Scatter(dw, part.outputs, inputs, true, spec_->num_input,
        dweight);
  }
}

template <typename Dtype>
void GroupedProduct<Dtype>::ScatterInputGradients(Dtype* dx) {
  Dtype* sum = scratch_[0].dx->mutable_cpu_data();
  for (size_t t = 1; t < scratch_.size(); ++t) {
    const Dtype* more = scratch_[t].dx->cpu_data();
    for (size_t i = 0; i < inputs_size_; ++i) { sum[i] += more[i]; }
  }
  for (size_t g = 0; g < groups_.size(); ++g) {
    CpuParts<Dtype>::Scatter(sum + groups_[g].offset, groups_[g].samples,
        groups_[g].inputs.stored, false, spec_->stored_input, dx);
  }
}

INSTANTIATE_CLASS(GroupedProduct);

}  // namespace caffe
