#ifndef CAFFE_DROPOUT_PATTERN_LAYER_HPP_
#define CAFFE_DROPOUT_PATTERN_LAYER_HPP_

#include <vector>

#include "caffe/blob.hpp"
#include "caffe/layer.hpp"
#include "caffe/proto/caffe.pb.h"

namespace caffe {

/**
 * @brief Draws a dropout pattern from the distribution K, once per forward pass
 *        in the TRAIN phase. It is the only place where patterns are drawn.
 *
 * bottom: K, shape (N), unless dropout_pattern_param gives `probability`.
 *         K[i-1] is the probability of period i (PERIOD) or of keeping i of
 *         the N residues (RESIDUE).
 * top:    the pattern, shape (groups, 2 + m); each row holds scale, period
 *         and the m kept residues, ascending. m is the same for all groups.
 *
 * The scale is 1 / (1 - p), where p = sum_i K[i-1] pu_i is the drop rate that
 * K gives (eq. 3 of the paper): pu_i = (i - 1) / i for PERIOD, 1 - i / N for
 * RESIDUE. Until the first draw, and in the TEST phase always, the pattern
 * keeps everything: scale 1, period N, residues 0 ... N - 1.
 *
 * The draw is a pure function of the seed, the layer's name and the number of
 * earlier draws (pattern/draw_pattern.hpp). A solver sets the seed; without one
 * the first draw takes it from Caffe's generator. K gets no gradient.
 *
 * Without `family` in dropout_pattern_param a K that a PatternSearchLayer of
 * the net has searched is of the family it was searched for; any other K is
 * of RESIDUE. A net that names another family than the search is refused
 * (solver/pattern_family.hpp).
 */
template <typename Dtype>
class DropoutPatternLayer : public Layer<Dtype> {
 public:
  explicit DropoutPatternLayer(const LayerParameter& param)
      : Layer<Dtype>(param), has_seed_(false), seed_(0), draws_(0),
        restored_(false) {}
  virtual void LayerSetUp(const vector<Blob<Dtype>*>& bottom,
      const vector<Blob<Dtype>*>& top);
  virtual void Reshape(const vector<Blob<Dtype>*>& bottom,
      const vector<Blob<Dtype>*>& top) {}

  virtual inline const char* type() const { return "DropoutPattern"; }
  virtual inline int MaxBottomBlobs() const { return 1; }
  virtual inline int ExactNumTopBlobs() const { return 1; }
  virtual inline bool AllowForceBackward(const int bottom_index) const {
    return false;
  }

  /// @brief Starts the sequence of patterns that belongs to the seed.
  void SetSeed(uint64_t seed);
  /// @brief Goes back to draw 0 of the seed's sequence.
  void StartOver() { draws_ = 0; }
  /// @brief Seed, K and number of draws, as they are after the last pass.
  void ToProto(DropoutPatternState* state) const;
  /// @brief Goes on where the state was saved, with its K bit for bit if the
  ///        net's is the same to 1e-6, else with the net's and a warning. If
  ///        family or N are not the state's, starts over with a warning. The
  ///        state must be whole, as RestoreDropoutPatterns checks.
  void FromProto(const DropoutPatternState& state);

 protected:
  virtual void Forward_cpu(const vector<Blob<Dtype>*>& bottom,
      const vector<Blob<Dtype>*>& top);
  // A pattern is a few integers for the host: nothing to do on the device.
  virtual void Forward_gpu(const vector<Blob<Dtype>*>& bottom,
      const vector<Blob<Dtype>*>& top) { Forward_cpu(bottom, top); }
  virtual void Backward_cpu(const vector<Blob<Dtype>*>& top,
      const vector<bool>& propagate_down,
      const vector<Blob<Dtype>*>& bottom) {}
  virtual void Backward_gpu(const vector<Blob<Dtype>*>& top,
      const vector<bool>& propagate_down,
      const vector<Blob<Dtype>*>& bottom) {}

  /// @brief Takes the net's K, unless the one in use is the same to 1e-6.
  void UseProbability(const vector<double>& probability);
  void CheckProbability() const;
  void KeepEverything(Blob<Dtype>* top) const;

  int max_period_;  // N
  int groups_;
  DropoutPatternParameter::Family family_;
  vector<double> probability_;  // K
  bool has_seed_;
  uint64_t seed_;
  uint64_t draws_;
  bool restored_;  // K is a solver state's, not compared yet with the net's
};

}  // namespace caffe

#endif  // CAFFE_DROPOUT_PATTERN_LAYER_HPP_
