#include "mutate_hdf5.hpp"

#include <hdf5.h>
#include <hdf5_hl.h>

#include <fstream>
#include <random>
#include <string>
#include <vector>

#include "snapshot_solver.hpp"

extern "C" size_t LLVMFuzzerMutate(uint8_t* bytes, size_t size, size_t max);

namespace {

const char kFile[] = "mutated.h5";

struct Change {
  std::mt19937* random;

  int Below(int size) const { return (*random)() % size; }
};

// Deletes a link, gives it another name, or puts something else in its place.
void ChangeLink(const Change& change, hid_t file, const std::string& name) {
  const std::string other =
      change.Below(2) ? name + "0" : std::to_string(change.Below(4));
  if (change.Below(4) == 0) {
    H5Lmove(file, name.c_str(), file, other.c_str(), H5P_DEFAULT, H5P_DEFAULT);
    return;
  }
  H5Ldelete(file, name.c_str(), H5P_DEFAULT);
  const int axes = change.Below(4);
  hsize_t shape[3];
  for (int i = 0; i < axes; ++i) {
    shape[i] = change.Below(5);
  }
  std::vector<double> values(64);
  for (double& value : values) {
    value = change.Below(9) - 2;
  }
  const std::string text(change.Below(20), 'a');
  switch (change.Below(8)) {
    case 0:
      break;
    case 1:
      H5Gclose(H5Gcreate2(
          file, name.c_str(), H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
      break;
    case 2:
      H5LTmake_dataset_string(file, name.c_str(), text.c_str());
      break;
    case 3:
      H5LTmake_dataset(
          file, name.c_str(), axes, shape, H5T_NATIVE_UCHAR, values.data());
      break;
    case 4:
      H5LTmake_dataset(
          file, name.c_str(), axes, shape, H5T_NATIVE_INT64, values.data());
      break;
    default:
      H5LTmake_dataset_double(file, name.c_str(), axes, shape, values.data());
  }
}

// A dataset that says it has more numbers than fit, of which none is in the
// file.
void MakeHuge(const Change& change, hid_t file, const std::string& name) {
  const hsize_t size =
      (hsize_t(1) << (31 + change.Below(32))) + change.Below(9);
  const hsize_t chunk = 16;
  H5Ldelete(file, name.c_str(), H5P_DEFAULT);
  const hid_t space = H5Screate_simple(1, &size, NULL);
  const hid_t chunked = H5Pcreate(H5P_DATASET_CREATE);
  H5Pset_chunk(chunked, 1, &chunk);
  const hid_t types[] = {H5T_NATIVE_DOUBLE, H5T_NATIVE_UCHAR, H5T_NATIVE_INT};
  H5Dclose(H5Dcreate2(file, name.c_str(), types[change.Below(3)], space,
      H5P_DEFAULT, chunked, H5P_DEFAULT));
  H5Pclose(chunked);
  H5Sclose(space);
}

// Other bytes in a dataset of as many.
void ChangeBytes(const Change& change, hid_t file, const std::string& name) {
  const hid_t data = H5Dopen2(file, name.c_str(), H5P_DEFAULT);
  if (data < 0) {
    return;
  }
  const hid_t type = H5Dget_type(data);
  const hsize_t size = H5Dget_storage_size(data);
  if (size > 0 && size < 1 << 20) {
    std::vector<uint8_t> bytes(size);
    H5Dread(data, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, bytes.data());
    bytes.resize(size + 64);
    LLVMFuzzerMutate(bytes.data(), size, size);
    H5Dwrite(data, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, bytes.data());
  }
  H5Tclose(type);
  H5Dclose(data);
}

herr_t AddName(hid_t, const char* name, const H5L_info_t*, void* names) {
  static_cast<std::vector<std::string>*>(names)->push_back(name);
  return 0;
}

void ChangeFile(const Change& change, hid_t file) {
  std::vector<std::string> names;
  H5Lvisit(file, H5_INDEX_NAME, H5_ITER_NATIVE, AddName, &names);
  do {
    if (names.empty()) {
      return;
    }
    const std::string& name = names[change.Below(names.size())];
    const int action = change.Below(8);
    if (action == 0) {
      MakeHuge(change, file, name);
    } else if (action < 5) {
      ChangeBytes(change, file, name);
    } else {
      ChangeLink(change, file, name);
    }
  } while (change.Below(3) == 0);
}

}  // namespace

size_t MutateHDF5(uint8_t* bytes, size_t size, size_t max, unsigned seed) {
  std::mt19937 random(seed);
  WriteBytes(kFile, bytes, size);
  H5Eset_auto2(H5E_DEFAULT, NULL, NULL);  // H5close has set it back
  const hid_t file = H5Fopen(kFile, H5F_ACC_RDWR, H5P_DEFAULT);
  if (file < 0) {
    return size;
  }
  const Change change = {&random};
  ChangeFile(change, file);
  H5Fclose(file);
  std::ifstream changed(kFile, std::ios::binary);
  changed.read(reinterpret_cast<char*>(bytes), max);
  return changed.gcount();
}
