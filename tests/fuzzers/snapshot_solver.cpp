#include "snapshot_solver.hpp"

#include <google/protobuf/text_format.h>
#include <hdf5.h>
#include <hdf5_hl.h>

#include <boost/filesystem.hpp>
#include <fstream>
#include <numeric>
#include <string>

#include "caffe/caffe.hpp"
#include "caffe/sgd_solvers.hpp"
#include "caffe/util/db.hpp"
#include "refusal.hpp"

namespace {

using namespace caffe;  // NOLINT(build/namespaces)

const char kSolver[] = R"(
base_lr: 0.05 momentum: 0.9 lr_policy: "fixed" solver_mode: CPU random_seed: 3
snapshot_prefix: "fuzz" net_param {
  layer { name: "images" type: "Data" top: "images" top: "label"
    transform_param { mirror: true crop_size: 3 }
    data_param { source: "images" backend: LMDB batch_size: 2 prefetch: 1 } }
  layer { name: "words" type: "HDF5Data" top: "words" top: "cont"
    hdf5_data_param { source: "words.txt" batch_size: 2 shuffle: true } }
  layer { name: "pictures" type: "ImageData" top: "pictures" top: "number"
    image_data_param { source: "pictures.txt" batch_size: 2 shuffle: true } }
  layer { name: "unused" type: "Silence" bottom: "pictures" bottom: "number" }
  layer { name: "k1" type: "DropoutPattern" top: "k1"
    dropout_pattern_param { probability: 0.25 probability: 0.75 } }
  layer { name: "k2" type: "DropoutPattern" top: "k2"
    dropout_pattern_param { family: PERIOD probability: 0.5 probability: 0.5 } }
  layer { name: "fc1" type: "ApproxDropoutInnerProduct" bottom: "images"
    bottom: "k1" top: "fc1" inner_product_param { num_output: 4
      weight_filler { type: "xavier" } }
    approx_dropout_param { compact_output: true } }
  layer { name: "fc2" type: "ApproxDropoutInnerProduct" bottom: "fc1"
    bottom: "k1" top: "fc2" inner_product_param { num_output: 3
      weight_filler { type: "xavier" } }
    approx_dropout_param { pattern: NONE compact_input: true } }
  layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc2" bottom: "label" }
  layer { name: "lstm" type: "ApproxDropoutLSTM" bottom: "words" bottom: "cont"
    bottom: "k2" top: "lstm"
    recurrent_param { num_output: 4 weight_filler { type: "xavier" } } }
  layer { name: "drop" type: "Dropout" bottom: "lstm" top: "drop"
    loss_weight: 1 } })";

string SnapshotName(SnapshotFile file, bool hdf5, const string& number) {
  return "fuzz_iter_" + number +
         (file == STATE ? ".solverstate" : ".caffemodel") + (hdf5 ? ".h5" : "");
}

void WriteImages() {
  boost::filesystem::remove_all("images");
  shared_ptr<db::DB> db(db::GetDB(DataParameter_DB_LMDB));
  db->Open("images", db::NEW);
  shared_ptr<db::Transaction> transaction(db->NewTransaction());
  for (int i = 0; i < 5; ++i) {
    Datum datum;
    datum.set_channels(1);
    datum.set_height(4);
    datum.set_width(4);
    datum.set_label(i % 3);
    datum.set_data(string(16, 'a' + i));
    transaction->Put(format_int(i, 8), datum.SerializeAsString());
  }
  transaction->Commit();
}

// Five rows: two time steps of one sequence each, of three numbers.
void WriteWords(const string& name) {
  const hid_t file =
      H5Fcreate(name.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
  const hsize_t words[] = {5, 1, 3};
  const hsize_t cont[] = {5, 1};
  const float numbers[15] = {0.5, -0.5, 1};
  const float one[5] = {0, 1, 1, 1, 1};
  CHECK_GE(H5LTmake_dataset_float(file, "words", 3, words, numbers), 0);
  CHECK_GE(H5LTmake_dataset_float(file, "cont", 2, cont, one), 0);
  H5Fclose(file);
}

void WritePictures() {
  std::ofstream list("pictures.txt");
  for (char c = 'a'; c < 'd'; ++c) {
    const string name = string(1, c) + ".ppm";
    std::ofstream(name.c_str()) << "P3 2 1 255 1 2 3 4 5 6\n";
    list << name << " 0\n";
  }
}

shared_ptr<SGDSolver<float> > MakeSolver(bool hdf5) {
  SolverParameter param;
  CHECK(google::protobuf::TextFormat::ParseFromString(kSolver, &param));
  param.set_snapshot_format(hdf5 ? SolverParameter_SnapshotFormat_HDF5
                                 : SolverParameter_SnapshotFormat_BINARYPROTO);
  return shared_ptr<SGDSolver<float> >(new SGDSolver<float>(param));
}

}  // namespace

void WriteSnapshots(SnapshotFile file, bool hdf5) {
  boost::filesystem::create_directory("seeds");
  WriteImages();
  WritePictures();
  WriteWords("words1.h5");
  WriteWords("words2.h5");
  std::ofstream("words.txt") << "words1.h5\nwords2.h5\n";
  const shared_ptr<SGDSolver<float> > solver = MakeSolver(hdf5);
  for (int i = 2; i <= 6; i += 2) {
    solver->Step(2);
    solver->Snapshot();
    const string name = SnapshotName(file, hdf5, format_int(i));
    boost::filesystem::remove("seeds/" + name);
    boost::filesystem::copy_file(name, "seeds/" + name);
  }
}

void WriteBytes(const std::string& name, const uint8_t* bytes, size_t size) {
  // HDF5 takes the same file for one that it has open.
  boost::filesystem::remove(name);
  std::ofstream(name.c_str(), std::ios::binary)
      .write(reinterpret_cast<const char*>(bytes), size);
}

void ReadAndStep(
    SnapshotFile file, bool hdf5, const uint8_t* bytes, size_t size) {
  const string name = SnapshotName(file, hdf5, "2");
  WriteBytes(name, bytes, size);
  const bool alone = std::accumulate(bytes, bytes + size, 0u) % 2;
  const shared_ptr<SGDSolver<float> > solver = MakeSolver(hdf5);
  const bool read = Refusal::Reads([&] {
    if (file == MODEL && alone) {
      solver->net()->CopyTrainedLayersFrom(name);
    } else {
      solver->Restore(SnapshotName(STATE, hdf5, "2").c_str());
    }
    solver->Step(2);
  });
  // A jump leaves files open.
  if (!read) {
    H5close();
  }
}
