#include <vector>

#include "caffe/layers/approx_dropout_inner_product_layer.hpp"

namespace caffe {

template <typename Dtype>
void ApproxDropoutInnerProductLayer<Dtype>::Forward_gpu(
    const vector<Blob<Dtype>*>& bottom, const vector<Blob<Dtype>*>& top) {
  if (top[0]->count() == 0) { return; }  // no samples
  product_.PackWeights_gpu(GpuWeights(*this->blobs_[0], product_.lazy()));
  const Dtype* bias = bias_term_ ? this->blobs_[1]->gpu_data() : NULL;
  if (rectifies_) {
    product_.ForwardRectified_gpu(outer_, bottom[0]->gpu_data(), bias,
        top[0]->mutable_gpu_data());
  } else {
    product_.Forward_gpu(outer_, bottom[0]->gpu_data(), bias, false,
        top[0]->mutable_gpu_data());
  }
}

template <typename Dtype>
void ApproxDropoutInnerProductLayer<Dtype>::Backward_gpu(
    const vector<Blob<Dtype>*>& top, const vector<bool>& propagate_down,
    const vector<Blob<Dtype>*>& bottom) {
  if (top[0]->count() == 0) { return; }  // no samples
  product_.Backward_gpu(outer_, bottom[0]->gpu_data(), top[0]->gpu_diff(),
      propagate_down[0] ? bottom[0]->mutable_gpu_diff() : NULL,
      this->param_propagate_down_[0]
          ? GpuGradient(this->blobs_[0].get(), product_.lazy())
          : NULL,
      bias_term_ && this->param_propagate_down_[1]
          ? this->blobs_[1]->mutable_gpu_diff()
          : NULL);
}

INSTANTIATE_LAYER_GPU_FUNCS(ApproxDropoutInnerProductLayer);

}  // namespace caffe
