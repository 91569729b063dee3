#ifndef CAFFE_UTIL_TF32_HPP_
#define CAFFE_UTIL_TF32_HPP_

#include <stdlib.h>

#include <string>

namespace caffe {

/// @brief Whether float32 factors may be rounded to TF32, with 10 bits of
///        mantissa, on tensor cores: CAFFE_ALLOW_TF32=1.
inline bool AllowsTF32() {
  const char* allowed = getenv("CAFFE_ALLOW_TF32");
  return allowed && std::string(allowed) == "1";
}

}  // namespace caffe

#endif  // CAFFE_UTIL_TF32_HPP_
