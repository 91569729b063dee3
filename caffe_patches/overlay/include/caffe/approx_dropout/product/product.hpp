#ifndef CAFFE_APPROX_DROPOUT_PRODUCT_PRODUCT_HPP_
#define CAFFE_APPROX_DROPOUT_PRODUCT_PRODUCT_HPP_

#include <vector>

#include "caffe/approx_dropout/math/parallel.hpp"
#include "caffe/approx_dropout/pattern/dropout_pattern.hpp"
#include "caffe/approx_dropout/pattern/sample_groups.hpp"
#include "caffe/approx_dropout/update/lazy_parameter.hpp"
#include "caffe/common.hpp"

namespace caffe {

/// @brief What is to be multiplied in one pass: the sizes, and what each group
///        of samples keeps. See KeptProduct for the equations.
template <typename Dtype>
struct ProductSpec {
  ProductSpec()
      : num_output(0),
        num_input(0),
        input_width(1),
        num_samples(0),
        stored_output(0),
        stored_input(0),
        compact_output(false),
        compact_input(false),
        tile_size(0),
        rotates(true),
        scale(1),
        bias_scale(1),
        lazy(NULL) {}

  /// @brief Takes up the patterns of the two sides; the sizes must be set. To
  ///        be called in every pass.
  void Keep(const DropoutPattern<Dtype>& output_pattern,
      const DropoutPattern<Dtype>& input_pattern,
      const ApproxDropoutParameter& param);

  int num_output, num_input;        // of W
  int input_width;                  // columns of W for a unit of the input
  int num_samples;                  // per time step
  int stored_output, stored_input;  // columns of y and of x
  bool compact_output, compact_input;
  int tile_size;                    // TILE; else 0
  bool rotates;                     // see GroupRows
  Dtype scale;                      // of x W'
  Dtype bias_scale;
  // Of each group. `output` is a pattern of units or, with tiles, of tiles.
  vector<KeptCells> output, input;
  // While W is updated lazily: whom to tell what is used; else NULL.
  LazyParameter<Dtype>* lazy;

  /// @brief Before a parallel region: scratch for each of its threads, of the
  ///        product and of the lazy parameter.
  template <typename Scratch>
  void GrowScratch(vector<Scratch>* scratch) const {
    GrowForThreads(scratch);
    if (lazy) {
      lazy->GrowScratch();
    }
  }
  bool tiled() const { return tile_size > 0; }
  int num_groups() const { return output.size(); }
  int group_size() const { return num_samples / num_groups(); }
  GroupRows rows() const {
    const GroupRows rows = { group_size(), num_samples, rotates };
    return rows;
  }
  /// @brief Whether a product writes every stored output.
  bool covers_output() const {
    return tiled() || compact_output || output[0].keeps_all();
  }
};

/**
 * @brief One way to compute what a spec keeps. KeptProduct chooses among them.
 *
 * Pack comes first, then Forward and Backward for as long as W and the spec do
 * not change. The pointers are to the memory of the device that the product is
 * for. `outer` is the number of time steps in x and y.
 */
template <typename Dtype>
class Product {
 public:
  Product() : spec_(NULL), weight_(NULL) {}
  virtual ~Product() {}

  /// @brief Takes up the weights that the spec keeps. Both must live until the
  ///        last Forward or Backward.
  virtual void Pack(const ProductSpec<Dtype>& spec, const Dtype* weight) = 0;
  /// @brief In the outputs that are kept: y = scale x W', + bias_scale bias if
  ///        bias is not NULL, or y += it. Others are left alone.
  virtual void Forward(int outer, const Dtype* x, const Dtype* bias,
      bool accumulate, Dtype* y) = 0;
  /// @brief From dy, the gradients that are not NULL: dx is overwritten where
  ///        inputs are kept, dweight and dbias are added to.
  virtual void Backward(int outer, const Dtype* x, const Dtype* dy, Dtype* dx,
      Dtype* dweight, Dtype* dbias) = 0;

 protected:
  const ProductSpec<Dtype>* spec_;
  const Dtype* weight_;

  DISABLE_COPY_AND_ASSIGN(Product);
};

}  // namespace caffe

#endif  // CAFFE_APPROX_DROPOUT_PRODUCT_PRODUCT_HPP_
