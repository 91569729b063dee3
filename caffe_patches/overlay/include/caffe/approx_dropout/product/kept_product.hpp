#ifndef CAFFE_APPROX_DROPOUT_PRODUCT_KEPT_PRODUCT_HPP_
#define CAFFE_APPROX_DROPOUT_PRODUCT_KEPT_PRODUCT_HPP_

#include <vector>

#include "caffe/approx_dropout/pattern/dropout_pattern.hpp"
#include "caffe/blob.hpp"
#ifndef CPU_ONLY
#include "caffe/approx_dropout/product/batched_product.hpp"
#endif
#include "caffe/approx_dropout/pattern/index_list.hpp"
#include "caffe/approx_dropout/product/grouped_product.hpp"
#include "caffe/approx_dropout/product/tile_product.hpp"
#include "caffe/approx_dropout/update/lazy_parameter.hpp"

namespace caffe {

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
 * The product is cut into blocks, each of them one GEMM: the samples of one
 * group and, for TILE, the tile rows that keep the same tile columns (for dx,
 * the tile columns that keep the same tile rows). An operand that is a strided
 * view of its matrix is used in place, others are gathered. The CPU's threads
 * share a block if there is one for each group, else they share out blocks.
 * On the CPU a TileProduct takes the place of TILE's blocks, unless the input
 * is compact, and a GroupedProduct that of several groups' blocks. On the GPU
 * a BatchedProduct does it wherever there is more than one block.
 */
template <typename Dtype>
class KeptProduct {
 public:
  KeptProduct()
      : num_output_(0), num_input_(0), num_samples_(0),
        tiled_(false), rotates_(true), for_steps_(false), tile_size_(0),
        grouped_outer_(0), blocks_a_group_(1), weight_(NULL), lazy_(NULL),
        overwrites_tiles_(false) {}

  /// @brief Says what is kept, for one pass. `patterns` must hold what
  ///        ApproxDropoutPatterns::Read read for num_samples samples.
  void Keep(const ApproxDropoutPatterns<Dtype>& patterns,
      const ApproxDropoutParameter& param, int num_output, int num_input,
      int num_samples);
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
  ///        Not for TILE with a compact input or for steps.
  void SetLazy(LazyParameter<Dtype>* lazy);

  /// @brief Stored inputs and outputs of a sample, I and O.
  int stored_input() const { return stored_input_; }
  int stored_output() const { return stored_output_; }

  /// @brief Takes up the kept weights; to be called before the other
  ///        functions whenever W or what is kept has changed. W must not
  ///        change until the last of them.
  void PackWeights_cpu(const Dtype* weight);
  /// @brief The same for many products of few rows each, as a recurrent
  ///        layer's steps are: packs for Forward_cpu or, if `backward`, for
  ///        Backward_cpu's dx, and the other one may not be called.
  void PackForSteps_cpu(const Dtype* weight, bool backward);
  /// @brief y = the product, or y += it (then without bias). bias: num_output
  ///        values, or NULL.
  void Forward_cpu(int outer, const Dtype* x, const Dtype* bias,
      bool accumulate, Dtype* y);
  /// @brief From dy, those of the gradients that are not NULL: dx is
  ///        overwritten, dweight (num_output x num_input) and dbias
  ///        (num_output) are added to, where something is kept.
  void Backward_cpu(int outer, const Dtype* x, const Dtype* dy, Dtype* dx,
      Dtype* dweight, Dtype* dbias);

#ifndef CPU_ONLY
  void PackWeights_gpu(const Dtype* weight);
  void Forward_gpu(int outer, const Dtype* x, const Dtype* bias,
      bool accumulate, Dtype* y);
  /// @brief y = the product with ReLU.
  void ForwardRectified_gpu(int outer, const Dtype* x, const Dtype* bias,
      Dtype* y);
  void Backward_gpu(int outer, const Dtype* x, const Dtype* dy, Dtype* dx,
      Dtype* dweight, Dtype* dbias);
#endif

 private:
  /// One GEMM.
  struct Block {
    int first_sample;  // at step 0
    int num_samples;
    KeptUnits output;
    KeptUnits input;
    // Rows of W and places in y; columns of W and places in x.
    IndexList output_weight, output_stored, input_weight, input_stored;
    // The kept weights and the distance of their rows; packed for steps, a
    // buffer of packed_gemm; NULL if they are gathered when needed.
    const Dtype* weight;
    int weight_stride;
  };

  // A thread's buffers for gathered parts.
  struct Scratch {
    shared_ptr<Blob<Dtype> > x, y, weight;
  };

  // The samples of one group, and what it keeps of W.
  struct GroupTiles {
    vector<int> samples;  // rows of x and y
    TileGrid grid;
  };

  bool in_tiles() const { return tiled_ && !compact_input_ && !for_steps_; }
  // On the CPU.
  bool in_groups() const {
    return !tiled_ && !for_steps_ && blocks_.size() > 1;
  }
  // On the GPU.
  bool in_batch() const {
    return output_pattern_.groups.size() > 1
        || input_pattern_.groups.size() > 1
        || (tiled_ && output_pattern_.groups[0].period > 1);
  }
  /// @brief How many groups of samples have one pattern on each side.
  int num_parts() const;
#ifndef CPU_ONLY
  void SetBatch();
  void ForwardBatch(int outer, const Dtype* x, const Dtype* bias, bool rectify,
      bool accumulate, Dtype* y);
#endif
  vector<GroupTiles> Groups(int outer) const;
  void SetGroups(int outer);
  void ForwardTiles(int outer, const Dtype* x, const Dtype* bias,
      bool accumulate, Dtype* y);
  void BackwardTiles(int outer, const Dtype* x, const Dtype* dy, Dtype* dx,
      Dtype* dweight, Dtype* dbias);
  void MakeBlocks();
  void AddTiles(int first_sample, int num_samples, const KeptCells& output,
      const KeptCells& input);
  Block MakeBlock(int first_sample, int num_samples, const KeptUnits& output,
      const KeptUnits& input) const;
  /// @brief The blocks whose products make up dx.
  vector<Block>& gradient_blocks() {
    return tiled_ ? tiled_gradient_blocks_ : blocks_;
  }
  /// @brief The first sample at step t of those that come first at step 0.
  int FirstSample(int t, int first_sample, int num_samples) const;
  /// @brief The rows of x and y that belong to a block.
  IndexList Rows(int outer, const Block& block) const;
  bool views_weight(const Block& block) const {
    return block.output_weight.stride > 0 && block.input_weight.contiguous();
  }
  // The same steps on host and device; Parts does each step there
  // (product/gather_scatter.hpp).
  template <typename Parts>
  void PackWeights(const Dtype* weight);
  template <typename Parts>
  void Forward(int outer, const Dtype* x, const Dtype* bias, bool accumulate,
      Dtype* y);
  template <typename Parts>
  void Backward(int outer, const Dtype* x, const Dtype* dy, Dtype* dx,
      Dtype* dweight, Dtype* dbias);
  template <typename Parts>
  void ForwardBlock(const Block& block, int outer, const Dtype* x,
      const Dtype* bias, bool accumulate, Dtype* y, Scratch* scratch);
  template <typename Parts>
  void BackwardBlock(const Block& block, int outer, const Dtype* x,
      const Dtype* dy, Dtype* dx, Dtype* dweight, Dtype* dbias,
      Scratch* scratch);
  template <typename Parts>
  void AddWeightGradient(const Block& block, const IndexList& rows,
      const Dtype* x, const PartView<const Dtype>& dy, Dtype* dweight,
      Scratch* scratch);
  template <typename Parts>
  void InputGradient(const Block& block, const IndexList& rows,
      const PartView<const Dtype>& dy, Dtype* dx, Scratch* scratch);
  template <typename Parts>
  PartView<const Dtype> Weight(const Block& block, Scratch* scratch) const;

  int num_output_, num_input_, num_samples_;
  int stored_output_, stored_input_;
  bool compact_output_, compact_input_;
  bool tiled_;
  bool rotates_;
  bool for_steps_;
  int tile_size_;
  DropoutPattern<Dtype> output_pattern_, input_pattern_;
  TileProduct<Dtype> tile_product_;
  GroupedProduct<Dtype> grouped_product_;
#ifndef CPU_ONLY
  BatchedProduct<Dtype> batched_product_;
#endif
  int grouped_outer_;   // that grouped_product_ is set for, or 0
  bool covers_output_;  // every stored output belongs to a block
  Dtype scale_;         // of the product
  Dtype bias_scale_;
  vector<Block> blocks_;
  vector<Block> tiled_gradient_blocks_;
  int blocks_a_group_;  // those of one group of samples follow each other
  const Dtype* weight_;
  shared_ptr<Blob<Dtype> > packed_;
  vector<Scratch> scratch_;  // for each thread
  shared_ptr<Blob<int> > device_lists_;
  LazyParameter<Dtype>* lazy_;
  bool overwrites_tiles_;  // gradients of tiles, on the GPU, while lazy_
};

}  // namespace caffe

#endif  // CAFFE_APPROX_DROPOUT_PRODUCT_KEPT_PRODUCT_HPP_
