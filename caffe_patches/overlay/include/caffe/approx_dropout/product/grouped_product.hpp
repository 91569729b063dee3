#ifndef CAFFE_APPROX_DROPOUT_PRODUCT_GROUPED_PRODUCT_HPP_
#define CAFFE_APPROX_DROPOUT_PRODUCT_GROUPED_PRODUCT_HPP_

#include <vector>

#include "caffe/approx_dropout/pattern/index_list.hpp"
#include "caffe/approx_dropout/update/lazy_parameter.hpp"
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
class GroupedProduct {
 public:
  struct Group {
    IndexList samples;                  // rows of x and y
    IndexList outputs, stored_outputs;  // rows of W and columns of y
    IndexList inputs, stored_inputs;    // columns of W and columns of x
  };
  struct Shape {
    int num_output, num_input;
    int stored_output, stored_input;  // columns of y and of x
  };

  void SetGroups(const Shape& shape, const vector<Group>& groups);

  /// @brief In what the groups name, y = alpha x W', or y += it, or y = alpha
  ///        x W' + bias_scale bias. bias: num_output values, or NULL. If `lazy`
  ///        is not NULL, brings rows of W up to date before they are used.
  void Forward(Dtype alpha, const Dtype* weight, const Dtype* x,
      const Dtype* bias, Dtype bias_scale, bool accumulate, Dtype* y,
      LazyParameter<Dtype>* lazy);
  /// @brief From dy, those of the gradients that are not NULL: dx =
  ///        alpha dy W, dweight += alpha dy' x, through `lazy` if that is
  ///        not NULL, and dbias += bias_scale (sums of dy's columns).
  void Backward(Dtype alpha, const Dtype* weight, const Dtype* x,
      const Dtype* dy, Dtype bias_scale, Dtype* dx, Dtype* dweight,
      Dtype* dbias, LazyParameter<Dtype>* lazy);

 private:
  // A thread's buffers.
  struct Scratch {
    shared_ptr<Blob<Dtype> > weight, y, dx;
  };
  // A group's part of a chunk.
  struct Part {
    const Group* group;
    size_t offset;                      // of its inputs, see offsets_
    IndexList outputs, stored_outputs;  // its rows of W and columns of y
    int num_samples, num_outputs, num_inputs;
    Scratch* scratch;                   // of the thread that works on it
  };

  int num_chunks() const;
  Part PartOf(int group, int chunk);
  /// @brief f(part) for all, a chunk by one thread.
  template <typename Function>
  void ForEachPart(const Function& f);
  PartView<const Dtype> Weight(const Part& part, const Dtype* weight) const;
  void GatherInputs(const Dtype* x);
  void ScatterInputGradients(Dtype* dx);

  Shape shape_;
  vector<Group> groups_;
  vector<size_t> offsets_;  // of each group's inputs in x_ and Scratch::dx
  shared_ptr<Blob<Dtype> > x_;
  vector<Scratch> scratch_;  // of each thread
};

}  // namespace caffe

#endif  // CAFFE_APPROX_DROPOUT_PRODUCT_GROUPED_PRODUCT_HPP_
