#ifndef CAFFE_APPROX_DROPOUT_PRODUCT_BATCHED_PRODUCT_HPP_
#define CAFFE_APPROX_DROPOUT_PRODUCT_BATCHED_PRODUCT_HPP_

#include <vector>

#include "caffe/approx_dropout/product/batched_blocks.hpp"
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
class BatchedProduct {
 public:
  struct Shape {
    int num_output, num_input, num_samples;  // W, and samples of each step
    int stored_output, stored_input;         // columns of y and of x
    bool rotates;                              // of GroupRows
    bool compact_output, compact_input;
    int tile_size;                           // TILE; else 0
  };

  BatchedProduct()
      : shape_(), blocks_(), tiled_gradient_(), gathered_(NULL),
        weight_(NULL) {}

  /// @brief Lists what the groups keep; `output` and `input` hold one pattern
  ///        for each group. To be called whenever they have changed.
  void SetGroups(const Shape& shape, const vector<KeptCells>& output,
      const vector<KeptCells>& input);
  /// @brief W, on the device; must not change until the next call.
  void SetWeight(const Dtype* weight);

  /// @brief In what the groups keep, y = alpha x W' + bias_scale bias, with
  ///        ReLU if `rectify`, or y += it. bias: num_output values, or NULL.
  ///        The rest is left alone.
  void Forward(int outer, Dtype alpha, const Dtype* x, const Dtype* bias,
      Dtype bias_scale, bool rectify, bool accumulate, Dtype* y);
  /// @brief From dy, those of the gradients that are not NULL: dx = alpha dy W
  ///        in what the groups keep, dweight += alpha dy' x and dbias +=
  ///        bias_scale (sums of dy's columns). overwrites: dweight is
  ///        overwritten instead, in all tiles or, without tiles, rows that
  ///        some group keeps.
  void Backward(int outer, Dtype alpha, const Dtype* x, const Dtype* dy,
      Dtype bias_scale, bool overwrites, Dtype* dx, Dtype* dweight,
      Dtype* dbias);

 private:
  // All blocks of the products y, dW or of the product dx.
  struct Blocks {
    int count;
    BlockSide output, input;
  };
  typedef BlockParts<Dtype> Parts;
  typedef BlockParts<const Dtype> ConstParts;

  bool tiled() const { return shape_.tile_size > 0; }
  int num_groups() const { return output_.size(); }
  const Blocks& gradient_blocks() const {
    return tiled() ? tiled_gradient_ : blocks_;
  }
  BlockSide MakeSide(bool output, bool gradient) const;
  Blocks MakeBlocks(bool gradient) const;
  /// @brief Finds the memory of all lists.
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
  void AddBiasGradient(int outer, Dtype bias_scale, const ConstParts& dy,
      Dtype* dbias);
  void AddWeightGradient(int outer, Dtype alpha, const Dtype* x,
      const ConstParts& dy, bool overwrites, Dtype* dweight);
  void InputGradient(int outer, Dtype alpha, const ConstParts& dy, Dtype* dx);

  Shape shape_;
  vector<KeptCells> output_, input_;  // of each group
  Blocks blocks_, tiled_gradient_;
  shared_ptr<Blob<int> > lists_;
  shared_ptr<Blob<Dtype> > x_, y_, packed_, dweight_;
  const Blocks* gathered_;  // whose weights packed_ holds, or NULL
  const Dtype* weight_;
};

}  // namespace caffe

#endif  // CAFFE_APPROX_DROPOUT_PRODUCT_BATCHED_PRODUCT_HPP_
