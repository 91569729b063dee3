#ifndef CAFFE_TEST_RUN_STATE_UTIL_HPP_
#define CAFFE_TEST_RUN_STATE_UTIL_HPP_

#include <string>
#include <vector>

#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"

#include "caffe/caffe.hpp"
#include "caffe/sgd_solvers.hpp"
#include "caffe/util/db.hpp"
#include "caffe/util/io.hpp"

#include "caffe/test/test_caffe_main.hpp"

namespace caffe {

/// @brief What is logged while it lives.
class LogText : public google::LogSink {
 public:
  LogText() { google::AddLogSink(this); }
  virtual ~LogText() { google::RemoveLogSink(this); }
  virtual void send(google::LogSeverity severity, const char*, const char*,
      int, const struct ::tm*, const char* message, size_t size) {
    text_ += string(message, size) + "\n";
  }
  bool Has(const string& text) const {
    return text_.find(text) != string::npos;
  }
  const string& text() const { return text_; }

 private:
  string text_;
};

/// @brief Trainings in a temporary folder that are stopped and resumed.
template <typename Dtype>
class RunStateTestBase : public CPUDeviceTest<Dtype> {
 protected:
  RunStateTestBase() { MakeTempDir(&folder_); }

  // Datums of 1 x 4 x 4 random bytes, with labels 0 ... 3. The keys are their
  // numbers, from `first` on.
  void WriteDB(const string& name, DataParameter_DB backend, int first,
      int size, int seed = 5) {
    Caffe::set_random_seed(seed);
    shared_ptr<db::DB> db(db::GetDB(backend));
    db->Open(folder_ + "/" + name, db::NEW);
    shared_ptr<db::Transaction> transaction(db->NewTransaction());
    for (int i = 0; i < first + size; ++i) {
      Datum datum;
      datum.set_channels(1);
      datum.set_height(4);
      datum.set_width(4);
      datum.set_label(caffe_rng_rand() % 4);
      for (int j = 0; j < 16; ++j) {
        datum.mutable_data()->push_back(caffe_rng_rand() % 256);
      }
      if (i < first) { continue; }
      transaction->Put(format_int(i, 8), datum.SerializeAsString());
    }
    transaction->Commit();
  }

  string DataLayerText(const string& source, const string& backend,
      int batch, const string& more = "", const string& name = "data") {
    return "layer { name: '" + name + "' type: 'Data' top: 'x' top: 'label' "
        "data_param { source: '" + folder_ + "/" + source + "' backend: "
        + backend + " batch_size: " + format_int(batch) + " } " + more + "} ";
  }

  // Two layers, with Caffe's Dropout between them, behind x and label.
  string ClassifierText() {
    return "layer { name: 'fc1' type: 'InnerProduct' bottom: 'x' top: 'h' "
        "inner_product_param { num_output: 6 "
        "weight_filler { type: 'gaussian' std: 0.1 } } } "
        "layer { name: 'drop' type: 'Dropout' bottom: 'h' top: 'h' } "
        "layer { name: 'fc2' type: 'InnerProduct' bottom: 'h' top: 'y' "
        "inner_product_param { num_output: 4 "
        "weight_filler { type: 'gaussian' std: 0.1 } } } "
        "layer { name: 'loss' type: 'SoftmaxWithLoss' bottom: 'y' "
        "bottom: 'label' } ";
  }

  shared_ptr<SGDSolver<Dtype> > MakeSolver(const string& net, int seed,
      const string& more = "", const string& format = "BINARYPROTO",
      const string& type = "SGD") {
    SolverParameter param;
    CHECK(google::protobuf::TextFormat::ParseFromString(
        "base_lr: 0.05 momentum: 0.9 lr_policy: 'fixed' "
        "snapshot_prefix: '" + folder_ + "/model' snapshot_format: " + format
        + " solver_mode: CPU random_seed: " + format_int(seed) + " " + more
        + " net_param { name: 'net' " + net + "}", &param));
    param.set_type(type);
    return shared_ptr<SGDSolver<Dtype> >(static_cast<SGDSolver<Dtype>*>(
        SolverRegistry<Dtype>::CreateSolver(param)));
  }

  string StateFile(int iter, const string& format = "BINARYPROTO") {
    return folder_ + "/model_iter_" + format_int(iter) + ".solverstate"
        + (format == "HDF5" ? ".h5" : "");
  }

  string ModelFile(int iter, const string& format = "BINARYPROTO") {
    return folder_ + "/model_iter_" + format_int(iter) + ".caffemodel"
        + (format == "HDF5" ? ".h5" : "");
  }

  vector<Dtype> Weights(Solver<Dtype>* solver) {
    vector<Dtype> all;
    const vector<Blob<Dtype>*>& blobs = solver->net()->learnable_params();
    for (int i = 0; i < blobs.size(); ++i) {
      all.insert(all.end(), blobs[i]->cpu_data(),
          blobs[i]->cpu_data() + blobs[i]->count());
    }
    return all;
  }

  // n + snapshot + restore in a new solver + n steps are 2n steps, bit for
  // bit, in both formats; what the solver state says is needed for it.
  void ExpectSameRun(const string& net, const string& more = "", int n = 7) {
    const string kFormats[] = {"BINARYPROTO", "HDF5"};
    for (int f = 0; f < 2; ++f) {
      shared_ptr<SGDSolver<Dtype> > whole =
          MakeSolver(net, 3, more, kFormats[f]);
      whole->Step(n);
      whole->Snapshot();
      whole->Step(n);
      shared_ptr<SGDSolver<Dtype> > resumed =
          MakeSolver(net, 4, more, kFormats[f]);
      resumed->Restore(StateFile(n, kFormats[f]).c_str());
      resumed->Step(n);
      EXPECT_TRUE(Weights(resumed.get()) == Weights(whole.get()))
          << kFormats[f];
      // A solver that has gone on for a while goes back.
      resumed->Restore(StateFile(n, kFormats[f]).c_str());
      resumed->Step(n);
      EXPECT_TRUE(Weights(resumed.get()) == Weights(whole.get()))
          << kFormats[f];
    }
    SolverState state;
    ReadProtoFromBinaryFileOrDie(StateFile(n), &state);
    state.clear_run();
    WriteProtoToBinaryFile(state, StateFile(n));
    shared_ptr<SGDSolver<Dtype> > stock = MakeSolver(net, 4, more);
    stock->Restore(StateFile(n).c_str());
    stock->Step(n);
    shared_ptr<SGDSolver<Dtype> > whole = MakeSolver(net, 3, more);
    whole->Step(2 * n);
    EXPECT_FALSE(Weights(stock.get()) == Weights(whole.get()));
  }

  string folder_;
};

}  // namespace caffe

#endif  // CAFFE_TEST_RUN_STATE_UTIL_HPP_
