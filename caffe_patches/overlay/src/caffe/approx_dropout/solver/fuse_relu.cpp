#include <vector>

#include "caffe/approx_dropout/solver/fuse_relu.hpp"
#include "caffe/layers/approx_dropout_inner_product_layer.hpp"
#include "caffe/layers/relu_layer.hpp"

namespace caffe {

template <typename Dtype>
void FuseReLU(Net<Dtype>* net, bool fused) {
  typedef ApproxDropoutInnerProductLayer<Dtype> Product;
  // The product that wrote each blob, if no other layer has since. Only one
  // layer reads it: Caffe splits blobs that have two readers.
  vector<Product*> product_of(net->blobs().size());
  for (int i = 0; i < net->layers().size(); ++i) {
    Layer<Dtype>* layer = net->layers()[i].get();
    const vector<int>& bottom = net->bottom_ids(i);
    const vector<int>& top = net->top_ids(i);
    ReLULayer<Dtype>* relu = dynamic_cast<ReLULayer<Dtype>*>(layer);
    if (relu && bottom == top && product_of[top[0]]
        && layer->layer_param().relu_param().negative_slope() == 0) {
      product_of[top[0]]->set_rectifies(fused);
      relu->set_done_before(fused);
    }
    Product* product = dynamic_cast<Product*>(layer);
    for (int t = 0; t < top.size(); ++t) { product_of[top[t]] = product; }
  }
}

template void FuseReLU<float>(Net<float>* net, bool fused);
template void FuseReLU<double>(Net<double>* net, bool fused);

}  // namespace caffe
