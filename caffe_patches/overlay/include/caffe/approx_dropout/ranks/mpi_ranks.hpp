#ifndef CAFFE_APPROX_DROPOUT_RANKS_MPI_RANKS_HPP_
#define CAFFE_APPROX_DROPOUT_RANKS_MPI_RANKS_HPP_

#include "caffe/approx_dropout/ranks/ranks.hpp"

namespace caffe {

/// @brief Starts MPI; ends it when what it returns is destroyed. NULL in a
///        build without MPI (CMake's USE_MPI), of which this is the only part.
shared_ptr<Ranks> StartMPI();

}  // namespace caffe

#endif  // CAFFE_APPROX_DROPOUT_RANKS_MPI_RANKS_HPP_
