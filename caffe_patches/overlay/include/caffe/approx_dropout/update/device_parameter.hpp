#ifndef CAFFE_APPROX_DROPOUT_UPDATE_DEVICE_PARAMETER_HPP_
#define CAFFE_APPROX_DROPOUT_UPDATE_DEVICE_PARAMETER_HPP_

#include "caffe/approx_dropout/update/device_cells.hpp"
#include "caffe/approx_dropout/update/lazy_parameter.hpp"
#include "caffe/blob.hpp"

namespace caffe {

/**
 * @brief The learning rates and clip factors of the steps that some cell on
 *        the GPU may have missed, for all parameters of a net. The norm of
 *        the gradients and the clip factor never leave the device.
 */
template <typename Dtype>
class DeviceSteps {
 public:
  /// @brief clip_gradients as in SolverParameter: below 0 it does not act.
  DeviceSteps(int num_parameters, Dtype clip_gradients);

  int size() const { return size_; }
  bool full() const;
  const UpdateStep<Dtype>* data() const;
  bool clips() const { return clip_gradients_ >= 0; }
  /// @brief Where the next parameter writes its sums of squares, all `count`
  ///        of them, at most kNumSums: the norm's until the next Append.
  double* NextSums(int count);
  /// @brief Ends the step: its rate, and its clip factor from the sums.
  void Append(Dtype rate);
  void Clear();
  /// @brief Whether all rates since Clear are.
  bool rates_are_finite() const { return rates_are_finite_; }

  static const int kNumSums = 256;  // of a parameter

 private:
  Dtype clip_gradients_;
  int size_;
  int num_sums_;
  bool rates_are_finite_;
  Blob<Dtype> steps_;
  Blob<double> sums_;
};

/**
 * @brief LazyParameter on the GPU: one kernel clears, regularises and updates
 *        the cells that are about to be read, each step that they missed in
 *        its order, in registers.
 *
 * What is known of each cell lies on the device; nothing waits for it. Rows
 * and columns are listed as kernels take them. All of this happens on the
 * default stream, in the order of the calls.
 */
template <typename Dtype>
class DeviceParameter {
 public:
  /// @brief As LazyParameter's; lr_mult multiplies the rates in `steps`, and
  ///        rule must hold decay_mult.
  DeviceParameter(Blob<Dtype>* param, Blob<Dtype>* history,
      const UpdateRule<Dtype>& rule, Dtype lr_mult, DeviceSteps<Dtype>* steps,
      Blob<Dtype>* history2 = NULL);
  /// @brief As LazyParameter's.
  void SetCells(int cell_rows, int cell_columns);

  /// @brief Of the tiles that a pattern keeps or, cells being rows, the rows.
  void CatchUp(const KeptCells& tiles);
  /// @brief Of rows, and part[i][j] = the value in (rows(i), columns(j)).
  void CatchUp(const DeviceList& rows, const DeviceList& columns, Dtype* part);
  /// @brief For the rows that `words`, on the device, name.
  void CatchUpWords(const Dtype* words, int num_words);
  /// @brief As LazyParameter's. The steps stay; before they are cleared,
  ///        ForgetSteps must be called.
  void CatchUpAll();
  void ForgetSteps();
  void ShowDiff();

  /// @brief As LazyParameter's. OVERWRITE for the first call per iteration.
  Claim ClaimGradient(const KeptCells& tiles);
  /// @brief The gradient of these rows will be added to; it is cleared where
  ///        there is none of this iteration.
  void ClaimGradientOfWords(const Dtype* words, int num_words);
  /// @brief As LazyParameter's. columns must have places.
  void AddGradient(const DeviceList& rows, const DeviceList& columns,
      const Dtype* part);

  /// @brief As LazyParameter's.
  void BeginStep(bool whole);
  /// @brief Writes the sums of squares of this iteration's gradient to the
  ///        steps; whole: all of it belongs to this iteration.
  void SumSquares(bool whole);
  /// @brief To be called before steps->Append.
  void EndStep();
  /// @brief For a parameter whose layer is not a LazyLayer, after Append:
  ///        updates all of it now.
  void UpdateWhole();

 private:
  ParameterView<Dtype> View();
  CellList<Dtype> Rows(const DeviceList& rows) const;
  CellList<Dtype> Tiles(const KeptCells& tiles) const;
  CellList<Dtype> Words(const Dtype* words, int num_words) const;
  /// @brief Whether kernels can take 16 bytes at a time in every cell.
  bool CanAlign16(const ParameterView<Dtype>& view) const;
  void CatchUp(const CellList<Dtype>& cells, bool for_all,
      const DeviceList& columns, Dtype* part);
  template <typename Step>
  void CatchUpBy(const CellList<Dtype>& cells, bool for_all,
      const DeviceList& columns, Dtype* part);
  template <typename Step>
  void UpdateWholeBy();
  Claim ClaimGradient(const CellList<Dtype>& cells);
  void ClearMissing(const CellList<Dtype>& cells);
  void ForgetGradients();

  ParameterMemory memory_;
  int count_;
  UpdateRule<Dtype> rule_;
  Dtype lr_mult_;
  DeviceSteps<Dtype>* steps_;
  CellGrid grid_;
  Blob<int> done_;
  Blob<int> gradient_step_;
  bool has_gradient_ = false;  // some cell, of this iteration
  bool in_step_ = false;       // between BeginStep and EndStep
  bool whole_ = false;         // UpdateWhole ends each step
  bool shows_diff_ = true;     // diff is as ShowDiff leaves it
  int all_done_ = 0;           // so many steps all cells have seen

  DISABLE_COPY_AND_ASSIGN(DeviceParameter);
};

}  // namespace caffe

#endif  // CAFFE_APPROX_DROPOUT_UPDATE_DEVICE_PARAMETER_HPP_
