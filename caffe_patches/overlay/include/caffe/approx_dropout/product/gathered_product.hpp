#ifndef CAFFE_APPROX_DROPOUT_PRODUCT_GATHERED_PRODUCT_HPP_
#define CAFFE_APPROX_DROPOUT_PRODUCT_GATHERED_PRODUCT_HPP_

#include <vector>

#include "caffe/approx_dropout/math/packed_gemm.hpp"
#include "caffe/approx_dropout/product/gather_scatter.hpp"
#include "caffe/approx_dropout/product/product.hpp"

namespace caffe {

/**
 * @brief Gather, GEMM, scatter: the product in blocks, each of them one GEMM.
 *
 * A block is the samples of one group and, for TILE, the tile rows that keep
 * the same tile columns (for dx, the tile columns that keep the same tile
 * rows). An operand that is a strided view of its matrix is used in place,
 * others are gathered. With one block per group all threads work on one block;
 * with several, each thread takes blocks of its own.
 */
template <typename Dtype>
class GatheredProduct : public Product<Dtype> {
 public:
  GatheredProduct() : packed_for_(EVERYTHING), blocks_per_group_(1) {}

  virtual void Pack(const ProductSpec<Dtype>& spec, const Dtype* weight);
  /// @brief The same for many products of few rows each, as the
  ///        steps of a recurrent layer are. First, for Forward; then, if
  ///        `backward`, for the dx of Backward instead.
  void PackForSteps(const ProductSpec<Dtype>& spec, const Dtype* weight,
      bool backward);
  virtual void Forward(
      int outer, const Dtype* x, const Dtype* bias, bool accumulate, Dtype* y);
  virtual void Backward(int outer, const Dtype* x, const Dtype* dy, Dtype* dx,
      Dtype* dweight, Dtype* dbias);

 private:
  typedef CpuParts<Dtype> Parts;
  using Product<Dtype>::spec_;
  using Product<Dtype>::weight_;

  /// What weights are packed for.
  enum PackedFor { EVERYTHING, STEPS_FORWARD, STEPS_BACKWARD };
  struct Block {
    int group;
    SideLists output, input;  // rows of W and columns of y; those of W and x
    // The kept weights and the distance of their rows; packed for steps, a
    // buffer of packed_gemm; NULL if they are gathered when needed.
    const Dtype* weight;
    int weight_stride;

    bool views_weight() const {
      return output.weight.stride > 0 && input.weight.contiguous();
    }
    size_t weight_size() const {
      return static_cast<size_t>(output.weight.size()) * input.weight.size();
    }
  };
  // A thread's buffers for gathered parts.
  struct Scratch {
    shared_ptr<Blob<Dtype> > x, y, weight;
  };
  // Those wanted of Backward, else NULL.
  struct Gradients {
    Dtype* dx;
    Dtype* dweight;
    Dtype* dbias;
  };

  void MakeBlocks();
  void AddTiles(int group);
  Block MakeBlock(
      int group, const KeptUnits& output, const KeptUnits& input) const;
  void PackBlock(Block* block, Dtype** packed);
  /// @brief The blocks whose products make up dx.
  vector<Block>& gradient_blocks() {
    return spec_->tiled() ? gradient_blocks_ : blocks_;
  }
  bool for_steps() const { return packed_for_ != EVERYTHING; }
  /// @brief The rows of x and y that belong to a block.
  IndexList Rows(int outer, const Block& block) const;
  /// @brief f(first) ... f(last - 1).
  template <typename Function>
  void ForEachBlock(int first, int last, const Function& f) const;
  PartView<const Dtype> Weight(const Block& block, Scratch* scratch) const;
  void ForwardBlock(const Block& block, int outer, const Dtype* x,
      const Dtype* bias, bool accumulate, Dtype* y, Scratch* scratch) const;
  void BackwardBlock(const Block& block, int outer, const Dtype* x,
      const Dtype* dy, const Gradients& gradients, Scratch* scratch) const;
  void AddWeightGradient(const Block& block, const IndexList& rows,
      const Dtype* x, const PartView<const Dtype>& dy,
      const Gradients& gradients, Scratch* scratch) const;
  void InputGradient(const Block& block, const IndexList& rows,
      const PartView<const Dtype>& dy, Dtype* dx, Scratch* scratch) const;

  PackedFor packed_for_;
  vector<Block> blocks_;           // group by group
  vector<Block> gradient_blocks_;  // of tiles
  int blocks_per_group_;
  shared_ptr<Blob<Dtype> > packed_;
  vector<Scratch> scratch_;  // of each thread
};

}  // namespace caffe

#endif  // CAFFE_APPROX_DROPOUT_PRODUCT_GATHERED_PRODUCT_HPP_
