#ifndef CAFFE_TEST_RANKS_UTIL_HPP_
#define CAFFE_TEST_RANKS_UTIL_HPP_

#include <string>
#include <vector>

#include "caffe/approx_dropout/ranks/ranks.hpp"
#include "gtest/gtest.h"

namespace caffe {

/// @brief Rank 0 of some that all do what it does, without MPI: sums are
///        multiples, texts are copies.
class EqualRanks : public Ranks {
 public:
  explicit EqualRanks(int size, int rank = 0)
      : size_(size), rank_(rank), values_(0), messages_(0) {}
  virtual int rank() const { return rank_; }
  virtual int size() const { return size_; }
  virtual int local_rank() const { return rank_; }
  using Ranks::Broadcast;
  virtual void Broadcast(void* data, size_t bytes) {}
  virtual vector<string> Gather(const string& text) {
    return vector<string>(size_, text);
  }
  virtual void StartSum(float* values, size_t count) { Sum(values, count); }
  virtual void StartSum(double* values, size_t count) { Sum(values, count); }
  virtual void TakeAny(vector<char>* values) {}
  virtual void WaitForSums() {}
  virtual void Abort() { ADD_FAILURE() << "Abort"; }

  size_t values() const { return values_; }  // summed so far
  int messages() const { return messages_; }

 private:
  template <typename Dtype>
  void Sum(Dtype* values, size_t count) {
    for (size_t i = 0; i < count; ++i) {
      values[i] *= size_;
    }
    values_ += count;
    ++messages_;
  }

  int size_, rank_;
  size_t values_;
  int messages_;
};

/// @brief Puts ranks in the process's place while it lives.
struct WithRanks {
  explicit WithRanks(const shared_ptr<Ranks>& ranks) { Ranks::Set(ranks); }
  ~WithRanks() { Ranks::Finish(); }
};

}  // namespace caffe

#endif  // CAFFE_TEST_RANKS_UTIL_HPP_
