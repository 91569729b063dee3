#ifndef CAFFE_APPROX_DROPOUT_PRODUCT_CONVOLUTION_PRODUCT_HPP_
#define CAFFE_APPROX_DROPOUT_PRODUCT_CONVOLUTION_PRODUCT_HPP_

#include <vector>

#include "caffe/approx_dropout/math/image_columns.hpp"
#include "caffe/approx_dropout/pattern/dropout_pattern.hpp"
#include "caffe/approx_dropout/pattern/index_list.hpp"
#ifndef CPU_ONLY
#include "caffe/approx_dropout/product/device_blocks.hpp"
#endif
#include "caffe/approx_dropout/product/product.hpp"

namespace caffe {

/**
 * @brief The convolution of a layer, and its gradients, computed on the
 *        channels that the dropout patterns keep and nowhere else:
 *
 *            ROW   y = s keep o (W * x + b)
 *            NONE  y = W * x + b
 *
 * by im2col and GEMM. x is (images x I x height x width), y (images x O x
 * output height x output width); I counts the stored channels: num_input, or
 * those that the input's pattern kept; O likewise. W is (num_output x
 * num_input / convolution_groups x kernel height x kernel width): kept outputs
 * are rows, kept inputs blocks of columns. Convolution groups must keep equally
 * many channels.
 *
 * On the CPU threads share the images. A thread takes so many images of a
 * group, or so many output rows of one, that their columns fit into L2. Each
 * sums its gradient of W by itself, in the order of its images; the sums are
 * added in the order of the threads. On the GPU as many images of a group as
 * fit into kDeviceColumns make one product.
 */
template <typename Dtype>
class ConvolutionProduct {
 public:
  ConvolutionProduct() : shape_(), convolution_groups_(1), weight_(NULL) {}

  /// @brief Says what is kept, for one pass. `patterns` must hold what
  ///        ApproxDropoutPatterns::Read read for num_images samples.
  void Keep(const ApproxDropoutPatterns<Dtype>& patterns,
      const ApproxDropoutParameter& param, int num_output, int num_input,
      int num_images);
  void SetShape(const ConvolutionShape& shape, int convolution_groups) {
    shape_ = shape;
    convolution_groups_ = convolution_groups;
  }
  /// @brief While W is updated lazily, by rows, on the CPU: whom to tell what
  ///        is used; NULL ends it.
  void SetLazy(LazyParameter<Dtype>* lazy) { spec_.lazy = lazy; }
  LazyParameter<Dtype>* lazy() const { return spec_.lazy; }

  /// @brief Stored channels of x and y.
  int stored_input() const { return spec_.stored_input; }
  int stored_output() const { return spec_.stored_output; }

  /// @brief Takes up the kept weights; to be called before the other functions
  ///        whenever W or what is kept has changed. W must not change until
  ///        the last of them.
  void PackWeights_cpu(const Dtype* weight);
  /// @brief bias: num_output values, or NULL.
  void Forward_cpu(const Dtype* x, const Dtype* bias, Dtype* y);
  /// @brief From dy, those of the gradients that are not NULL: dx is
  ///        overwritten, dweight and dbias (num_output) are added to, where
  ///        something is kept.
  void Backward_cpu(
      const Dtype* x, const Dtype* dy, Dtype* dx, Dtype* dweight, Dtype* dbias);

#ifndef CPU_ONLY
  void PackWeights_gpu(const Dtype* weight);
  void Forward_gpu(const Dtype* x, const Dtype* bias, Dtype* y);
  void Backward_gpu(
      const Dtype* x, const Dtype* dy, Dtype* dx, Dtype* dweight, Dtype* dbias);
#endif

 private:
  // What the images of one group keep.
  struct Group {
    SideLists outputs;                    // rows of W, channels of y
    SideLists inputs;                     // columns of W
    IndexList union_rows, union_columns;  // where those are in the unions

    int num_outputs() const { return outputs.weight.size(); }
    /// @brief Kept columns of W.
    int num_columns() const { return inputs.weight.size(); }
    size_t weight_size() const {
      return static_cast<size_t>(num_outputs()) * num_columns();
    }
    bool views_weight() const {
      return outputs.weight.stride > 0 && inputs.weight.contiguous();
    }
  };
  // What a thread multiplies at a time: some images of a group, or some output
  // rows of one.
  struct Chunk {
    int group, first_image, num_images;
    OutputRows rows;
  };
  // A thread's buffers.
  struct Worker {
    vector<Dtype> columns;     // (inputs x outputs of a channel in a chunk)
    vector<Dtype> outputs;     // (kept outputs x the same): y or dy
    vector<Dtype> weight;      // of packed_group, or -1
    vector<Dtype> dweight;     // of summed_group, or -1
    vector<Dtype> weight_sum;  // of several groups, (union rows x columns)
    vector<Dtype> bias_sum;    // (num_output)
    int packed_group, summed_group;
  };

  int num_columns() const;
  /// @brief What each group keeps.
  void ListGroups();
  /// @brief Outputs of a channel in a chunk.
  int chunk_outputs(const Chunk& chunk) const {
    return chunk.num_images * chunk.rows.count * shape_.width.output();
  }
  /// @brief Packs W's kept part if there is one group, after catching it up.
  void PackOnlyGroup();
  PartView<const Dtype> Weight(int group, Worker* worker) const;
  /// @brief The chunk that begins with a row of an image. Images from `end` on
  ///        are not in it.
  Chunk NextChunk(int image, int row, int end) const;
  /// @brief f(chunk, worker) for all images, those of a worker in order.
  template <typename Function>
  void ForEachChunk(const Function& f);
  /// @brief Where the outputs of a chunk's i-th image begin in y.
  size_t Offset(const Chunk& chunk, int i) const;
  void FillColumns(const Chunk& chunk, const Dtype* x, Worker* worker) const;
  /// @brief Whether what a chunk keeps of y is as it would be multiplied, a
  ///        row a channel.
  bool is_stored(const Chunk& chunk) const {
    return chunk.num_images == 1 && spec_.covers_output();
  }
  void ForwardChunk(const Chunk& chunk, const Dtype* x, const Dtype* bias,
      Dtype* y, Worker* worker) const;
  void StoreOutputs(const Chunk& chunk, Dtype* y, Worker* worker) const;
  /// @brief dy of what a chunk keeps, a row a channel.
  PartView<const Dtype> OutputGradient(
      const Chunk& chunk, const Dtype* dy, Worker* worker) const;
  void SumRows(const Chunk& chunk, const PartView<const Dtype>& gradient,
      Worker* worker) const;
  void AddWeightGradient(const Chunk& chunk,
      const PartView<const Dtype>& gradient, Worker* worker) const;
  void InputGradient(const Chunk& chunk, const PartView<const Dtype>& gradient,
      Dtype* dx, Worker* worker) const;
  /// @brief Adds a worker's gradient of one group to its sum of all.
  void SumGroup(Worker* worker) const;
  void AddBiasGradient(Dtype* dbias) const;
  void AddWeightGradients(Dtype* dweight);

  ProductSpec<Dtype> spec_;  // units are channels
  ConvolutionShape shape_;
  int convolution_groups_;
  const Dtype* weight_;
  vector<Group> groups_;
  IndexList union_rows_, union_columns_;  // of W: what some group keeps
  vector<Dtype> packed_;
  vector<Worker> workers_;

#ifndef CPU_ONLY
  // Images of one group that make one product; size: their outputs of a
  // channel.
  struct Batch {
    int group, first_image, num_images, size;
  };
  /// @brief Kept outputs of a group in one of the convolution's groups.
  int num_kept_outputs(int group) const {
    return spec_.output[group].count(spec_.num_output) / convolution_groups_;
  }
  /// @brief Kept columns of W.
  int num_kept_columns() const {
    return spec_.stored_input / convolution_groups_ * shape_.kernel_size();
  }
  /// @brief f(batch, whether it is its group's first) for all images.
  template <typename Function>
  void ForEachBatch(const Function& f) const;
  /// @brief A batch's columns: of x, or if that is NULL to be filled.
  Dtype* Columns(const Batch& batch, const Dtype* x);
  /// @brief C = alpha op(A) op(B) + beta C, C being (M x N), for each of the
  ///        convolution's groups, in as many ranges of the rows of each matrix.
  void MultiplyGroups(CBLAS_TRANSPOSE trans_a, CBLAS_TRANSPOSE trans_b, int M,
      int N, int K, const PartView<const Dtype>& A,
      const PartView<const Dtype>& B, Dtype beta, const PartView<Dtype>& C);
  void AddBiasGradient(const Batch& batch, const Dtype* dy, Dtype* dbias);
  void InputGradient(const Batch& batch, const Dtype* dy, Dtype* dx);

  ProductSpec<Dtype> weight_spec_;  // units are rows and columns of W
  DeviceBlocks<Dtype> device_blocks_;
  shared_ptr<Blob<Dtype> > columns_, outputs_;
#endif

  DISABLE_COPY_AND_ASSIGN(ConvolutionProduct);
};

}  // namespace caffe

#endif  // CAFFE_APPROX_DROPOUT_PRODUCT_CONVOLUTION_PRODUCT_HPP_
