#ifndef CAFFE_APPROX_DROPOUT_SOLVER_DEAL_STREAMS_HPP_
#define CAFFE_APPROX_DROPOUT_SOLVER_DEAL_STREAMS_HPP_

#include "caffe/proto/caffe.pb.h"

namespace caffe {

/**
 * @brief Where several ranks train: makes HDF5Data layers of a train net with
 *        recurrent layers into HDF5Streams, since their rows are time steps,
 *        of which each rank needs all. A net whose sequences come from a layer
 *        that deals out its records by the piece is refused.
 */
void DealStreams(NetParameter* net);

}  // namespace caffe

#endif  // CAFFE_APPROX_DROPOUT_SOLVER_DEAL_STREAMS_HPP_
