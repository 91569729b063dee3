#ifndef CAFFE_TEST_DROPOUT_PATTERN_STATE_UTIL_HPP_
#define CAFFE_TEST_DROPOUT_PATTERN_STATE_UTIL_HPP_

#include <sstream>
#include <string>
#include <vector>

#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"

#include "caffe/caffe.hpp"
#include "caffe/layers/dropout_pattern_layer.hpp"
#include "caffe/sgd_solvers.hpp"
#include "caffe/util/io.hpp"

#include "caffe/test/test_caffe_main.hpp"

namespace caffe {

/// @brief Solvers of a net with two DropoutPattern layers, and their states.
template <typename TypeParam>
class DropoutPatternStateTest : public MultiDeviceTest<TypeParam> {
 protected:
  typedef typename TypeParam::Dtype Dtype;

  DropoutPatternStateTest() { MakeTempDir(&folder_); }

  // A regression net of two layers that drop units, K being given inline.
  string NetText(const string& name2 = "pattern2",
      const string& pattern2 = "probability: 0 probability: 0.5 "
      "probability: 0.5 probability: 0") {
    const string shape = " shape { dim: 8 dim: 6 } ";
    return "layer { name: 'data' type: 'DummyData' top: 'x' top: 't' "
        "dummy_data_param {" + shape + "shape { dim: 8 dim: 3 } "
        "data_filler { type: 'constant' value: 0.7 } } } "
        "layer { name: 'pattern1' type: 'DropoutPattern' top: 'pattern1' "
        "dropout_pattern_param { family: PERIOD probability: 0.25 "
        "probability: 0.25 probability: 0.5 } } "
        "layer { name: '" + name2 + "' type: 'DropoutPattern' "
        "top: 'pattern2' dropout_pattern_param { groups: 2 " + pattern2
        + "} } "
        "layer { name: 'fc1' type: 'ApproxDropoutInnerProduct' bottom: 'x' "
        "bottom: 'pattern1' top: 'h' inner_product_param { num_output: 7 "
        "weight_filler { type: 'gaussian' std: 0.3 } } "
        "approx_dropout_param { compact_output: true } } "
        "layer { name: 'fc2' type: 'ApproxDropoutInnerProduct' bottom: 'h' "
        "bottom: 'pattern2' bottom: 'pattern1' top: 'g' "
        "inner_product_param { num_output: 8 "
        "weight_filler { type: 'gaussian' std: 0.3 } } "
        "approx_dropout_param { compact_input: true compact_output: true } } "
        "layer { name: 'fc3' type: 'ApproxDropoutInnerProduct' bottom: 'g' "
        "bottom: 'pattern2' top: 'y' inner_product_param { num_output: 3 "
        "weight_filler { type: 'gaussian' std: 0.3 } } "
        "approx_dropout_param { pattern: NONE compact_input: true } } "
        "layer { name: 'loss' type: 'EuclideanLoss' bottom: 'y' bottom: 't' }";
  }

  shared_ptr<SGDSolver<Dtype> > MakeSolver(const string& net,
      const string& format, int seed = 3) {
    std::ostringstream text;
    text << "base_lr: 0.05 momentum: 0.9 lr_policy: 'fixed' max_iter: 100 "
        << "snapshot_prefix: '" << folder_ << "/model' snapshot_format: "
        << format << " solver_mode: "
        << (Caffe::mode() == Caffe::GPU ? "GPU" : "CPU")
        << (seed < 0 ? string() : SeedText(seed)) << " net_param { " << net
        << "}";
    SolverParameter param;
    CHECK(google::protobuf::TextFormat::ParseFromString(text.str(), &param));
    return shared_ptr<SGDSolver<Dtype> >(new SGDSolver<Dtype>(param));
  }

  static string SeedText(int seed) {
    std::ostringstream text;
    text << " random_seed: " << seed;
    return text.str();
  }

  string StateFile(int iter, const string& format) {
    std::ostringstream name;
    name << folder_ << "/model_iter_" << iter << ".solverstate"
        << (format == "HDF5" ? ".h5" : "");
    return name.str();
  }

  DropoutPatternState Pattern(const Solver<Dtype>& solver,
      const string& layer) {
    DropoutPatternState pattern;
    dynamic_cast<const DropoutPatternLayer<Dtype>&>(
        *const_cast<Solver<Dtype>&>(solver).net()->layer_by_name(layer))
        .ToProto(&pattern);
    return pattern;
  }

  // Writes the state after two iterations; returns that of its first pattern.
  DropoutPatternState Save(const string& net, const string& format) {
    shared_ptr<SGDSolver<Dtype> > solver = MakeSolver(net, format);
    solver->Step(2);
    solver->Snapshot();
    return Pattern(*solver, "pattern1");
  }

  // What a layer has after that state was restored into the net, whose solver
  // has seed 4.
  DropoutPatternState Resume(const string& net, const string& format,
      const string& layer = "pattern2") {
    shared_ptr<SGDSolver<Dtype> > solver = MakeSolver(net, format, 4);
    solver->Restore(StateFile(2, format).c_str());
    const DropoutPatternState pattern = Pattern(*solver, layer);
    solver->Step(1);
    EXPECT_EQ(Pattern(*solver, layer).draws(), pattern.draws() + 1);
    return pattern;
  }

  vector<Dtype> Weights(const Solver<Dtype>& solver) {
    vector<Dtype> all;
    const vector<Blob<Dtype>*>& blobs =
        const_cast<Solver<Dtype>&>(solver).net()->learnable_params();
    for (int i = 0; i < blobs.size(); ++i) {
      all.insert(all.end(), blobs[i]->cpu_data(),
          blobs[i]->cpu_data() + blobs[i]->count());
    }
    return all;
  }

  string folder_;
};

}  // namespace caffe

#endif  // CAFFE_TEST_DROPOUT_PATTERN_STATE_UTIL_HPP_
