#ifndef CAFFE_APPROX_DROPOUT_PRODUCT_BATCHED_PRODUCT_HPP_
#define CAFFE_APPROX_DROPOUT_PRODUCT_BATCHED_PRODUCT_HPP_

#include <vector>

#include "caffe/approx_dropout/product/batched_blocks.hpp"
#include "caffe/approx_dropout/product/product.hpp"
#include "caffe/approx_dropout/update/device_parameter.hpp"
#include "caffe/blob.hpp"

namespace caffe {

/**
 * @brief A batched GEMM on the GPU: the product of an inner-product layer that
 *        is cut into several blocks, and its gradients; KeptProduct's where
 *        samples form groups or W is cut into tiles.
 *
 * A block is the samples of one group and, for TILE, the tile rows that keep
 * the same tile columns (for dx, the tile columns that keep the same tile
 * rows). All blocks go through each step together, so that the number of
 * kernels depends on neither groups nor period, but where a list of all groups'
 * residues exceeds kMaxGroupResidues: operands are gathered, filled up with
 * zeros to the largest block's size, and multiplied in one batched GEMM.
 * Groups, which add up in the same weights, do so in a fixed order.
 */
template <typename Dtype>
class BatchedProduct : public Product<Dtype> {
 public:
  BatchedProduct() : blocks_(), tiled_gradient_(), gathered_(NULL) {}

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
  virtual void Backward(int outer, const Dtype* x, const Dtype* dy, Dtype* dx,
      Dtype* dweight, Dtype* dbias);

 private:
  using Product<Dtype>::spec_;
  using Product<Dtype>::weight_;

  // All blocks of the products y, dW or of the product dx.
  struct Blocks {
    int count;
    BlockSide output, input;
  };
  typedef BlockParts<Dtype> Parts;
  typedef BlockParts<const Dtype> ConstParts;

  const Blocks& gradient_blocks() const {
    return spec_->tiled() ? tiled_gradient_ : blocks_;
  }
  /// @brief What updates W lazily, or NULL.
  DeviceParameter<Dtype>* lazy() const {
    return spec_->lazy ? spec_->lazy->device() : NULL;
  }
  BlockSide MakeSide(bool output, bool gradient) const;
  Blocks MakeBlocks(bool gradient) const;
  /// @brief Says where in lists_ all lists are.
  void PlaceLists();
  void ListUnits();
  /// @brief Whether a side's storage is each block's part as it is.
  bool whole(const BlockSide& side) const;
  /// @brief Whether a side's list, weight or stored, has aligned runs.
  bool aligned16(const BlockSide& side, bool stored) const;
  BlockList Samples(int outer, const BlockSide& side) const;
  static BlockList List(const BlockSide& side, const int* index);
  /// @brief The blocks' parts of x or y: in place if they lie one after
  ///        the other, else gathered into the buffer.
  ConstParts PartsOf(int outer, const Blocks& blocks, const BlockSide& side,
      const Dtype* storage, shared_ptr<Blob<Dtype> >* buffer);
  /// @brief The same for a result: a buffer if it is not in place.
  Parts ResultParts(int outer, const Blocks& blocks, const BlockSide& side,
      bool in_place, Dtype* storage, shared_ptr<Blob<Dtype> >* buffer);
  /// @brief The blocks' weights, filled up with zeros.
  const Dtype* Weight(const Blocks& blocks);
  OutputBlocks OfGroups() const;
  void Multiply(int outer, const Dtype* x, const Dtype* bias, bool rectify,
      bool accumulate, Dtype* y);
  void AddBiasGradient(int outer, const ConstParts& dy, Dtype* dbias);
  void AddWeightGradient(int outer, const Dtype* x, const ConstParts& dy,
      Dtype* dweight);
  void InputGradient(int outer, const ConstParts& dy, Dtype* dx);

  Blocks blocks_, tiled_gradient_;
  shared_ptr<Blob<int> > lists_;
  shared_ptr<Blob<Dtype> > x_, y_, packed_, dweight_;
  const Blocks* gathered_;  // whose weights packed_ holds, or NULL
};

}  // namespace caffe

#endif  // CAFFE_APPROX_DROPOUT_PRODUCT_BATCHED_PRODUCT_HPP_
