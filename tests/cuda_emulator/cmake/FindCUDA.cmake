# Stands in for CMake's module: "CUDA" is the emulator, and kernels are compiled
# by the host's compiler.

get_filename_component(EMULATOR_DIR "${CMAKE_CURRENT_LIST_DIR}/.." ABSOLUTE)

find_path(EMULATOR_CBLAS_INCLUDE cblas.h PATH_SUFFIXES openblas)
find_library(EMULATOR_BLAS openblas)
find_library(EMULATOR_CONTEXT boost_context)
if(NOT EMULATOR_BLAS OR NOT EMULATOR_CONTEXT)
  message(FATAL_ERROR "the emulator needs OpenBLAS and Boost.Context")
endif()

file(GLOB emulator_sources "${EMULATOR_DIR}/src/*.cpp")
add_library(cuda_emulator SHARED ${emulator_sources})
target_include_directories(cuda_emulator PRIVATE "${EMULATOR_DIR}/include"
  "${EMULATOR_DIR}/src" ${EMULATOR_CBLAS_INCLUDE})
# It sees every access of every thread: it is fast, or nothing is.
target_compile_options(cuda_emulator PRIVATE -O3 -g1 -Wall -Wextra
  -fno-sanitize=all)
target_link_libraries(cuda_emulator PRIVATE ${EMULATOR_BLAS}
  ${EMULATOR_CONTEXT})
set_target_properties(cuda_emulator PROPERTIES
  LIBRARY_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/lib")

set(CUDA_FOUND TRUE)
set(CUDA_VERSION 12.4)
set(CUDA_INCLUDE_DIRS "${EMULATOR_DIR}/include")
# The file: as a target it would have to be installed with Caffe.
set(CUDA_CUDART_LIBRARY "${CMAKE_BINARY_DIR}/lib/libcuda_emulator.so")
set(CUDA_CUBLAS_LIBRARIES "")

macro(find_cuda_helper_libs)
endmacro()
macro(cuda_include_directories)
endmacro()

# Macros of this header launch kernels.
set(header caffe/util/math_functions.hpp)
execute_process(COMMAND "${PYTHON_EXECUTABLE}"
  "${EMULATOR_DIR}/rewrite_launches.py"
  "${PROJECT_SOURCE_DIR}/include/${header}"
  "${CMAKE_BINARY_DIR}/rewritten/${header}" COMMAND_ERROR_IS_FATAL ANY)

# Some of Caffe's headers are others in kernels.
set(header caffe/util/gpu_util.cuh)
configure_file("${EMULATOR_DIR}/include/${header}"
  "${CMAKE_BINARY_DIR}/rewritten/${header}" COPYONLY)

# The tsan pass of the compiler turns each load and store into a call, which
# goes to the emulator instead of libtsan. Without scalar replacement of
# aggregates an access of 16 bytes stays one. Indices of arrays whose size the
# compiler knows, a thread's own among them, are checked in the same way. Other
# sanitizers are the host's.
set(EMULATOR_KERNEL_OPTIONS -fno-sanitize=all -fsanitize=thread
  -fsanitize=bounds-strict
  --param=tsan-instrument-func-entry-exit=0 -fno-tree-sra -fno-plt -g1
  -D__CUDACC__ -D__CUDACC_VER_MAJOR__=12 -D__CUDACC_VER_MINOR__=4
  -iquote "${CMAKE_BINARY_DIR}/rewritten")

# Most of the time to compile a file goes into headers; this build is made where
# nothing is cached yet. Caffe's own kernels go together too; a mutant is a
# change of one of our files.
set(CMAKE_UNITY_BUILD ON)
set(CMAKE_UNITY_BUILD_BATCH_SIZE 8)

function(emulator_rewrite kernels source)
  add_custom_command(OUTPUT "${source}"
    COMMAND "${PYTHON_EXECUTABLE}" "${EMULATOR_DIR}/rewrite_launches.py"
      "${kernels}" "${source}"
    DEPENDS "${kernels}" "${EMULATOR_DIR}/rewrite_launches.py" cuda_emulator)
endfunction()

# Gives sources in place of objects: Caffe adds both to its targets alike.
macro(cuda_compile sources_variable)
  set(${sources_variable})
  set(batch)
  foreach(kernels ${ARGN})
    get_filename_component(name "${kernels}" NAME)
    set(source "${CMAKE_CURRENT_BINARY_DIR}/${name}.cpp")
    emulator_rewrite("${kernels}" "${source}")
    if("${kernels}" MATCHES "approx_dropout|cuda_emulator")
      list(APPEND ${sources_variable} "${source}")
    else()
      list(APPEND batch "${source}")
    endif()
  endforeach()
  emulator_batches(${sources_variable} ${batch})
  set_source_files_properties(${${sources_variable}} PROPERTIES
    COMPILE_OPTIONS "${EMULATOR_KERNEL_OPTIONS}")
endmacro()

# Adds files of eight sources each.
macro(emulator_batches sources_variable)
  set(number 0)
  set(text "")
  set(parts)
  foreach(source ${ARGN} END)
    if(NOT source STREQUAL END)
      string(APPEND text "#include \"${source}\"\n")
      list(APPEND parts "${source}")
    endif()
    list(LENGTH parts length)
    if(length EQUAL 8 OR (source STREQUAL END AND parts))
      set(all "${CMAKE_CURRENT_BINARY_DIR}/kernels_${number}.cpp")
      file(CONFIGURE OUTPUT "${all}" CONTENT "${text}")
      set_source_files_properties("${all}" PROPERTIES OBJECT_DEPENDS "${parts}")
      list(APPEND ${sources_variable} "${all}")
      math(EXPR number "${number} + 1")
      set(text "")
      set(parts)
    endif()
  endforeach()
endmacro()

# Faults for the emulator to find, and what it is to count.
foreach(program faults counted)
  cuda_compile(sources "${EMULATOR_DIR}/${program}.cu")
  set(program emulator_${program})
  add_executable(${program} EXCLUDE_FROM_ALL ${sources})
  target_include_directories(${program} PRIVATE "${EMULATOR_DIR}/include")
  target_link_libraries(${program} PRIVATE cuda_emulator)
endforeach()
