#ifndef CAFFE_APPROX_DROPOUT_PRODUCT_GROUPED_PRODUCT_HPP_
#define CAFFE_APPROX_DROPOUT_PRODUCT_GROUPED_PRODUCT_HPP_

#include <vector>

#include "caffe/approx_dropout/pattern/index_list.hpp"
#include "caffe/approx_dropout/product/product.hpp"
#include "caffe/blob.hpp"

namespace caffe {

/**
 * @brief A grouped GEMM on the CPU: the product of an inner-product layer whose
 *        groups of samples use different parts of W (num_output x num_input),
 *        and its gradients.
 *
 * Group by group, all of W and of its gradient would be read from memory once
 * per group. So W's rows are cut into chunks that fit into L2, and a chunk
 * serves all groups before the next one is touched. Each thread has its chunks,
 * fixed beforehand, so that sums do not depend on which thread was faster.
 */
template <typename Dtype>
class GroupedProduct : public Product<Dtype> {
 public:
  GroupedProduct() : outer_(0) {}

  virtual void Pack(const ProductSpec<Dtype>& spec, const Dtype* weight);
  virtual void Forward(int outer, const Dtype* x, const Dtype* bias,
      bool accumulate, Dtype* y);
  virtual void Backward(int outer, const Dtype* x, const Dtype* dy, Dtype* dx,
      Dtype* dweight, Dtype* dbias);

 private:
  using Product<Dtype>::spec_;
  using Product<Dtype>::weight_;

  struct Group {
    IndexList samples;         // rows of x and y
    SideLists outputs, inputs;
    size_t offset;             // of its inputs in x_ and Scratch::dx
  };
  // A thread's buffers.
  struct Scratch {
    shared_ptr<Blob<Dtype> > weight, y, dx;
  };
  // A group's part of a chunk.
  struct Part {
    const Group* group;
    IndexList outputs, stored_outputs;  // its rows of W and columns of y
    int num_samples, num_outputs, num_inputs;
    Scratch* scratch;                   // of the thread that works on it
  };

  /// @brief Lists the groups' samples of this many time steps.
  void SetOuter(int outer);
  int num_chunks() const;
  Part PartOf(int group, int chunk);
  /// @brief f(part) for all, a chunk by one thread.
  template <typename Function>
  void ForEachPart(const Function& f);
  PartView<const Dtype> Weight(const Part& part) const;
  void AddWeightGradient(const Part& part, const Dtype* x,
      const PartView<const Dtype>& dy, Dtype* dweight) const;
  void GatherInputs(const Dtype* x);
  void ScatterInputGradients(Dtype* dx);

  vector<Group> groups_;
  int outer_;           // that their samples are listed for
  size_t inputs_size_;  // of all groups' inputs
  shared_ptr<Blob<Dtype> > x_;
  vector<Scratch> scratch_;  // of each thread
};

}  // namespace caffe

#endif  // CAFFE_APPROX_DROPOUT_PRODUCT_GROUPED_PRODUCT_HPP_
