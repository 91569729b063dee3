#include <string>

#include "caffe/util/missing_layers.hpp"

namespace caffe {

std::string MissingLayerReason(const std::string& type) {
  std::string library;
#ifndef USE_OPENCV
  if (type == "ImageData" || type == "WindowData") {
    library = "OpenCV 3 or 4 (Debian: libopencv-imgcodecs-dev)";
  }
#endif  // !USE_OPENCV
#ifndef WITH_PYTHON_LAYER
  if (type == "Python") {
    library = "Python and Boost.Python (Debian: python3-dev and "
        "libboost-python-dev)";
  }
#endif  // !WITH_PYTHON_LAYER
  if (library.empty()) { return ""; }
  return ", which this build of Caffe lacks: it was built without " + library
      + ". Install that and build Caffe again";
}

}  // namespace caffe
