# MPI for training in several processes. One source file knows of it, so that a
# build with and one without differ in that file alone.
caffe_option(USE_MPI "Train in several processes, started by mpirun" OFF)
if(USE_MPI)
  find_package(MPI REQUIRED)
  # MPI's own C++ interface is gone from the standard, and not used.
  set(mpi_flags "-DUSE_MPI -DOMPI_SKIP_MPICXX -DMPICH_SKIP_MPICXX")
  foreach(folder ${MPI_C_INCLUDE_PATH})
    set(mpi_flags "${mpi_flags} -isystem ${folder}")
  endforeach()
  set_source_files_properties(
    ${PROJECT_SOURCE_DIR}/src/caffe/approx_dropout/ranks/mpi_ranks.cpp
    PROPERTIES COMPILE_FLAGS "${mpi_flags}")
  list(APPEND Caffe_LINKER_LIBS PRIVATE ${MPI_C_LIBRARIES})
endif()
