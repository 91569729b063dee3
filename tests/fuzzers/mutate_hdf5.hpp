#ifndef FUZZ_MUTATE_HDF5_HPP_
#define FUZZ_MUTATE_HDF5_HPP_

#include <cstddef>
#include <cstdint>

/// @brief Changes datasets and groups of an HDF5 file, through HDF5: the file
///        stays whole and holds the wrong things. Other bytes end in faults of
///        HDF5 itself.
/// @return its new size; a mutator of libFuzzer.
size_t MutateHDF5(uint8_t* bytes, size_t size, size_t max, unsigned seed);

#endif  // FUZZ_MUTATE_HDF5_HPP_
