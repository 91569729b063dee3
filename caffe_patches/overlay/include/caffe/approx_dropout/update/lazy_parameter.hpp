#ifndef CAFFE_APPROX_DROPOUT_UPDATE_LAZY_PARAMETER_HPP_
#define CAFFE_APPROX_DROPOUT_UPDATE_LAZY_PARAMETER_HPP_

#include <vector>

#include "caffe/approx_dropout/pattern/cell_grid.hpp"
#include "caffe/approx_dropout/update/parameter_memory.hpp"
#include "caffe/approx_dropout/update/replay_steps.hpp"
#include "caffe/blob.hpp"

namespace caffe {

template <typename Dtype> class DeviceParameter;

/// After this many steps all cells are brought up to date, needed or not, on
/// the CPU and on the GPU.
const int kMaxSteps = 1024;

/// @brief What a gradient that a cell gets does to what is there.
enum class Claim { OVERWRITE, ADD };

/**
 * @brief Updates a parameter when a part of it is next needed, exactly.
 *
 * A dropped unit's weights get no gradient, yet momentum and weight decay may
 * move them. So the parameter is cut into cells (rows, or tiles), and a cell's
 * steps wait: before a forward pass reads it, the step with its last gradient
 * and those that it missed are replayed in registers, each with its own
 * learning rate. The weights are, bit for bit, those of updating everything
 * at every step; a step costs memory traffic for the cells in use only. Where
 * the solver and its rule leave weights without a gradient where they are, what
 * was missed is left out (Idle, solver_steps.hpp).
 *
 * The solver begins an iteration by BeginStep and ends it by EndStep. Between
 * them the layer calls CatchUp for the cells that it reads, then ClaimGradient
 * or AddGradient for those that get one. Before others look, at any time, it is
 * CatchUpAll that they need or, for the blob's diff, ShowDiff; PendingParameter
 * sees to that. None of it goes through the blobs' own functions, which others
 * call, but to the memory as it is.
 */
template <typename Dtype>
class LazyParameter {
 public:
  /// @brief On the GPU, where *device does all of it: layers call that one
  ///        instead, and of the functions below only SetCells, CatchUpAll,
  ///        ShowDiff and BeginStep.
  explicit LazyParameter(const shared_ptr<DeviceParameter<Dtype> >& device)
      : arrays_(), rule_(), grid_(), in_step_(false), device_(device) {}
  /// @brief NULL on the CPU.
  DeviceParameter<Dtype>* device() const { return device_.get(); }

  /// @brief The histories are the solver's, with the shape of `param`; the
  ///        second is NULL for solvers with one. rule.idle is set here. The
  ///        memory is that which the blobs have now.
  LazyParameter(Blob<Dtype>* param, Blob<Dtype>* history,
      const UpdateRule<Dtype>& rule, Blob<Dtype>* history2 = NULL);

  /// @brief Cuts the parameter, a matrix of shape(0) rows, into cells of
  ///        cell_rows x cell_columns, smaller at the right and lower edge;
  ///        numbered row by row. At the start each row is a cell. While steps
  ///        wait, cells must stay as they are.
  void SetCells(int cell_rows, int cell_columns);
  int num_cells() const { return done_.size(); }

  /// @brief Brings cells up to date.
  void CatchUp(const vector<int>& cells) {
    CatchUp(cells, FOR_USE, NULL, NULL);
  }
  /// @brief The same for rows, and copies part[i][j] = the value in
  ///        (rows[i], columns[j]), part being (rows x columns).
  void CatchUp(const vector<int>& rows, const vector<int>& columns,
      Dtype* part) {
    CatchUp(rows, FOR_USE, &columns, part);
  }
  /// @brief To be called before the parallel region in which functions named
  ///        ...OnThisThread are.
  void GrowScratch();
  /// @brief The same, single-threaded. Threads that call it at the same time
  ///        must pass disjoint cells.
  void CatchUpOnThisThread(const vector<int>& cells) {
    CatchUpOnThisThread(cells.data(), cells.size());
  }
  void CatchUpOnThisThread(const int* cells, int num_cells);
  /// @brief Brings everything up to date: data and histories. (Within a step a
  ///        history that the rule does not read may be behind.)
  void CatchUpAll();
  /// @brief The same; then diff holds what is in there in Caffe: within a step
  ///        the gradient so far, of all cells, which others may add to, else
  ///        what the last step subtracted.
  void ShowDiff();

  /// @brief Announces that the gradient of these cells will be written to the
  ///        blob's diff. OVERWRITE: all of it must be overwritten, since no
  ///        cell has a gradient of this iteration. ADD: it must be added to;
  ///        cells without one have been cleared.
  Claim ClaimGradient(const vector<int>& cells);
  /// @brief Zeros as the gradient of cells that ClaimGradient was called for.
  void ClearGradient(const vector<int>& cells);
  /// @brief Adds part[i][j] to the gradient in (rows[i], columns[j]), cells
  ///        being rows; part is (rows x columns). In other columns the
  ///        gradient is not changed. No ClaimGradient is needed before.
  void AddGradient(const vector<int>& rows, const vector<int>& columns,
      const Dtype* part);
  /// @brief The same, single-threaded. Threads that call it at the same time
  ///        must pass disjoint rows.
  void AddGradientOnThisThread(const vector<int>& rows,
      const vector<int>& columns, const Dtype* part);

  /// @brief For gradients that are written where they stay: takes note of the
  ///        columns that rows will get one in. Returns its number.
  int AddColumns(const vector<int>& columns);
  /// @brief Where the gradient of a row, being a cell, in the columns of that
  ///        number must be written, all of it and side by side; or NULL: it has
  ///        one, for AddRowOnThisThread. Single-threaded: threads that call it
  ///        at the same time must pass different rows.
  Dtype* ClaimRowOnThisThread(int row, int columns);
  /// @brief Adds part[j] to the gradient in (row, columns[j]).
  void AddRowOnThisThread(
      int row, const vector<int>& columns, const Dtype* part);

  // For the exchange with other ranks (gradient_cells.cpp):
  /// @brief Of each cell whether it has a gradient of this iteration.
  vector<char> HasGradient() const;
  /// @brief Gives a gradient of zeros to those of the cells that have none.
  void AddZeros(const vector<char>& cells);
  /// @brief Number of values of this iteration's gradient, as they lie: those
  ///        of cells that have one, of compact rows their columns only.
  size_t GradientSize() const;
  /// @brief Copies them, times `scale`.
  void CopyGradient(Dtype scale, Dtype* values) const;
  void SetGradient(const Dtype* values);

  /// @brief Begins a step without gradients; those of one that did not end are
  ///        forgotten. whole: UpdateWhole will end it.
  void BeginStep(bool whole);
  /// @brief Sum of squares of this iteration's gradient.
  double SumSquares() const;
  void EndStep(const UpdateStep<Dtype>& step);
  /// @brief The same for a parameter whose layer is not a LazyLayer: updates
  ///        all of it now. Its gradient becomes the update.
  void UpdateWhole(const UpdateStep<Dtype>& step);

 private:
  // What is known of a cell's gradient.
  enum Gradient { NONE, NEW, OLD };  // of this iteration; of the next step
  // FOR_ALL: others look, at the history and the update too.
  enum Purpose { FOR_USE, FOR_ALL };
  // A dense row for a compact gradient. Clearing all of it each time would cost
  // more than filling it, so it is left filled: it is zero outside the columns
  // of column_lists_[list] (list -1: zero everywhere), and rows that share a
  // list overwrite just those. Clear() ends that before another list is used.
  struct Scratch {
    vector<Dtype> row;
    int list;

    void Clear() {
      if (list >= 0) { row.assign(row.size(), Dtype(0)); }
      list = -1;
    }
  };
  void CatchUp(const vector<int>& cells, Purpose purpose,
      const vector<int>* columns, Dtype* part);
  // Steps that a cell must still do.
  struct Pending {
    const UpdateStep<Dtype>* steps;
    int num_steps;
  };
  Pending PendingOf(int cell, Purpose purpose) const;
  /// @brief Takes the memory as it lies now, on the host.
  void FindMemory();
  /// @brief The weights from an offset on, for a replay.
  WeightArrays<Dtype> ArraysFrom(size_t at, Purpose purpose) const;
  void CatchUpCells(const int* cells, int num_cells, Purpose purpose);
  void CatchUpCompact(int row, Purpose purpose);
  /// @brief Calls copy(a row's values that are in the diff, how many) for
  ///        this iteration's gradient, in the order of cells and rows.
  template <typename Copy>
  void ForEachRow(Copy copy) const;
  void Expand(int row, Dtype* gradient);
  double SumSquares(int cell) const;
  void AppendStep(const UpdateStep<Dtype>& step);

  ParameterMemory memory_;
  WeightArrays<Dtype> arrays_;  // where that lies on the host
  UpdateRule<Dtype> rule_;
  CellGrid grid_;
  vector<UpdateStep<Dtype> > steps_;  // those that some cell may have missed
  vector<int> done_;        // of each cell: how many of steps_ it has seen
  vector<char> gradient_;   // of each cell
  // A row's gradient may be compact: its first values are then those of the
  // columns column_lists_[compact_[row]], the others are zero. Else -1.
  vector<int> compact_;
  vector<vector<int> > column_lists_;
  vector<Scratch> scratch_;  // of each thread
  vector<int> all_cells_;
  bool in_step_;  // between BeginStep and EndStep
  shared_ptr<DeviceParameter<Dtype> > device_;
};

}  // namespace caffe

#endif  // CAFFE_APPROX_DROPOUT_UPDATE_LAZY_PARAMETER_HPP_
