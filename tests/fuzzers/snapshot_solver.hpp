#ifndef FUZZ_SNAPSHOT_SOLVER_HPP_
#define FUZZ_SNAPSHOT_SOLVER_HPP_

#include <cstddef>
#include <cstdint>
#include <string>

/// @brief The file of a snapshot that is tried.
enum SnapshotFile { STATE, MODEL };

/// @brief Writes snapshots, and the data, of a small solver that has something
///        of all that a solver state holds: momentum, patterns, data from LMDB,
///        shuffled HDF5 files and images, the generator of mirroring, a hidden
///        state. All lie in the current folder; the tried files are copied into
///        seeds/.
void WriteSnapshots(SnapshotFile file, bool hdf5);

/// @brief Writes a new file.
void WriteBytes(const std::string& name, const uint8_t* bytes, size_t size);

/// @brief Has such a solver read the bytes of a file, and go on for two
///        iterations. A model is read alone, as `caffe train --weights` does,
///        or with its state.
void ReadAndStep(
    SnapshotFile file, bool hdf5, const uint8_t* bytes, size_t size);

#endif  // FUZZ_SNAPSHOT_SOLVER_HPP_
