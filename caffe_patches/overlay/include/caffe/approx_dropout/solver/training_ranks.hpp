#ifndef CAFFE_APPROX_DROPOUT_SOLVER_TRAINING_RANKS_HPP_
#define CAFFE_APPROX_DROPOUT_SOLVER_TRAINING_RANKS_HPP_

#include <string>

#include "caffe/solver.hpp"

namespace caffe {

/**
 * @brief `caffe train` in several processes, from the start to the end; does
 *        nothing in one that was started alone.
 *
 * Rank 0 reads the snapshot, logs, tests and writes snapshots. It makes its
 * solver before the others do, so that what is wrong with the solver or the
 * net is said once.
 */
class TrainingRanks {
 public:
  /// @brief Starts MPI. On other ranks than 0 waits for rank 0's Agree.
  TrainingRanks();
  /// @brief Ends all ranks, unless Finish was called.
  ~TrainingRanks();

  /// @brief Before the solver is made: gives all the same seed and name of a
  ///        snapshot, and each rank its own GPU, if `gpu` asks for GPUs.
  void Prepare(SolverParameter* param, string* snapshot, string* gpu);
  /// @brief Whether this process reads the snapshot: rank 0.
  bool restores() const;
  /// @brief The function that the solver is to ask for requests.
  ActionCallback Requests(const ActionCallback& own);
  /// @brief After the solver is made: compares solver, net, data and program
  ///        with rank 0's. Not the same: all ranks end.
  void Agree(Solver<float>* solver);
  /// @brief After the snapshot is read: takes rank 0's weights and state, and
  ///        says how many samples a step has.
  void Share(Solver<float>* solver);
  /// @brief At the end: says what was exchanged.
  void Finish();

 private:
  // What rank 0 tells the others once it has a solver.
  string seed_, snapshot_;
};

}  // namespace caffe

#endif  // CAFFE_APPROX_DROPOUT_SOLVER_TRAINING_RANKS_HPP_
