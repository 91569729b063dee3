#ifndef CAFFE_APPROX_DROPOUT_PRODUCT_KEPT_PRODUCT_HPP_
#define CAFFE_APPROX_DROPOUT_PRODUCT_KEPT_PRODUCT_HPP_

#include "caffe/approx_dropout/pattern/dropout_pattern.hpp"
#ifndef CPU_ONLY
#include "caffe/approx_dropout/product/batched_product.hpp"
#endif
#include "caffe/approx_dropout/product/gathered_product.hpp"
#include "caffe/approx_dropout/product/grouped_product.hpp"
#include "caffe/approx_dropout/product/packed_product.hpp"
#include "caffe/approx_dropout/product/product.hpp"
#include "caffe/approx_dropout/product/tile_product.hpp"

namespace caffe {

/// @brief Whether W's tiles can be updated lazily. On the GPU a block of
///        threads keeps account of a tile: below 16 x 16 weights that takes
///        longer than to update all of W.
inline bool CanTilesBeLazy(const ApproxDropoutParameter& param) {
  const int kSmallest = 16;
  return !param.compact_input() &&
         (Caffe::mode() == Caffe::CPU || param.tile_size() >= kSmallest);
}

/**
 * @brief The product of an inner-product layer, and its gradients, computed
 *        on what the dropout patterns keep and nowhere else:
 *
 *            ROW   y = s keep o (x W' + b)
 *            TILE  y = s x (W o tiles)' + b
 *            NONE  y = x W' + b
 *
 * x is (outer x samples x I), y (outer x samples x O), W (O x I), all row
 * major. I counts the stored inputs: num_input, or those that the input's
 * pattern kept; O likewise. Samples form groups; each group has its patterns.
 * Which rows of x and y are a group's, GroupRows says.
 *
 * It chooses the Product that does the work:
 *
 *            CPU  PackedProduct    one group
 *                 GroupedProduct   several groups
 *                 GatheredProduct  tiles and a compact input; steps
 *                 TileProduct      TILE
 *            GPU  BatchedProduct
 */
template <typename Dtype>
class KeptProduct {
 public:
  KeptProduct() : product_(NULL) {}

  /// @brief Says what is kept, for one pass. `patterns` must hold what
  ///        ApproxDropoutPatterns::Read read for num_samples samples. Each
  ///        unit of the input's pattern is input_width inputs.
  void Keep(const ApproxDropoutPatterns<Dtype>& patterns,
      const ApproxDropoutParameter& param, int num_output, int num_input,
      int input_width, int num_samples);
  /// @brief The same, with the two patterns given. `input` may keep less than
  ///        all where param.compact_input is false: then the other inputs are
  ///        stored, but never read, and their gradients are not written.
  ///        rotates: samples change groups with the steps, as GroupRows says;
  ///        else they stay in theirs.
  void Keep(const DropoutPattern<Dtype>& output,
      const DropoutPattern<Dtype>& input, const ApproxDropoutParameter& param,
      int num_output, int num_input, int num_samples, bool rotates);

  /// @brief While W is updated lazily, in cells of rows or tiles,
  ///        PackWeights and Backward tell *lazy what they use; NULL ends it.
  ///        Not for steps, nor for TILE unless CanTilesBeLazy.
  void SetLazy(LazyParameter<Dtype>* lazy);
  LazyParameter<Dtype>* lazy() const { return spec_.lazy; }

  /// @brief Stored inputs and outputs of a sample, I and O.
  int stored_input() const { return spec_.stored_input; }
  int stored_output() const { return spec_.stored_output; }

  /// @brief Takes up the kept weights; to be called before the other
  ///        functions whenever W or what is kept has changed. W must not
  ///        change until the last of them.
  void PackWeights_cpu(const Dtype* weight);
  /// @brief The same for many products of few rows each, as a recurrent
  ///        layer's steps are: packs for Forward_cpu and then, if `backward`,
  ///        for Backward_cpu's dx instead.
  void PackForSteps_cpu(const Dtype* weight, bool backward);
  /// @brief y = the product, or y += it (then without bias). bias: num_output
  ///        values, or NULL.
  void Forward_cpu(int outer, const Dtype* x, const Dtype* bias,
      bool accumulate, Dtype* y);
  /// @brief From dy, those of the gradients that are not NULL: dx is
  ///        overwritten, dweight (num_output x num_input) and dbias
  ///        (num_output) are added to, where something is kept.
  void Backward_cpu(int outer, const Dtype* x, const Dtype* dy, Dtype* dx,
      Dtype* dweight, Dtype* dbias) {
    product_->Backward(outer, x, dy, dx, dweight, dbias);
  }

#ifndef CPU_ONLY
  void PackWeights_gpu(const Dtype* weight);
  void Forward_gpu(int outer, const Dtype* x, const Dtype* bias,
      bool accumulate, Dtype* y);
  /// @brief y = the product with ReLU.
  void ForwardRectified_gpu(int outer, const Dtype* x, const Dtype* bias,
      Dtype* y);
  void Backward_gpu(int outer, const Dtype* x, const Dtype* dy, Dtype* dx,
      Dtype* dweight, Dtype* dbias) {
    product_->Backward(outer, x, dy, dx, dweight, dbias);
  }
#endif

 private:
  /// @brief Elements of y that the product does not write and must be zeroed.
  size_t uncovered(int outer) const;
#ifndef CPU_ONLY
  void ClearUncovered_gpu(int outer, Dtype* y) const;
#endif

  ProductSpec<Dtype> spec_;
  Product<Dtype>* product_;  // that the weights were packed for
  GatheredProduct<Dtype> gathered_;
  PackedProduct<Dtype> packed_;
  GroupedProduct<Dtype> grouped_;
  TileProduct<Dtype> tile_;
#ifndef CPU_ONLY
  BatchedProduct<Dtype> batched_;
#endif

  DISABLE_COPY_AND_ASSIGN(KeptProduct);
};

}  // namespace caffe

#endif  // CAFFE_APPROX_DROPOUT_PRODUCT_KEPT_PRODUCT_HPP_
