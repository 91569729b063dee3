# Switches off what Caffe can do without where the system lacks a library, and
# says what this build then lacks.

# caffe_optional(<option> <what lacks without> <what to install> <packages>)
macro(caffe_optional option lacks install)
  foreach(package ${ARGN})
    if(${option} AND NOT ${package}_FOUND)
      find_package(${package} QUIET)
      if(NOT ${package}_FOUND)
        set(${option} OFF)
        message(STATUS "This build lacks ${lacks}: no ${install}")
      endif()
    endif()
  endforeach()
endmacro()

if(USE_OPENCV)
  find_package(OpenCV QUIET COMPONENTS core imgproc imgcodecs)
endif()
caffe_optional(USE_OPENCV
  "ImageData, WindowData, encoded records and the image tools"
  "OpenCV 3 or 4 (Debian: libopencv-imgcodecs-dev)" OpenCV)
caffe_optional(USE_LEVELDB "LevelDB as data_param's backend"
  "LevelDB and Snappy (Debian: libleveldb-dev libsnappy-dev)" LevelDB Snappy)
caffe_optional(USE_NCCL "training on several GPUs"
  "NCCL (NCCL_DIR names its folder)" NCCL)
