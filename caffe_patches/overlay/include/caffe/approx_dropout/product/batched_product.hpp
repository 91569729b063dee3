#ifndef CAFFE_APPROX_DROPOUT_PRODUCT_BATCHED_PRODUCT_HPP_
#define CAFFE_APPROX_DROPOUT_PRODUCT_BATCHED_PRODUCT_HPP_

#include "caffe/approx_dropout/product/device_blocks.hpp"
#include "caffe/approx_dropout/product/product.hpp"
#include "caffe/blob.hpp"

namespace caffe {

/**
 * @brief A batched GEMM on the GPU: the product of an inner-product layer, cut
 *        into blocks, and its gradients.
 *
 * A block is the samples of one group and what DeviceBlocks says. All blocks go
 * through each step together, so that the number of kernels depends on neither
 * groups nor period, but where a list of all groups' residues exceeds
 * kMaxGroupResidues: operands that are not strided views are gathered, filled
 * up with zeros to the largest block's size, and multiplied in one batched
 * GEMM. All three products have the same blocks, so that W is gathered once,
 * and so is x, in Forward. Where blocks of TILE share inputs, their parts of dx
 * are added up. Groups, which add up in the same weights, and tiles do so in a
 * fixed order.
 */
template <typename Dtype>
class BatchedProduct : public Product<Dtype> {
 public:
  BatchedProduct() : gathered_x_(NULL), gathered_outer_(0) {}

  virtual void Pack(const ProductSpec<Dtype>& spec, const Dtype* weight);
  virtual void Forward(int outer, const Dtype* x, const Dtype* bias,
      bool accumulate, Dtype* y) {
    Multiply(outer, x, bias, false, accumulate, y);
  }
  /// @brief y = ReLU of the product and bias.
  void ForwardRectified(int outer, const Dtype* x, const Dtype* bias,
      Dtype* y) {
    Multiply(outer, x, bias, true, false, y);
  }
  /// @brief Where x is Forward's last one, its values must be the same.
  virtual void Backward(int outer, const Dtype* x, const Dtype* dy, Dtype* dx,
      Dtype* dweight, Dtype* dbias);

 private:
  using Product<Dtype>::spec_;

  /// @brief What the blocks use of x or y or their gradients: num_columns
  ///        columns, where they lie.
  template <typename T>
  struct Parts {
    MatrixBatch<T> matrices;
    int num_columns;
    bool in_place;
  };

  const BlockSide& output() const { return blocks_.blocks().output; }
  const BlockSide& input() const { return blocks_.blocks().input; }
  int stored(const BlockSide& side) const {
    return side.output ? spec_->stored_output : spec_->stored_input;
  }
  BlockList Samples(int outer) const {
    return SampleRows(*spec_, outer, output().blocks_a_group);
  }
  /// @brief Where the parts lie: in storage if each is a view of it, else in
  ///        the buffer.
  template <typename T>
  Parts<T> PlaceParts(int outer, const BlockSide& side, T* storage,
      shared_ptr<Blob<Dtype> >* buffer) const;
  /// @brief The same, gathered if they lie in the buffer.
  Parts<const Dtype> PartsOf(int outer, const BlockSide& side,
      const Dtype* storage, shared_ptr<Blob<Dtype> >* buffer) const;
  /// @brief Parts of x, which the buffer may hold since Forward.
  Parts<const Dtype> InputParts(int outer, const Dtype* x);
  void Multiply(int outer, const Dtype* x, const Dtype* bias, bool rectify,
      bool accumulate, Dtype* y);
  void AddWeightGradient(
      int outer, const Dtype* x, const Parts<const Dtype>& dy, Dtype* dweight);
  void InputGradient(int outer, const Parts<const Dtype>& dy, Dtype* dx);

  DeviceBlocks<Dtype> blocks_;
  shared_ptr<Blob<Dtype> > x_, y_;
  const Dtype* gathered_x_;  // whose parts x_ holds, or NULL,
  int gathered_outer_;       // and how many time steps of it
};

}  // namespace caffe

#endif  // CAFFE_APPROX_DROPOUT_PRODUCT_BATCHED_PRODUCT_HPP_
