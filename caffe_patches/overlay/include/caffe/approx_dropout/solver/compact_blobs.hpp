#ifndef CAFFE_APPROX_DROPOUT_SOLVER_COMPACT_BLOBS_HPP_
#define CAFFE_APPROX_DROPOUT_SOLVER_COMPACT_BLOBS_HPP_

#include "caffe/proto/caffe.pb.h"

namespace caffe {

/**
 * @brief Before a net's layers are made: stops, naming both layers, where one
 *        would misread a compact blob, which holds only the units that a
 *        pattern kept. Their number and meaning change with every pass, so a
 *        wrong reader trains, wrongly.
 *
 * A compact blob may be read by
 * - ApproxDropoutInnerProduct, ApproxDropoutConvolution and ApproxDropoutLSTM
 *   with compact_input and that very pattern as the input's own, along the
 *   axis that the units lie along;
 * - layers that treat each value alone and have no parameter per channel (ReLU,
 *   say): their tops are compact by the same pattern;
 * - Pooling, if the units are channels: so are its top's;
 * - Eltwise, if all its bottoms are compact by the same pattern: so is its top;
 * - Silence, HDF5Output and Python layers without tops.
 */
void CheckCompactBlobs(const NetParameter& net);

}  // namespace caffe

#endif  // CAFFE_APPROX_DROPOUT_SOLVER_COMPACT_BLOBS_HPP_
