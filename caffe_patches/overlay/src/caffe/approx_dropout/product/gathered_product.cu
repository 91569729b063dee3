#include "caffe/approx_dropout/product/gathered_product-inl.hpp"

namespace caffe {

template <typename Dtype, typename Parts>
void GatheredProduct<Dtype, Parts>::ForwardRectified(int outer, const Dtype* x,
    const Dtype* bias, Dtype* y) {
  Forward(outer, x, NULL, false, y);
  const SideLists& output = blocks_[0].output;
  Parts::Rectify(bias, spec_->bias_scale, output,
      outer * spec_->num_samples, spec_->stored_output, y);
}

template class GatheredProduct<float, GpuParts<float> >;
template class GatheredProduct<double, GpuParts<double> >;

}  // namespace caffe
