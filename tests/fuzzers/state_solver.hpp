#ifndef FUZZ_STATE_SOLVER_HPP_
#define FUZZ_STATE_SOLVER_HPP_

#include <caffe/sgd_solvers.hpp>
#include <cstdint>
#include <string>

/**
 * @brief A small solver that has something of all that a solver state holds:
 *        momentum, patterns, data from LMDB, shuffled HDF5 files and images,
 *        the generator of mirroring, a hidden state.
 *
 * Its data lie in the current folder, and so do the snapshots.
 */
caffe::shared_ptr<caffe::SGDSolver<float> > MakeStateSolver(bool hdf5);

/// @brief Writes the solver's data and some snapshots; their states are copied
///        into seeds/.
void WriteStates(bool hdf5);

/// @brief Writes a new file.
void WriteBytes(const std::string& name, const uint8_t* bytes, size_t size);

/// @brief Restores a solver from the bytes of a state, and goes on for two
///        iterations.
void RestoreAndStep(bool hdf5, const uint8_t* bytes, size_t size);

#endif  // FUZZ_STATE_SOLVER_HPP_
