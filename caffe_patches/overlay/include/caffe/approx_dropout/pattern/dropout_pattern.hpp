#ifndef CAFFE_APPROX_DROPOUT_PATTERN_DROPOUT_PATTERN_HPP_
#define CAFFE_APPROX_DROPOUT_PATTERN_DROPOUT_PATTERN_HPP_

#include <string>
#include <vector>

#include "caffe/approx_dropout/pattern/kept_cells.hpp"
#include "caffe/blob.hpp"
#include "caffe/proto/caffe.pb.h"

namespace caffe {

/// @brief The most outputs or inputs of a layer: four gates' units, and a tile
///        more, stay an int.
const uint32_t kMaxUnits = 1 << 28;

/**
 * @brief The content of a pattern blob, shape (G, 2 + m): for each group
 *        scale, period and m residues. A blob before the first draw
 *        (period 0) keeps everything at scale 1.
 */
template <typename Dtype>
struct DropoutPattern {
  DropoutPattern() : scale(1), groups(1, AllCells()) {}

  Dtype scale;
  vector<KeptCells> groups;

  /// @brief The cells that a sample's group keeps at step 0; G divides
  ///        num_samples. Where there is no sample, those of the first.
  const KeptCells& of_sample(int sample, int num_samples) const {
    const int size = num_samples / groups.size();
    return groups[size ? sample / size : 0];
  }
};

/// @brief Reads a pattern blob; stops with the name of the layer and what was
///        found if it is not a pattern.
template <typename Dtype>
DropoutPattern<Dtype> ReadDropoutPattern(const Blob<Dtype>& blob,
    const LayerParameter& layer);

/**
 * @brief The pattern bottoms of an ApproxDropout* layer: after `num_inputs`
 *        others the pattern of the output, unless `pattern: NONE`, then that
 *        of the input, if `compact_input`.
 *
 * The constructor checks the number of bottoms and the fields against each
 * other. It and the Check functions stop with a message that names layer,
 * field, the value found and the legal ones.
 */
template <typename Dtype>
class ApproxDropoutPatterns {
 public:
  ApproxDropoutPatterns() : output_bottom_(-1), input_bottom_(-1) {}
  ApproxDropoutPatterns(const LayerParameter& layer, int num_inputs,
      int num_bottoms);

  /// @brief At set-up, when pattern blobs have the shape (G, 2 + N): that no
  ///        draw can drop all of the output's cells (units, or diagonals of
  ///        tiles), and that groups keep equally many units where blobs are
  ///        compact. num_output and num_input count units; each input unit is
  ///        input_width columns of the weights.
  void CheckUnits(const vector<Blob<Dtype>*>& bottom, int num_output,
      int num_input, int input_width = 1) const;
  /// @brief That no draw can drop all tiles of a matrix that the output's
  ///        pattern cuts; `weights` says in the message which one.
  void CheckTiles(const vector<Blob<Dtype>*>& bottom, int num_output,
      int num_input, const string& weights) const;

  /// @brief Reads the patterns. num_samples is the size of the axis just
  ///        before the features, which the numbers of groups must divide.
  void Read(const vector<Blob<Dtype>*>& bottom, int num_samples);
  /// @brief For a product that has both patterns, that its numbers of groups
  ///        are the same, or one of them 1, if there are several time steps.
  void CheckGroups(int num_steps) const;

  bool has_output() const { return output_bottom_ >= 0; }
  bool has_input() const { return input_bottom_ >= 0; }
  /// @brief Everything and scale 1 where there is no such bottom.
  const DropoutPattern<Dtype>& output() const { return output_; }
  const DropoutPattern<Dtype>& input() const { return input_; }

 private:
  void CheckSide(const Blob<Dtype>& blob, const string& side, int units,
      bool compact) const;
  DropoutPattern<Dtype> ReadSide(const Blob<Dtype>& blob, const string& side,
      int num_samples) const;

  LayerParameter layer_;  // without blobs
  int output_bottom_;
  int input_bottom_;
  DropoutPattern<Dtype> output_;
  DropoutPattern<Dtype> input_;
};

}  // namespace caffe

#endif  // CAFFE_APPROX_DROPOUT_PATTERN_DROPOUT_PATTERN_HPP_
