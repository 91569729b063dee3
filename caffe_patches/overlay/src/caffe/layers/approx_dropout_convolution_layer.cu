#include <vector>

#include "caffe/layers/approx_dropout_convolution_layer.hpp"

namespace caffe {

template <typename Dtype>
void ApproxDropoutConvolutionLayer<Dtype>::Forward_gpu(
    const vector<Blob<Dtype>*>& bottom, const vector<Blob<Dtype>*>& top) {
  if (top[0]->count() == 0) { return; }  // no samples
  product_.PackWeights_gpu(GpuWeights(*this->blobs_[0], product_.lazy()));
  product_.Forward_gpu(bottom[0]->gpu_data(),
      this->bias_term_ ? this->blobs_[1]->gpu_data() : NULL,
      top[0]->mutable_gpu_data());
}

template <typename Dtype>
void ApproxDropoutConvolutionLayer<Dtype>::Backward_gpu(
    const vector<Blob<Dtype>*>& top, const vector<bool>& propagate_down,
    const vector<Blob<Dtype>*>& bottom) {
  if (top[0]->count() == 0) { return; }  // no samples
  product_.Backward_gpu(bottom[0]->gpu_data(), top[0]->gpu_diff(),
      propagate_down[0] ? bottom[0]->mutable_gpu_diff() : NULL,
      this->param_propagate_down_[0]
          ? GpuGradient(this->blobs_[0].get(), product_.lazy())
          : NULL,
      this->bias_term_ && this->param_propagate_down_[1]
          ? this->blobs_[1]->mutable_gpu_diff()
          : NULL);
}

INSTANTIATE_LAYER_GPU_FUNCS(ApproxDropoutConvolutionLayer);

}  // namespace caffe
