#ifndef CAFFE_UTIL_MISSING_LAYERS_HPP_
#define CAFFE_UTIL_MISSING_LAYERS_HPP_

#include <string>

namespace caffe {

/**
 * @brief Why this build has no layer of the type, and what to install; empty
 *        for a type that no build has.
 */
std::string MissingLayerReason(const std::string& type);

}  // namespace caffe

#endif  // CAFFE_UTIL_MISSING_LAYERS_HPP_
