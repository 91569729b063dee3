#ifndef CAFFE_APPROX_DROPOUT_PRODUCT_DEVICE_BLOCKS_HPP_
#define CAFFE_APPROX_DROPOUT_PRODUCT_DEVICE_BLOCKS_HPP_

#include <vector>

#include "caffe/approx_dropout/product/batched_blocks.hpp"
#include "caffe/approx_dropout/product/product.hpp"
#include "caffe/approx_dropout/update/device_parameter.hpp"
#include "caffe/blob.hpp"

namespace caffe {

/**
 * @brief The blocks of W that a spec keeps, on the GPU: their lists, their
 *        weights and gradients. A block is what one group of samples keeps and,
 *        for TILE, of that the tile rows that keep the same tile columns.
 *
 * One block that is a strided view of W is used in place. Otherwise the blocks'
 * weights are copied together, in one kernel, and filled up with zeros to the
 * largest block's size, so that one batched GEMM multiplies them; and their
 * gradients are added to W's in one kernel, in a fixed order.
 */
template <typename Dtype>
class DeviceBlocks {
 public:
  DeviceBlocks() : spec_(NULL), blocks_(), weight_() {}

  /// @brief Lists what is kept and takes up W, (num_output x num_input), which
  ///        is caught up before if it is updated lazily. Both must live until
  ///        the last use of the blocks.
  void Pack(const ProductSpec<Dtype>& spec, const Dtype* weight);

  const ProductBlocks& blocks() const { return blocks_; }
  int count() const { return blocks_.count(); }
  /// @brief (output.size x input.size) weights of each block.
  const MatrixBatch<const Dtype>& weight() const { return weight_; }
  /// @brief Where to put the gradients of the weights, and what of the values
  ///        there remains, 0 or 1 times; then AddGradient.
  MatrixBatch<Dtype> Gradient(Dtype* dweight, Dtype* beta);
  /// @brief Adds them to dweight, if they are not in place.
  void AddGradient(const MatrixBatch<Dtype>& gradient, Dtype* dweight);
  /// @brief sums (num_output) += scale * the sums of dy's columns, whose parts
  ///        have num_rows rows.
  void AddOutputSums(const MatrixBatch<const Dtype>& dy, int num_rows,
      Dtype scale, Dtype* sums);
  /// @brief dx = the sums of the parts that blocks of tiles have of it.
  void SumInputs(
      const MatrixBatch<const Dtype>& parts, const BlockList& rows, Dtype* dx);

  /// @brief Whether storage of a side is a block's part as it is.
  bool whole(const BlockSide& side) const;
  /// @brief A side's units, or their indices in storage.
  BlockList Units(const BlockSide& side) const;
  BlockList Stored(const BlockSide& side) const;
  /// @brief Whether these lists are runs of 16 bytes, each aligned.
  bool HasAlignedUnits(const BlockSide& side) const;
  bool HasAlignedStorage(const BlockSide& side) const;

 private:
  /// @brief Whether tiles are dropped.
  bool tiled() const { return spec_->tiled() && !spec_->output[0].keeps_all(); }
  /// @brief What updates W lazily, or NULL.
  DeviceParameter<Dtype>* lazy() const {
    return spec_->lazy ? spec_->lazy->device() : NULL;
  }
  const vector<KeptCells>& cells(const BlockSide& side) const {
    return side.output ? spec_->output : spec_->input;
  }
  /// @brief Whether the only block is rows of W, equally far apart.
  bool views_weight() const {
    return count() == 1 && blocks_.output.stride > 0 &&
           blocks_.input.stride == 1;
  }
  /// @brief Whether the only block is rows that are updated lazily.
  bool updates_rows() const { return lazy() && !tiled() && count() == 1; }
  BlockSide MakeSide(bool output) const;
  void ListUnits();
  /// @brief The same for DeviceParameter, of the only block.
  DeviceList Cells(const BlockSide& side) const;
  void GatherWeight(const Dtype* weight);

  const ProductSpec<Dtype>* spec_;
  ProductBlocks blocks_;
  MatrixBatch<const Dtype> weight_;
  shared_ptr<Blob<int> > lists_;
  shared_ptr<Blob<Dtype> > packed_, gradient_;
};

/// @brief A buffer's memory on the GPU, made larger if needed; never smaller.
template <typename Dtype>
Dtype* GrowOnDevice(size_t size, shared_ptr<Blob<Dtype> >* buffer);

/// @brief Matrices without gaps, (rows x columns) each.
template <typename Dtype>
MatrixBatch<Dtype> DenseMatrices(Dtype* data, int rows, int columns) {
  const MatrixBatch<Dtype> matrices = {data, columns,
      static_cast<long long>(rows) * columns};  // NOLINT(runtime/int)
  return matrices;
}

/// @brief GatherBlock, for all of `count` blocks. `aligned`: columns are
///        aligned runs of 16 bytes.
template <typename Dtype>
void GatherBlocks(int count, const PartView<const Dtype>& whole,
    const BlockList& rows, const BlockList& columns, bool aligned,
    const MatrixBatch<Dtype>& parts);
/// @brief ScatterBlock, likewise.
template <typename Dtype>
void ScatterBlocks(int count, const MatrixBatch<const Dtype>& parts,
    const BlockList& rows, const BlockList& columns, bool aligned,
    const BlockFinish<Dtype>& finish, bool accumulate,
    const PartView<Dtype>& whole);

/// @brief The rows of groups of samples, in all of `outer` time steps.
template <typename Dtype>
BlockList SampleRows(
    const ProductSpec<Dtype>& spec, int outer, int blocks_a_group) {
  const BlockList rows = {
      NULL, outer * spec.group_size(), blocks_a_group, spec.rows(), 0, 0};
  return rows;
}

}  // namespace caffe

#endif  // CAFFE_APPROX_DROPOUT_PRODUCT_DEVICE_BLOCKS_HPP_
