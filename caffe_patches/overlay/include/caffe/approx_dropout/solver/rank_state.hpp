#ifndef CAFFE_APPROX_DROPOUT_SOLVER_RANK_STATE_HPP_
#define CAFFE_APPROX_DROPOUT_SOLVER_RANK_STATE_HPP_

#include <string>
#include <utility>
#include <vector>

#include "caffe/approx_dropout/ranks/ranks.hpp"
#include "caffe/net.hpp"
#include "caffe/proto/caffe.pb.h"

namespace caffe {

/// @brief What must be the same on all ranks: what it is, and its value.
typedef vector<std::pair<string, string> > RankFacts;

/// @brief Ends all ranks if one of them has other facts than rank 0, and says
///        which, where.
void CompareRanks(const RankFacts& facts, const string& where);

/// @brief A checksum as a value.
string FactOf(uint64_t checksum);

/// @brief Adds the weights, layer by layer; not those that no solver changes,
///        such as BatchNorm's statistics, which are each rank's own.
template <typename Dtype>
void AddWeights(const Net<Dtype>& net, RankFacts* facts);

/// @brief Puts another rank's run state into rank 0's: as an entry of a layer of
///        type "rank", whose key it is, packed. Ranks come in their order.
void AddRank(const string& packed, RunState* run);

/// @brief How many ranks a run state is of.
int NumRanks(const RunState& run);

/**
 * @brief The part of a run state that is for one of `size` ranks. Hidden states
 *        of recurrent layers are dealt anew where the state was saved by
 *        another number of ranks: stream s is that of rank s mod size. What
 *        only as many ranks can go on with, other generators of random numbers
 *        than rank 0's, is left out then. Throws std::runtime_error if the
 *        state is damaged.
 */
RunState RunOfRank(const RunState& run, int rank, int size);

}  // namespace caffe

#endif  // CAFFE_APPROX_DROPOUT_SOLVER_RANK_STATE_HPP_
