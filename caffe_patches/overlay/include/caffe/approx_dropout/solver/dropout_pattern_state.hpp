#ifndef CAFFE_APPROX_DROPOUT_SOLVER_DROPOUT_PATTERN_STATE_HPP_
#define CAFFE_APPROX_DROPOUT_SOLVER_DROPOUT_PATTERN_STATE_HPP_

#include "caffe/net.hpp"
#include "caffe/proto/caffe.pb.h"
#include "caffe/util/use_hdf5.hpp"

namespace caffe {

/**
 * @brief What a Solver does with the DropoutPattern layers of its train net:
 *        it seeds them, and keeps them in its snapshots so that a resumed run
 *        draws the patterns that an uninterrupted run would have drawn.
 */

/// @brief Gives every DropoutPattern layer of the net the seed
///        param->random_seed(). If that is not set and the net has such a
///        layer, a fresh seed is written to *param, from which the replicas
///        of a parallel run are made. Replicas in processes of their own
///        (Caffe::multiprocess()) must be given a random_seed.
template <typename Dtype>
void SeedDropoutPatterns(const Net<Dtype>& net, SolverParameter* param);

/// @brief Appends seed, K and number of draws of every DropoutPattern layer,
///        in the order of the layers.
template <typename Dtype>
void SaveDropoutPatterns(const Net<Dtype>& net, SolverState* state);

/// @brief Restores what SaveDropoutPatterns saved, layer by layer, by name.
///        Layers that the state has not (a state of stock Caffe has none)
///        start at draw 0 and those that the net has not are left out, each
///        with a warning that names them; DropoutPatternLayer::FromProto says
///        what becomes of one whose K, family or N has changed.
template <typename Dtype>
void RestoreDropoutPatterns(const Net<Dtype>& net, const SolverState& state);

/// @brief Throws std::runtime_error if an entry of the state is damaged.
void CheckDropoutPatterns(const SolverState& state);

#ifdef USE_HDF5
/// @brief The same in HDF5: group dropout_pattern, in it one group per layer,
///        "0", "1", …, with the datasets layer, family (number of the enum),
///        max_period, seed, draws and probability.
template <typename Dtype>
void SaveDropoutPatternsToHDF5(const Net<Dtype>& net, hid_t file);

template <typename Dtype>
void RestoreDropoutPatternsFromHDF5(const Net<Dtype>& net, hid_t file);

/// @brief What the file says of patterns; throws std::runtime_error if that
///        cannot be read. Fields that are not there stay unset.
void LoadDropoutPatternsFromHDF5(hid_t file, SolverState* state);
#endif  // USE_HDF5

}  // namespace caffe

#endif  // CAFFE_APPROX_DROPOUT_SOLVER_DROPOUT_PATTERN_STATE_HPP_
