#ifndef CAFFE_APPROX_DROPOUT_SOLVER_SNAPSHOT_FILES_HPP_
#define CAFFE_APPROX_DROPOUT_SOLVER_SNAPSHOT_FILES_HPP_

#include <stdint.h>

#include <string>

#ifdef USE_HDF5
#include "hdf5.h"
#endif

#include "google/protobuf/message.h"

#include "caffe/common.hpp"

namespace caffe {

/**
 * @brief How a solver writes model and state, so that a full disk or a kill at
 *        any moment leaves every earlier pair whole: both are written beside,
 *        and synced, before either gets its name.
 *
 * What cannot be written throws std::runtime_error with path and reason, and
 * leaves nothing behind.
 */

/// @brief The name under which a file is written.
string PartOf(const string& path);

uint64_t FileBytes(const string& path);

/// @brief Writes the file through to the disk.
void WriteSynced(const string& content, const string& path);
void WriteSynced(const google::protobuf::Message& content, const string& path);

/// @brief Writes the state, and gives the model, which is there as
///        PartOf(model_file), and then the state their names.
void PublishSnapshot(const string& state, const string& state_file,
    const string& model_file);
void PublishSnapshot(const google::protobuf::Message& state,
    const string& state_file, const string& model_file);

#ifdef USE_HDF5
/// @brief An HDF5 file in memory: the library meets no disk that is full.
hid_t CreateHDF5InMemory();

/// @brief Closes it, and returns what would stand on the disk.
string CloseHDF5InMemory(hid_t file);
#endif  // USE_HDF5

}  // namespace caffe

#endif  // CAFFE_APPROX_DROPOUT_SOLVER_SNAPSHOT_FILES_HPP_
