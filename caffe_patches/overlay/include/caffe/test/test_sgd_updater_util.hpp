#ifndef CAFFE_TEST_SGD_UPDATER_UTIL_HPP_
#define CAFFE_TEST_SGD_UPDATER_UTIL_HPP_

#include <string>
#include <vector>

#include "caffe/caffe.hpp"
#include "caffe/sgd_solvers.hpp"
#include "caffe/test/test_approx_dropout_util.hpp"
#include "caffe/test/test_caffe_main.hpp"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"

namespace caffe {

/// @brief Small nets whose parameters are updated lazily, and their trainings.
template <typename TypeParam>
class SGDUpdaterTestBase : public MultiDeviceTest<TypeParam> {
 protected:
  typedef typename TypeParam::Dtype Dtype;

  static string Data(int inputs) {
    std::ostringstream text;
    text << "layer { name: 'data' type: 'DummyData' top: 'x' top: 't' "
         << "dummy_data_param { shape { dim: 6 dim: " << inputs << " } "
         << "shape { dim: 6 dim: 3 } data_filler { type: 'gaussian' } "
         << "data_filler { type: 'gaussian' } } } ";
    return text.str();
  }

  static string Pattern(const string& name, const string& text) {
    return "layer { name: '" + name + "' type: 'DropoutPattern' top: '" + name +
           "' dropout_pattern_param {" + text + "} } ";
  }

  static string Product(const string& name, const string& bottoms, int outputs,
      const string& approx, const string& more = "") {
    std::ostringstream text;
    text << "layer { name: '" << name << "' type: 'ApproxDropoutInnerProduct' "
         << bottoms << " top: '" << name
         << "' inner_product_param { num_output:" << outputs
         << " weight_filler { type: 'gaussian' std: 0.2 } } "
         << "approx_dropout_param {" << approx << "} " << more << "} ";
    return text.str();
  }

  static string Loss(const string& bottom) {
    return "layer { name: 'loss' type: 'EuclideanLoss' top: 'loss' bottom: '" +
           bottom + "' bottom: 't' }";
  }

  static string RowNet() {
    return Data(20) +
           Pattern("p",
               "probability: 0 probability: 0.7 probability: 0.3 "
               "probability: 0") +
           Pattern("q",
               "family: PERIOD probability: 0.3 probability: 0.3 "
               "probability: 0.4") +
           Product("a", "bottom: 'x' bottom: 'p'", 24, "compact_output: true") +
           Product("b", "bottom: 'a' bottom: 'q' bottom: 'p'", 17,
               "compact_input: true compact_output: true",
               "param { lr_mult: 2 decay_mult: 0.5 } param { lr_mult: 1 }") +
           Product("c", "bottom: 'b' bottom: 'q'", 3,
               "pattern: NONE compact_input: true") +
           Loss("c");
  }

  static string GroupNet() {
    return Data(20) +
           Pattern("p",
               "groups: 3 probability: 0 probability: 0.7 "
               "probability: 0.3 probability: 0") +
           Product("a", "bottom: 'x' bottom: 'p'", 24, "compact_output: true") +
           Product("b", "bottom: 'a' bottom: 'p' bottom: 'p'", 16,
               "compact_input: true") +
           Product("c", "bottom: 'b'", 3, "pattern: NONE") + Loss("c");
  }

  // Products with every pattern, a ReLU behind each; then one row of tiles.
  static string RectifiedNet() {
    const string kReLU = "layer { name: 'r' type: 'ReLU' ";
    return Data(20) +
           Pattern("p", "probability: 0 probability: 0.7 probability: 0.3") +
           Pattern("g",
               "groups: 3 probability: 0 probability: 1 "
               "probability: 0") +
           Product("a", "bottom: 'x' bottom: 'p'", 24, "compact_output: true") +
           kReLU + "bottom: 'a' top: 'a' } " +
           Product("b", "bottom: 'a' bottom: 'p' bottom: 'p'", 21,
               "compact_input: true") +
           kReLU + "bottom: 'b' top: 'b' } " +
           Product("c", "bottom: 'b' bottom: 'g'", 18, "") + kReLU +
           "bottom: 'c' top: 'c' } " +
           Product("d", "bottom: 'c' bottom: 'p'", 40,
               "pattern: TILE tile_size: 16") +
           kReLU + "bottom: 'd' top: 'd' } " +
           Product("e", "bottom: 'd' bottom: 'p'", 14,
               "pattern: TILE tile_size: 16") +
           Product("f", "bottom: 'e'", 3, "pattern: NONE") + Loss("f");
  }

  // Some passes keep every tile.
  static string TileNet(const string& groups) {
    return Data(37) +
           Pattern("p", groups +
                            "probability: 0 probability: 0.6 "
                            "probability: 0.3 probability: 0.1") +
           Product("a", "bottom: 'x' bottom: 'p'", 45,
               "pattern: TILE tile_size: 16") +
           Product("c", "bottom: 'a'", 3, "pattern: NONE") + Loss("c");
  }

  // A lazily updated product whose outputs, two of three at a time, are to
  // have this value.
  static string Tower(const string& name, const string& value) {
    return "layer { name: '" + name + "x' type: 'DummyData' top: '" + name +
           "x' top: '" + name +
           "t' dummy_data_param { "
           "shape { dim: 6 dim: 20 } shape { dim: 6 dim: 3 } "
           "data_filler { value: 1 } data_filler { value: " +
           value + " } } } " +
           Pattern(name + "p", "probability: 0 probability: 1 probability: 0") +
           Product(
               name, "bottom: '" + name + "x' bottom: '" + name + "p'", 3, "") +
           "layer { name: '" + name + "loss' type: 'EuclideanLoss' bottom: '" +
           name + "' bottom: '" + name + "t' }";
  }

  static string EmbedNet() {
    return "layer { name: 'data' type: 'DummyData' top: 'w' top: 't' "
           "dummy_data_param { shape { dim: 6 } shape { dim: 6 dim: 3 } "
           "data_filler { type: 'uniform' min: 0 max: 40 } "
           "data_filler { type: 'gaussian' } } } "
           // Words are whole numbers.
           "layer { name: 'word' type: 'Threshold' bottom: 'w' top: 'word' "
           "threshold_param { threshold: 20 } } "
           "layer { name: 'e' type: 'Embed' bottom: 'word' top: 'e' "
           "embed_param { num_output: 9 input_dim: 41 "
           "weight_filler { type: 'gaussian' } } } "
           "layer { name: 'c' type: 'InnerProduct' bottom: 'e' top: 'c' "
           "inner_product_param { num_output: 3 "
           "weight_filler { type: 'gaussian' } } } " +
           Loss("c");
  }

  static string Momentum() {
    return "base_lr: 0.002 lr_policy: 'inv' gamma: 0.01 power: 0.75 "
           "momentum: 0.9 weight_decay: 0.01 ";
  }

  // Rows, tiles and a product that is updated at once; another layer may come
  // between the first two.
  static string MixedNet(const string& layer = "") {
    return Data(20) +
           Pattern("p", "probability: 0 probability: 0.7 probability: 0.3") +
           Product("a", "bottom: 'x' bottom: 'p'", 24, "") + layer +
           Product("b", "bottom: 'a' bottom: 'p'", 30,
               "pattern: TILE tile_size: 16") +
           Product("c", "bottom: 'b'", 3, "pattern: NONE") + Loss("c");
  }

  static shared_ptr<SGDSolver<Dtype> > MakeSolver(
      const string& net, const string& solver_text, bool dense) {
    SolverParameter param;
    CHECK(google::protobuf::TextFormat::ParseFromString(
        "random_seed: 7 max_iter: 300 " + solver_text +
            (dense ? " snapshot_diff: true" : "") + " net_param {" + net + "}",
        &param));
    return shared_ptr<SGDSolver<Dtype> >(dynamic_cast<SGDSolver<Dtype>*>(
        SolverRegistry<Dtype>::CreateSolver(param)));
  }

  static void Append(const Dtype* values, int count, vector<Dtype>* all) {
    all->insert(all->end(), values, values + count);
  }

  // Of one parameter after the other: weights, last updates and histories.
  static vector<Dtype> Values(SGDSolver<Dtype>* solver) {
    vector<Dtype> all;
    const vector<Blob<Dtype>*>& blobs = solver->net()->learnable_params();
    for (size_t i = 0; i < blobs.size(); ++i) {
      Append(blobs[i]->cpu_data(), blobs[i]->count(), &all);
      Append(blobs[i]->cpu_diff(), blobs[i]->count(), &all);
      for (size_t j = i; j < solver->history().size(); j += blobs.size()) {
        Append(solver->history()[j]->cpu_data(), blobs[i]->count(), &all);
      }
    }
    return all;
  }

  // So many steps, after each of which somebody looks, so that none waits for
  // another.
  static void StepEagerly(int steps, SGDSolver<Dtype>* solver) {
    for (int i = 0; i < steps; ++i) {
      solver->Step(1);
      Values(solver);
    }
  }

  static bool Same(const vector<Dtype>& a, const vector<Dtype>& b) {
    return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin());
  }

  // Up to rounding, which cuBLAS and the update's kernels do differently.
  static void ExpectNearDense(
      const vector<Dtype>& lazy, const vector<Dtype>& dense) {
    ASSERT_EQ(lazy.size(), dense.size());
    for (size_t i = 0; i < lazy.size(); ++i) {
      const bool on_gpu = TypeParam::device == Caffe::GPU;
      ExpectNear(
          dense[i], lazy[i], on_gpu ? 10 : std::abs(dense[i]), "value", i);
      ASSERT_TRUE(std::isfinite(lazy[i]));
    }
  }

  // Values after 200 steps, taken in several calls. dense: by Caffe's own
  // update, which snapshot_diff asks for.
  static vector<Dtype> Train(
      const string& net, const string& solver_text, bool dense) {
    const shared_ptr<SGDSolver<Dtype> > solver =
        MakeSolver(net, "base_lr: 0.002 " + solver_text, dense);
    const int kCalls[] = {1, 2, 50, 97, 50};
    for (int calls : kCalls) {
      solver->Step(calls);
    }
    return Values(solver.get());
  }
};

}  // namespace caffe

#endif  // CAFFE_TEST_SGD_UPDATER_UTIL_HPP_
