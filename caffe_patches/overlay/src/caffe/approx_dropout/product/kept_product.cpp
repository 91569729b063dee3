#include "caffe/approx_dropout/product/kept_product.hpp"

#include "caffe/util/math_functions.hpp"

namespace caffe {

template <typename Dtype>
void KeptProduct<Dtype>::Keep(const ApproxDropoutPatterns<Dtype>& patterns,
    const ApproxDropoutParameter& param, int num_output, int num_input,
    int input_width, int num_samples) {
  spec_.input_width = input_width;
  Keep(patterns.output(), patterns.input(), param, num_output, num_input,
      num_samples, true);
}

template <typename Dtype>
void KeptProduct<Dtype>::Keep(const DropoutPattern<Dtype>& output,
    const DropoutPattern<Dtype>& input, const ApproxDropoutParameter& param,
    int num_output, int num_input, int num_samples, bool rotates) {
  spec_.num_output = num_output;
  spec_.num_input = num_input;
  spec_.num_samples = num_samples;
  spec_.rotates = rotates;
  spec_.Keep(output, input, param);
}

template <typename Dtype>
void KeptProduct<Dtype>::SetLazy(LazyParameter<Dtype>* lazy) {
  spec_.lazy = lazy;
  if (lazy && spec_.tiled()) {
    lazy->SetCells(spec_.tile_size, spec_.tile_size);
  }
}

template <typename Dtype>
void KeptProduct<Dtype>::PackWeights_cpu(const Dtype* weight) {
  if (spec_.tiled() && !spec_.compact_input) {
    product_ = &tile_;
  } else if (!spec_.tiled() && spec_.num_groups() > 1) {
    product_ = &grouped_;
  } else if (!spec_.tiled()) {
    product_ = &packed_;
  } else {
    product_ = &gathered_;
  }
  product_->Pack(spec_, weight);
}

template <typename Dtype>
void KeptProduct<Dtype>::PackForSteps_cpu(const Dtype* weight, bool backward) {
  product_ = &gathered_;
  gathered_.PackForSteps(spec_, weight, backward);
}

template <typename Dtype>
size_t KeptProduct<Dtype>::uncovered(int outer) const {
  if (spec_.covers_output()) { return 0; }
  return static_cast<size_t>(outer) * spec_.num_samples * spec_.stored_output;
}

template <typename Dtype>
void KeptProduct<Dtype>::Forward_cpu(int outer, const Dtype* x,
    const Dtype* bias, bool accumulate, Dtype* y) {
  CHECK(!(accumulate && bias)) << "A product that is added to takes no bias";
  if (!accumulate) { CpuParts<Dtype>::SetZero(uncovered(outer), y); }
  product_->Forward(outer, x, bias, accumulate, y);
}

#ifndef CPU_ONLY
template <typename Dtype>
void KeptProduct<Dtype>::PackWeights_gpu(const Dtype* weight) {
  product_ = &batched_;
  batched_.Pack(spec_, weight);
}

template <typename Dtype>
void KeptProduct<Dtype>::ClearUncovered_gpu(int outer, Dtype* y) const {
  const size_t count = uncovered(outer);
  if (count > 0) {
    caffe_gpu_memset(count * sizeof(Dtype), 0, y);
  }
}

template <typename Dtype>
void KeptProduct<Dtype>::Forward_gpu(int outer, const Dtype* x,
    const Dtype* bias, bool accumulate, Dtype* y) {
  CHECK(!(accumulate && bias)) << "A product that is added to takes no bias";
  if (!accumulate) {
    ClearUncovered_gpu(outer, y);
  }
  batched_.Forward(outer, x, bias, accumulate, y);
}

template <typename Dtype>
void KeptProduct<Dtype>::ForwardRectified_gpu(int outer, const Dtype* x,
    const Dtype* bias, Dtype* y) {
  ClearUncovered_gpu(outer, y);
  batched_.ForwardRectified(outer, x, bias, y);
}
#endif  // CPU_ONLY

INSTANTIATE_CLASS(KeptProduct);

}  // namespace caffe
