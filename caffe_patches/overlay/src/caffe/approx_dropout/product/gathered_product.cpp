#include <vector>

#include "caffe/approx_dropout/product/gathered_product-inl.hpp"

namespace caffe {

template <typename Dtype, typename Parts>
void GatheredProduct<Dtype, Parts>::PackForSteps(
    const ProductSpec<Dtype>& spec, const Dtype* weight, bool backward) {
  spec_ = &spec;
  weight_ = weight;
  packed_for_ = backward ? STEPS_BACKWARD : STEPS_FORWARD;
  scratch_.resize(Parts::MaxThreads());
  if (!backward) {
    MakeBlocks();
    for (size_t b = 0; b < blocks_.size(); ++b) {
      if (spec.lazy) {
        spec.lazy->CatchUp(blocks_[b].output.weight.index);
      }
    }
  }
  vector<Block>& blocks = backward ? gradient_blocks() : blocks_;
  size_t size = 0;
  for (size_t b = 0; b < blocks.size(); ++b) {
    const int outputs = blocks[b].output.weight.size();
    const int inputs = blocks[b].input.weight.size();
    size += backward ? packed_size<Dtype>(inputs, outputs)
        : packed_size<Dtype>(outputs, inputs);
  }
  Dtype* packed = Parts::Grow(&packed_, size);
  for (size_t b = 0; b < blocks.size(); ++b) {
    const vector<int>& outputs = blocks[b].output.weight.index;
    const vector<int>& inputs = blocks[b].input.weight.index;
    blocks[b].weight = packed;
    if (backward) {
      pack_matrix(weight, spec.num_input, false, inputs, outputs, packed);
      packed += packed_size<Dtype>(inputs.size(), outputs.size());
    } else {
      pack_matrix(weight, spec.num_input, true, outputs, inputs, packed);
      packed += packed_size<Dtype>(outputs.size(), inputs.size());
    }
  }
}

template class GatheredProduct<float, CpuParts<float> >;
template class GatheredProduct<double, CpuParts<double> >;

}  // namespace caffe
