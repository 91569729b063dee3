#ifndef CAFFE_APPROX_DROPOUT_PRODUCT_PACKED_PRODUCT_HPP_
#define CAFFE_APPROX_DROPOUT_PRODUCT_PACKED_PRODUCT_HPP_

#include <vector>

#include "caffe/approx_dropout/pattern/index_list.hpp"
#include "caffe/approx_dropout/product/product.hpp"

namespace caffe {

/**
 * @brief ROW and NONE with one group of samples, on the CPU: W's kept rows in
 *        strips of a few.
 *
 * Around a BLAS, the kept weights and their gradient would be copied, through
 * memory, from and to their places. Here a thread brings a strip's rows up to
 * date, copies what is kept of them and multiplies it, all within its cache;
 * of the gradient, it writes each row where the update looks for it.
 */
template <typename Dtype>
class PackedProduct : public Product<Dtype> {
 public:
  PackedProduct() : taken_up_(false) {}

  virtual void Pack(const ProductSpec<Dtype>& spec, const Dtype* weight);
  virtual void Forward(
      int outer, const Dtype* x, const Dtype* bias, bool accumulate, Dtype* y);
  virtual void Backward(int outer, const Dtype* x, const Dtype* dy, Dtype* dx,
      Dtype* dweight, Dtype* dbias);

 private:
  using Product<Dtype>::spec_;
  using Product<Dtype>::weight_;

  // Some of the kept outputs, or inputs: those from `begin` to before `end`.
  struct Strip {
    int begin, end;
    int size() const { return end - begin; }
  };
  // A thread's buffers.
  struct Scratch {
    vector<Dtype> weight, dy, sums;
    vector<Dtype*> rows;
  };

  int num_outputs() const { return outputs_.weight.size(); }
  int num_inputs() const { return inputs_.weight.size(); }
  int num_strips() const;
  Strip StripAt(int i) const;
  /// @brief Whether a product of so many samples is worth waking threads for.
  bool worth_threads(int num_samples) const;
  /// @brief What is kept of a strip's rows of W, up to date: in place, or
  ///        copied. The first time, packs them for dx too, if the kept inputs
  ///        have gaps.
  PartView<const Dtype> Weight(const Strip& strip, Scratch* scratch);
  const Dtype* WeightRow(int output) const;
  PartView<const Dtype> CopyRows(const Strip& strip, Scratch* scratch) const;
  void PackFactors(const PartView<const Dtype>& rows, const Strip& strip,
      int begin, int end, Dtype* factors) const;
  /// @brief `rows` of `columns` elements of a thread's buffer.
  Dtype* const* RowsOf(int rows, int columns, Scratch* scratch) const;
  void ForwardStrip(const Strip& strip, int num_samples, const Dtype* bias,
      bool accumulate, Dtype* y);
  void GradientStrip(const Strip& strip, int num_samples,
      const PartView<const Dtype>& dy, int columns, Dtype* dweight,
      Dtype* dbias);
  void AddGradient(const Strip& strip, Dtype* const* rows, Dtype* dweight);
  void InputGradient(const Strip& strip, int num_samples, Dtype* dx);

  SideLists outputs_, inputs_;
  bool taken_up_;         // whether the weights are up to date, and in packed_
  // The kept weights times the scale, if the kept inputs have gaps: blocks of
  // some inputs, in each of them output after output.
  vector<Dtype> packed_;
  vector<Dtype> panels_, dy_panels_;  // of x and of dy
  shared_ptr<Blob<Dtype> > x_, dy_;   // of a wide blob, what is kept
  vector<Scratch> scratch_;           // of each thread
};

}  // namespace caffe

#endif  // CAFFE_APPROX_DROPOUT_PRODUCT_PACKED_PRODUCT_HPP_
