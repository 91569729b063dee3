#ifndef CAFFE_APPROX_DROPOUT_SOLVER_FUSE_RELU_HPP_
#define CAFFE_APPROX_DROPOUT_SOLVER_FUSE_RELU_HPP_

#include "caffe/net.hpp"

namespace caffe {

/**
 * @brief Lets each ApproxDropoutInnerProduct rectify its output with its bias,
 *        on the GPU, where a ReLU without negative slope is the next layer to
 *        touch it, in place; that ReLU then does nothing in its forward pass.
 *        `fused` false ends it.
 *
 * Meanwhile the blob never holds the output before the ReLU, so this is not for
 * nets whose layers are watched one by one. The ReLU's output is the same up
 * to rounding.
 */
template <typename Dtype>
void FuseReLU(Net<Dtype>* net, bool fused);

}  // namespace caffe

#endif  // CAFFE_APPROX_DROPOUT_SOLVER_FUSE_RELU_HPP_
