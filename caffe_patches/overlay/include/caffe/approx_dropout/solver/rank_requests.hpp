#ifndef CAFFE_APPROX_DROPOUT_SOLVER_RANK_REQUESTS_HPP_
#define CAFFE_APPROX_DROPOUT_SOLVER_RANK_REQUESTS_HPP_

#include "caffe/solver.hpp"

namespace caffe {

/**
 * @brief What signals ask of ranks. A signal reaches each rank in another
 *        iteration, or one rank only, but a snapshot needs all of them: so they
 *        agree in each step, and do it after the same one.
 */
class RankRequests {
 public:
  static RankRequests* Get();

  /// @brief Makes `own` the source of this rank's requests, and returns the
  ///        function that the solver is to ask instead.
  ActionCallback Agree(const ActionCallback& own);
  /// @brief This rank's new requests: 1 where it wants that, else 0.
  void Own(int* stop, int* snapshot);
  /// @brief What all have asked for, for the solver to do after this step.
  void SetAgreed(bool stop, bool snapshot);
  /// @brief While rank 0 tests, it hears its own signals: to stop at once, and
  ///        to take a snapshot after the next step.
  void set_testing(bool testing) { testing_ = testing; }

 private:
  RankRequests() : testing_(false), agreed_(SolverAction::NONE) {}
  SolverAction::Enum Next();

  ActionCallback own_;
  bool testing_;
  bool deferred_snapshot_ = false;
  SolverAction::Enum agreed_;
};

}  // namespace caffe

#endif  // CAFFE_APPROX_DROPOUT_SOLVER_RANK_REQUESTS_HPP_
