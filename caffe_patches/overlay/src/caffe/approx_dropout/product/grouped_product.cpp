#include <algorithm>
#include <vector>

#include "caffe/approx_dropout/product/gather_scatter.hpp"
#include "caffe/approx_dropout/product/grouped_product.hpp"

namespace caffe {

namespace {

// Bytes of W per chunk; chunk and gradient fit in L2.
const size_t kChunkBytes = 1 << 18;
// At least so many chunks per thread.
const int kChunksPerThread = 4;

IndexList Slice(const IndexList& list, int begin, int end) {
  IndexList slice;
  slice.index.assign(list.index.begin() + begin, list.index.begin() + end);
  slice.FindStride();
  return slice;
}

}  // namespace

template <typename Dtype>
void GroupedProduct<Dtype>::SetGroups(const Shape& shape,
    const vector<Group>& groups) {
  shape_ = shape;
  groups_ = groups;
  offsets_.assign(1, 0);
  for (size_t g = 0; g < groups.size(); ++g) {
    offsets_.push_back(offsets_[g] + static_cast<size_t>(
        groups[g].samples.size()) * groups[g].inputs.size());
  }
  scratch_.resize(CpuParts<Dtype>::MaxThreads());
}

template <typename Dtype>
int GroupedProduct<Dtype>::num_chunks() const {
  const size_t bytes = sizeof(Dtype) * shape_.num_output * shape_.num_input;
  const size_t threads = scratch_.size();
  return std::min<size_t>(shape_.num_output,
      std::max(bytes / kChunkBytes, threads * kChunksPerThread));
}

template <typename Dtype>
typename GroupedProduct<Dtype>::Part GroupedProduct<Dtype>::PartOf(int g,
    int chunk) {
  const Group& group = groups_[g];
  const vector<int>& index = group.outputs.index;
  const size_t chunks = num_chunks();
  const size_t rows = shape_.num_output;  // times chunk, it exceeds an int
  const int begin = std::lower_bound(index.begin(), index.end(),
      static_cast<int>(chunk * rows / chunks)) - index.begin();
  const int end = std::lower_bound(index.begin(), index.end(),
      static_cast<int>((chunk + 1) * rows / chunks)) - index.begin();
  const Part part = { &group, offsets_[g], Slice(group.outputs, begin, end),
      Slice(group.stored_outputs, begin, end), group.samples.size(),
      end - begin, group.inputs.size(),
      &scratch_[CpuParts<Dtype>::Thread()] };
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
PartView<const Dtype> GroupedProduct<Dtype>::Weight(const Part& part,
    const Dtype* weight) const {
  return ViewPart<CpuParts<Dtype> >(weight, shape_.num_input, part.outputs,
      part.group->inputs, &part.scratch->weight);
}

template <typename Dtype>
void GroupedProduct<Dtype>::GatherInputs(const Dtype* x) {
  Dtype* part = CpuParts<Dtype>::Grow(&x_, offsets_.back());
  for (size_t g = 0; g < groups_.size(); ++g) {
    CpuParts<Dtype>::Gather(x, shape_.stored_input, groups_[g].samples,
        groups_[g].stored_inputs, part + offsets_[g]);
  }
}

template <typename Dtype>
void GroupedProduct<Dtype>::Forward(Dtype alpha, const Dtype* weight,
    const Dtype* x, const Dtype* bias, Dtype bias_scale, bool accumulate,
    Dtype* y, LazyParameter<Dtype>* lazy) {
  GatherInputs(x);
  const Dtype* x_parts = x_->cpu_data();
  ForEachPart([&](const Part& part) {
    if (lazy) { lazy->CatchUpOnThisThread(part.outputs.index); }
    const PartView<const Dtype> w = Weight(part, weight);
    const PartView<Dtype> y_part = { CpuParts<Dtype>::Grow(&part.scratch->y,
        static_cast<size_t>(part.num_samples) * part.num_outputs),
        part.num_outputs };
    if (bias) {
      CpuParts<Dtype>::FillRows(bias, bias_scale, part.outputs,
          part.num_samples, y_part);
    }
    CpuParts<Dtype>::Gemm(CblasNoTrans, CblasTrans, part.num_samples,
        part.num_outputs, part.num_inputs, alpha, x_parts + part.offset,
        part.num_inputs, w.data, w.stride, bias ? 1 : 0, y_part.data,
        y_part.stride);
    CpuParts<Dtype>::Scatter(y_part.data, part.group->samples,
        part.stored_outputs, accumulate, shape_.stored_output, y);
  });
}

template <typename Dtype>
void GroupedProduct<Dtype>::Backward(Dtype alpha, const Dtype* weight,
    const Dtype* x, const Dtype* dy, Dtype bias_scale, Dtype* dx,
    Dtype* dweight, Dtype* dbias, LazyParameter<Dtype>* lazy) {
  GatherInputs(x);
  const Dtype* x_parts = x_->cpu_data();
  for (size_t t = 0; dx && t < scratch_.size(); ++t) {
    CpuParts<Dtype>::SetZero(offsets_.back(),
        CpuParts<Dtype>::Grow(&scratch_[t].dx, offsets_.back()));
  }
  ForEachPart([&](const Part& part) {
    const IndexList& inputs = part.group->inputs;
    const PartView<const Dtype> dy_part = ViewPart<CpuParts<Dtype> >(dy,
        shape_.stored_output, part.group->samples, part.stored_outputs,
        &part.scratch->y);
    if (dbias) {
      CpuParts<Dtype>::AddColumnSums(dy_part, part.num_samples, bias_scale,
          part.outputs, dbias);
    }
    if (dx) {
      const PartView<const Dtype> w = Weight(part, weight);
      CpuParts<Dtype>::Gemm(CblasNoTrans, CblasNoTrans, part.num_samples,
          part.num_inputs, part.num_outputs, alpha, dy_part.data,
          dy_part.stride, w.data, w.stride, 1,
          part.scratch->dx->mutable_cpu_data() + part.offset, part.num_inputs);
    }
    if (!dweight) { return; }
    Dtype* dw = CpuParts<Dtype>::Grow(&part.scratch->weight,
        static_cast<size_t>(part.num_outputs) * part.num_inputs);
    CpuParts<Dtype>::Gemm(CblasTrans, CblasNoTrans, part.num_outputs,
        part.num_inputs, part.num_samples, alpha, dy_part.data,
        dy_part.stride, x_parts + part.offset, part.num_inputs, 0, dw,
        part.num_inputs);
    if (lazy) {
      lazy->AddGradientOnThisThread(part.outputs.index, inputs.index, dw);
    } else {
      CpuParts<Dtype>::Scatter(dw, part.outputs, inputs, true,
          shape_.num_input, dweight);
    }
  });
  if (dx) { ScatterInputGradients(dx); }
}

template <typename Dtype>
void GroupedProduct<Dtype>::ScatterInputGradients(Dtype* dx) {
  Dtype* sum = scratch_[0].dx->mutable_cpu_data();
  for (size_t t = 1; t < scratch_.size(); ++t) {
    const Dtype* more = scratch_[t].dx->cpu_data();
    for (size_t i = 0; i < offsets_.back(); ++i) { sum[i] += more[i]; }
  }
  for (size_t g = 0; g < groups_.size(); ++g) {
    CpuParts<Dtype>::Scatter(sum + offsets_[g], groups_[g].samples,
        groups_[g].stored_inputs, false, shape_.stored_input, dx);
  }
}

INSTANTIATE_CLASS(GroupedProduct);

}  // namespace caffe
