# Finds OpenCV by its own CMake files or, as some systems package its modules
# without them, by its headers and libraries.
#
#  OpenCV_FOUND, OpenCV_VERSION
#  OpenCV_INCLUDE_DIRS
#  OpenCV_LIBS           those of the components asked for

find_package(OpenCV QUIET NO_MODULE COMPONENTS ${OpenCV_FIND_COMPONENTS})
if(OpenCV_FOUND)
  return()
endif()

find_path(OpenCV_INCLUDE_DIRS opencv2/core/version.hpp PATH_SUFFIXES opencv4)
set(OpenCV_LIBS "")
foreach(component ${OpenCV_FIND_COMPONENTS})
  find_library(OpenCV_${component}_LIBRARY opencv_${component})
  mark_as_advanced(OpenCV_${component}_LIBRARY)
  list(APPEND OpenCV_LIBS ${OpenCV_${component}_LIBRARY})
  if(OpenCV_${component}_LIBRARY)
    set(OpenCV_${component}_FOUND TRUE)
  endif()
endforeach()

set(OpenCV_VERSION "")
if(OpenCV_INCLUDE_DIRS)
  file(STRINGS ${OpenCV_INCLUDE_DIRS}/opencv2/core/version.hpp __lines
       REGEX "define CV_VERSION_(MAJOR|MINOR|REVISION) ")
  string(REGEX MATCHALL "[0-9]+" __numbers "${__lines}")
  string(REPLACE ";" "." OpenCV_VERSION "${__numbers}")
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(OpenCV
  REQUIRED_VARS OpenCV_INCLUDE_DIRS OpenCV_LIBS
  VERSION_VAR OpenCV_VERSION HANDLE_COMPONENTS)
