#ifndef CAFFE_APPROX_DROPOUT_SOLVER_PATTERN_FAMILY_HPP_
#define CAFFE_APPROX_DROPOUT_SOLVER_PATTERN_FAMILY_HPP_

#include "caffe/proto/caffe.pb.h"

namespace caffe {

/// @brief Before a net's layers are made: gives each DropoutPattern layer
///        whose K a PatternSearchLayer of the Python package searches the
///        family of that search, also through layers of one bottom between
///        them. Stops if the layer names another one, since K would then drop
///        at another rate than it was searched for.
void SetPatternFamilies(NetParameter* net);

}  // namespace caffe

#endif  // CAFFE_APPROX_DROPOUT_SOLVER_PATTERN_FAMILY_HPP_
