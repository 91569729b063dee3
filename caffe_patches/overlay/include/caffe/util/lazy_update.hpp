#ifndef CAFFE_UTIL_LAZY_UPDATE_HPP_
#define CAFFE_UTIL_LAZY_UPDATE_HPP_

#include <vector>

#include "caffe/blob.hpp"

namespace caffe {

/**
 * @brief The update of SGDSolver for one parameter, in one pass over it. A
 *        step with gradient g does, in this order and with this rounding,
 *
 *            d = (g clip) normalization
 *            d = d + decay w             L2; decay sign(w) for L1
 *            h = rate d + momentum h
 *            w = w - h
 */
template <typename Dtype>
struct UpdateRule {
  Dtype normalization;  // 1 / iter_size
  Dtype decay;          // times the parameter's decay_mult
  bool l1;              // regularization_type: "L1"
  Dtype momentum;
};

/// @brief What changes from one step to the next.
template <typename Dtype>
struct UpdateStep {
  Dtype rate;  // times the parameter's lr_mult
  Dtype clip;  // factor of clip_gradients, 1 where it does not act
};

/// @brief Does num_steps steps, at least one, on data and history, of num_rows
///        rows that are `stride` elements apart, the gradient's too. The first
///        step has the gradient, if it is not NULL; the others have none.
///        Element by element the result is that of one call a step. Without
///        momentum history is only written.
template <typename Dtype>
void ReplaySteps(const UpdateRule<Dtype>& rule,
    const UpdateStep<Dtype>* steps, int num_steps, int num_rows,
    int num_columns, int stride, const Dtype* gradient, Dtype* data,
    Dtype* history);

/**
 * @brief Updates a parameter when a part of it is next needed, exactly.
 *
 * A dropped unit's weights get no gradient, yet momentum and weight decay act
 * on them. So the parameter is cut into cells (rows, or tiles), and a cell's
 * steps wait: before a forward pass reads it, the step with its last gradient
 * and those that it missed are replayed in registers, each with its own
 * learning rate. The weights are, bit for bit, those of updating everything
 * at every step; a step costs memory traffic for the cells in use only.
 *
 * In an iteration the layer calls CatchUp for the cells that it reads, then
 * TakeGradient for those whose gradient it will write; the solver ends the
 * iteration by EndStep and calls CatchUpAll before anyone else looks.
 */
template <typename Dtype>
class LazyParameter {
 public:
  /// @brief `history` is the solver's, with the shape of `param`.
  LazyParameter(Blob<Dtype>* param, Blob<Dtype>* history,
      const UpdateRule<Dtype>& rule);

  /// @brief Cuts the parameter, a matrix of shape(0) rows, into cells of
  ///        cell_rows x cell_columns, smaller at the right and lower edge;
  ///        numbered row by row. At the start each row is a cell.
  void SetCells(int cell_rows, int cell_columns);
  int num_cells() const { return done_.size(); }

  /// @brief Brings cells up to date.
  void CatchUp(const vector<int>& cells) { CatchUp(cells, FOR_USE); }
  void CatchUpAll();

  /// @brief Says that the gradient of these cells will be written. Returns
  ///        true if it must be overwritten, all of it, since no cell has one
  ///        of this iteration; else the cells without one are cleared, and it
  ///        must be added to.
  bool TakeGradient(const vector<int>& cells);

  /// @brief Zeros as the gradient of cells that TakeGradient was called for.
  void ClearGradient(const vector<int>& cells);

  /// @brief Sum of squares of this iteration's gradient.
  double SumSquares() const;
  void EndStep(const UpdateStep<Dtype>& step);
  /// @brief For a parameter whose layer is not a LazyLayer: all of it has a
  ///        gradient, is updated now, and the gradient cleared.
  void UpdateNow(const UpdateStep<Dtype>& step);

 private:
  // Rows and columns of a cell.
  struct Range {
    int first_row, last_row, first_column, num_columns;
  };
  Range range(int cell) const;
  enum Purpose { FOR_USE, FOR_ALL, FOR_CLEARING };
  void CatchUpCell(int cell, Dtype* gradient, Dtype* data, Dtype* history,
      Purpose purpose);
  void CatchUp(const vector<int>& cells, Purpose purpose);
  double SumSquares(int cell) const;

  Blob<Dtype>* param_;
  Blob<Dtype>* history_;
  UpdateRule<Dtype> rule_;
  int rows_, columns_;
  int cell_rows_, cell_columns_, cells_across_;
  vector<UpdateStep<Dtype> > steps_;  // those that some cell may have missed
  vector<int> done_;       // of each cell: how many of steps_ it has seen
  vector<char> gradient_;  // 0: none; 1: of this iteration; 2: of the step
                           // that is next for the cell
};

/**
 * @brief A layer that says which parts of its parameters it reads and gives
 *        gradients to. Between SetLazy(i, p) and SetLazy(i, NULL) it calls
 *        CatchUp and TakeGradient of *p for its i-th parameter.
 */
template <typename Dtype>
class LazyLayer {
 public:
  virtual ~LazyLayer() {}
  /// @brief Whether the i-th parameter can be updated lazily.
  virtual bool CanBeLazy(int param_id) const = 0;
  virtual void SetLazy(int param_id, LazyParameter<Dtype>* lazy) = 0;
};

/// @brief The distinct values of a blob of whole numbers, ascending.
template <typename Dtype>
vector<int> DistinctValues(const Blob<Dtype>& blob);

}  // namespace caffe

#endif  // CAFFE_UTIL_LAZY_UPDATE_HPP_
