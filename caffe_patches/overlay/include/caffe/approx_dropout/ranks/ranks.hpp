#ifndef CAFFE_APPROX_DROPOUT_RANKS_RANKS_HPP_
#define CAFFE_APPROX_DROPOUT_RANKS_RANKS_HPP_

#include <string>
#include <vector>

#include "caffe/common.hpp"

namespace caffe {

/**
 * @brief The processes that train one net together, each on its share of the
 *        samples: those of `mpirun -np N` or srun.
 *
 * All ranks must call the functions between Broadcast and WaitForSums in the
 * same order, from one thread. There are as many ranks from the start to the
 * end: where one ends early, all do.
 */
class Ranks {
 public:
  virtual ~Ranks() {}

  /// @brief Those of this training, or NULL where this process trains alone.
  static Ranks* Get();
  /// @brief Joins the ranks that this process was started with, if it was not
  ///        started alone. A check fails if this build has no MPI.
  static void Start();
  /// @brief Leaves them, when all have come here. Get() is NULL from then on.
  static void Finish();
  /// @brief Puts others in their place, for tests.
  static void Set(const shared_ptr<Ranks>& ranks);

  virtual int rank() const = 0;  // 0 ... size() - 1
  virtual int size() const = 0;
  virtual int local_rank() const = 0;  // among those of this machine

  /// @brief Gives all ranks rank 0's bytes. They wait for it however long it
  ///        takes: rank 0 may test, or write a snapshot.
  virtual void Broadcast(void* data, size_t bytes) = 0;
  /// @brief The same of a string of any length.
  void Broadcast(string* text);
  /// @brief At rank 0 the texts of all ranks, in their order, else nothing.
  virtual vector<string> Gather(const string& text) = 0;
  /// @brief Replaces the values by their sums over all ranks, the same bits on
  ///        each of them. Until WaitForSums they must not be touched.
  virtual void StartSum(float* values, size_t count) = 0;
  virtual void StartSum(double* values, size_t count) = 0;
  /// @brief Replaces values by whether any rank has more than 0. Waits.
  virtual void TakeAny(vector<char>* values) = 0;
  /// @brief Returns when all sums are there. If it takes longer than the
  ///        timeout, ends all ranks, and says which did not come.
  virtual void WaitForSums() = 0;

  /// @brief Ends all ranks with status 1. May be called by any thread.
  virtual void Abort() = 0;
};

/// @brief Seconds that a rank waits for gradients of the others.
extern int rank_timeout_s;

}  // namespace caffe

#endif  // CAFFE_APPROX_DROPOUT_RANKS_RANKS_HPP_
