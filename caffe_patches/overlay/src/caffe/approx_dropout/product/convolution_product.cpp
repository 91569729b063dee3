#include "caffe/approx_dropout/product/convolution_product.hpp"

#include <algorithm>
#include <vector>

#include "caffe/approx_dropout/math/panels.hpp"
#include "caffe/approx_dropout/math/parallel.hpp"
#include "caffe/approx_dropout/product/gather_scatter.hpp"

namespace caffe {

namespace {

// Where the values of `some` stand in `all`, which holds them.
IndexList PlacesIn(const IndexList& all, const IndexList& some) {
  IndexList places;
  for (int i = 0; i < some.size(); ++i) {
    places.index.push_back(
        std::lower_bound(all.index.begin(), all.index.end(), some.index[i]) -
        all.index.begin());
  }
  places.FindStride();
  return places;
}

}  // namespace

template <typename Dtype>
void ConvolutionProduct<Dtype>::Keep(
    const ApproxDropoutPatterns<Dtype>& patterns,
    const ApproxDropoutParameter& param, int num_output, int num_input,
    int num_images) {
  spec_.num_output = num_output;
  spec_.num_input = num_input;
  spec_.num_samples = num_images;
  spec_.Keep(patterns.output(), patterns.input(), param);
}

template <typename Dtype>
int ConvolutionProduct<Dtype>::num_columns() const {
  return spec_.num_input / convolution_groups_ * shape_.kernel_size();
}

template <typename Dtype>
void ConvolutionProduct<Dtype>::ListGroups() {
  const int width = shape_.kernel_size();
  groups_.resize(spec_.num_groups());
  for (size_t g = 0; g < groups_.size(); ++g) {
    groups_[g].outputs = ListSide(
        UnitsOf(spec_.output[g], spec_.num_output), spec_.compact_output);
    groups_[g].inputs =
        ListSide(UnitsOf(spec_.input[g], num_columns(), width), false);
  }
}

template <typename Dtype>
void ConvolutionProduct<Dtype>::PackWeights_cpu(const Dtype* weight) {
  weight_ = weight;
  ListGroups();
  union_rows_ =
      ListSide(UnitsOf(UnionOf(spec_.output), spec_.num_output), false).weight;
  union_columns_ = ListSide(
      UnitsOf(UnionOf(spec_.input), num_columns(), shape_.kernel_size()), false)
                       .weight;
  for (size_t g = 0; g < groups_.size(); ++g) {
    groups_[g].union_rows = PlacesIn(union_rows_, groups_[g].outputs.weight);
    groups_[g].union_columns =
        PlacesIn(union_columns_, groups_[g].inputs.weight);
  }
  workers_.resize(std::min(MaxThreads(), spec_.num_samples));
  for (size_t t = 0; t < workers_.size(); ++t) {
    workers_[t].packed_group = -1;
  }
  PackOnlyGroup();
}

template <typename Dtype>
void ConvolutionProduct<Dtype>::PackOnlyGroup() {
  LazyParameter<Dtype>* lazy = spec_.lazy;
  if (groups_.size() > 1 || groups_[0].views_weight()) {
    if (lazy) {
      lazy->CatchUp(union_rows_.index);
    }
    return;
  }
  const IndexList& rows = groups_[0].outputs.weight;
  const IndexList& columns = groups_[0].inputs.weight;
  GrowTo(groups_[0].weight_size(), &packed_);
  if (lazy) {
    lazy->CatchUp(rows.index, columns.index, packed_.data());
  } else {
    CpuParts<Dtype>::Gather(
        weight_, num_columns(), rows, columns, packed_.data());
  }
}

template <typename Dtype>
PartView<const Dtype> ConvolutionProduct<Dtype>::Weight(
    int group, Worker* worker) const {
  const IndexList& rows = groups_[group].outputs.weight;
  const IndexList& columns = groups_[group].inputs.weight;
  if (groups_[group].views_weight()) {
    return View(weight_ + columns.first() +
                    static_cast<size_t>(rows.first()) * num_columns(),
        rows.stride * num_columns());
  }
  if (groups_.size() == 1) {
    return View<const Dtype>(packed_.data(), columns.size());
  }
  if (worker->packed_group != group) {
    worker->packed_group = group;
    GrowTo(groups_[group].weight_size(), &worker->weight);
    CpuParts<Dtype>::Gather(
        weight_, num_columns(), rows, columns, worker->weight.data());
  }
  return View<const Dtype>(worker->weight.data(), columns.size());
}

INSTANTIATE_CLASS(ConvolutionProduct);

}  // namespace caffe
