#include <cmath>
#include <string>
#include <vector>

#include "caffe/caffe.hpp"
#include "caffe/sgd_solvers.hpp"
#include "caffe/test/test_approx_dropout_util.hpp"
#include "caffe/test/test_caffe_main.hpp"
#include "caffe/util/io.hpp"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"

namespace caffe {

namespace {

const string kMomentum = "momentum: 0.9 ";

}  // namespace

// Whole nets of convolutions and inner products that hand on compact feature
// maps.
template <typename TypeParam>
class ApproxDropoutConvolutionLayerTrainingTest
    : public MultiDeviceTest<TypeParam> {
 protected:
  typedef typename TypeParam::Dtype Dtype;

  static string Layer(const string& name, const string& type,
      const string& bottoms, const string& more) {
    string text = "layer { name: '" + name + "' type: '" + type + "' top: '" +
                  name + "' " + more + " ";
    for (size_t i = 0; i < bottoms.size(); ++i) {
      text += string("bottom: '") + bottoms[i] + "' ";
    }
    return text + "} ";
  }

  static string Pattern(const string& name, int groups) {
    return Layer(name, "DropoutPattern", "",
        "dropout_pattern_param { groups: " +
            string(1, static_cast<char>('0' + groups)) +
            " probability: 0 "
            "probability: 0.6 probability: 0.3 probability: 0.1 }");
  }

  static string Data() {
    return "layer { name: 'data' type: 'DummyData' top: 'x' top: 't' "
           "dummy_data_param { shape { dim: 6 dim: 3 dim: 9 dim: 8 } "
           "shape { dim: 6 dim: 3 } data_filler { type: 'gaussian' } "
           "data_filler { type: 'gaussian' } } } ";
  }

  // A layer with weights, whose bottoms are its input, its output's pattern if
  // any, and its input's. In a wide net nothing is compact.
  static string Weights(const string& name, const string& type,
      const string& bottoms, const string& param, bool drops, bool compact) {
    const string taken = compact ? bottoms : bottoms.substr(0, 1 + drops);
    const string flags =
        !compact
            ? ""
            : string(drops ? "compact_output: true " : "") +
                  (bottoms.size() > 1 + drops ? "compact_input: true " : "");
    return Layer(name, type, taken,
        param + " approx_dropout_param { " + (drops ? "" : "pattern: NONE ") +
            flags + "}");
  }

  static string Convolution(const string& name, const string& bottoms,
      const string& param, bool compact) {
    return Weights(name, "ApproxDropoutConvolution", bottoms,
        "convolution_param { " + param +
            " weight_filler { type: 'gaussian' "
            "std: 0.2 } }",
        true, compact);
  }

  static string Product(const string& name, const string& bottoms, int outputs,
      bool drops, bool compact) {
    std::ostringstream param;
    param << "inner_product_param { num_output: " << outputs
          << " weight_filler { type: 'gaussian' std: 0.1 } }";
    return Weights(name, "ApproxDropoutInnerProduct", bottoms, param.str(),
        drops, compact);
  }

  // Two convolutions with ReLU and pooling, two inner products. Patterns p, q
  // and r.
  static string NetText(int groups, bool compact) {
    const string kPool = "pooling_param { kernel_size: 2 stride: 2 }";
    return Data() + Pattern("p", groups) + Pattern("q", groups) +
           Pattern("r", groups) +
           Convolution(
               "a", "xp", "num_output: 8 kernel_size: 3 pad: 1", compact) +
           "layer { name: 'relu' type: 'ReLU' bottom: 'a' top: 'a' } " +
           Layer("b", "Pooling", "a", kPool) +
           Convolution("c", "bqp", "num_output: 12 kernel_size: 3", compact) +
           "layer { name: 'relu2' type: 'ReLU' bottom: 'c' top: 'c' } " +
           Layer("d", "Pooling", "c",
               "pooling_param { kernel_size: 2 pool: AVE }") +
           Product("e", "drq", 16, true, compact) +
           Product("f", "er", 3, false, compact) + Loss("f");
  }

  static string Loss(const string& bottom) {
    return Layer("loss", "EuclideanLoss", bottom + "t", "");
  }

  static shared_ptr<SGDSolver<Dtype> > MakeSolver(
      const string& net, const string& solver_text) {
    SolverParameter param;
    CHECK(google::protobuf::TextFormat::ParseFromString(
        "random_seed: 7 max_iter: 100 base_lr: 0.01 lr_policy: 'fixed' " +
            solver_text + " net_param {" + net + "}",
        &param));
    param.set_solver_mode(Caffe::mode() == Caffe::GPU ? SolverParameter::GPU
                                                      : SolverParameter::CPU);
    return shared_ptr<SGDSolver<Dtype> >(new SGDSolver<Dtype>(param));
  }

  // Weights and what the solver keeps beside them.
  static vector<double> State(SGDSolver<Dtype>* solver) {
    vector<double> all;
    const vector<Blob<Dtype>*>& blobs = solver->net()->learnable_params();
    for (size_t i = 0; i < blobs.size(); ++i) {
      const Blob<Dtype>& history = *solver->history()[i];
      all.insert(all.end(), blobs[i]->cpu_data(),
          blobs[i]->cpu_data() + blobs[i]->count());
      all.insert(
          all.end(), history.cpu_data(), history.cpu_data() + history.count());
    }
    return all;
  }

  static vector<double> Train(
      const string& net, const string& solver_text, const vector<int>& calls) {
    const shared_ptr<SGDSolver<Dtype> > solver = MakeSolver(net, solver_text);
    for (size_t i = 0; i < calls.size(); ++i) {
      solver->Step(calls[i]);
    }
    return State(solver.get());
  }

  static void ExpectSame(
      const vector<double>& expected, const vector<double>& actual) {
    ASSERT_EQ(expected.size(), actual.size());
    for (size_t i = 0; i < expected.size(); ++i) {
      ASSERT_TRUE(std::isfinite(expected[i]));
      ExpectNear(expected[i], Dtype(actual[i]), 1, "weight", i);
    }
  }
};

TYPED_TEST_CASE(
    ApproxDropoutConvolutionLayerTrainingTest, TestDtypesAndDevices);

// The same net with zeros where channels are dropped.
TYPED_TEST(
    ApproxDropoutConvolutionLayerTrainingTest, TestCompactChainIsTheWideOne) {
  const int kGroups[] = {1, 2, 6};
  for (int i = 0; i < 3; ++i) {
    SCOPED_TRACE(kGroups[i]);
    this->ExpectSame(
        this->Train(this->NetText(kGroups[i], false), kMomentum, {5}),
        this->Train(this->NetText(kGroups[i], true), kMomentum, {5}));
  }
}

// SGDUpdater against Caffe's dense update, which snapshot_diff asks for.
TYPED_TEST(
    ApproxDropoutConvolutionLayerTrainingTest, TestLazyUpdateIsTheDenseOne) {
  const string kSolvers[] = {"", kMomentum, kMomentum + "weight_decay: 0.05",
      kMomentum +
          "weight_decay: 0.001 regularization_type: 'L1' "
          "clip_gradients: 0.5",
      kMomentum + "weight_decay: 0.01 iter_size: 2"};
  for (int groups = 1; groups <= 3; groups += 2) {
    const string net = this->NetText(groups, true);
    for (int i = 0; i < 5; ++i) {
      SCOPED_TRACE(kSolvers[i]);
      const string dense = kSolvers[i] + " snapshot_diff: true";
      this->ExpectSame(this->Train(net, dense, {1, 2, 9}),
          this->Train(net, kSolvers[i], {1, 2, 9}));
    }
  }
}

// ApproxDropout drops the maps of any layer, a pooling here.
TYPED_TEST(
    ApproxDropoutConvolutionLayerTrainingTest, TestDroppedMapsOfAnotherLayer) {
  const string kPool = "pooling_param { kernel_size: 2 stride: 2 }";
  const string kNets[] = {"approx_dropout_param { compact_output: true }", ""};
  // Read by an inner product that drops nothing itself, and by one with tiles.
  for (int tiles = 0; tiles < 2; ++tiles) {
    vector<double> states[2];
    for (int wide = 0; wide < 2; ++wide) {
      const string tiled =
          this->Layer("e", "ApproxDropoutInnerProduct", wide ? "dq" : "dqp",
              string("inner_product_param { num_output: 3 weight_filler { "
                     "type: 'gaussian' std: 0.1 } } approx_dropout_param { "
                     "pattern: TILE tile_size: 5 compact_input: ") +
                  (wide ? "false }" : "true }"));
      states[wide] = this->Train(
          this->Data() + this->Pattern("p", 3) + this->Pattern("q", 1) +
              this->Layer("a", "Convolution", "x",
                  "convolution_param { num_output: 8 kernel_size: 3 "
                  "weight_filler { type: 'gaussian' std: 0.2 } }") +
              this->Layer("b", "Pooling", "a", kPool) +
              this->Layer("c", "ApproxDropout", "bp", kNets[wide]) +
              this->Layer("d", "TanH", "c", "") +
              (tiles ? tiled : this->Product("e", "dp", 3, false, !wide)) +
              this->Loss("e"),
          kMomentum, {4});
    }
    this->ExpectSame(states[1], states[0]);
  }
}

// n + restore + n steps are 2n steps, bit for bit.
TYPED_TEST(
    ApproxDropoutConvolutionLayerTrainingTest, TestResumedRunIsTheSameRun) {
  string folder;
  MakeTempDir(&folder);
  const string solver_text =
      kMomentum + "weight_decay: 0.01 snapshot_prefix: '" + folder + "/maps'";
  const string net = this->NetText(2, true);
  const auto whole = this->MakeSolver(net, solver_text);
  whole->Step(6);
  whole->Snapshot();
  whole->Step(6);
  const auto resumed = this->MakeSolver(net, solver_text);
  resumed->Restore((folder + "/maps_iter_6.solverstate").c_str());
  resumed->Step(6);
  EXPECT_TRUE(this->State(whole.get()) == this->State(resumed.get()));
}

// A model trained here works in Caffe's own layers, and the other way round.
TYPED_TEST(ApproxDropoutConvolutionLayerTrainingTest, TestWeightsGoBothWays) {
  typedef typename TypeParam::Dtype Dtype;
  NetParameter param;
  CHECK(google::protobuf::TextFormat::ParseFromString(
      this->NetText(1, true), &param));
  param.mutable_state()->set_phase(TEST);
  NetParameter stock_param = param;
  for (int i = stock_param.layer_size() - 1; i >= 0; --i) {
    LayerParameter* layer = stock_param.mutable_layer(i);
    if (layer->type() == "DropoutPattern") {
      stock_param.mutable_layer()->DeleteSubrange(i, 1);
    } else if (layer->has_approx_dropout_param()) {
      layer->set_type(layer->type().substr(string("ApproxDropout").size()));
      layer->clear_approx_dropout_param();
      layer->mutable_bottom()->DeleteSubrange(1, layer->bottom_size() - 1);
    }
  }
  Net<Dtype> ours(param), stock(stock_param), again(param);
  NetParameter weights;
  ours.ToProto(&weights);
  stock.CopyTrainedLayersFrom(weights);
  stock.ToProto(&weights);
  again.CopyTrainedLayersFrom(weights);
  const auto data = ours.blob_by_name("x");
  ours.Forward();
  Net<Dtype>* const others[] = {&stock, &again};
  for (int i = 0; i < 2; ++i) {
    others[i]->blob_by_name("x")->CopyFrom(*data);
    others[i]->ForwardFrom(1);  // behind the data
    for (int j = 0; j < ours.blob_by_name("f")->count(); ++j) {
      ExpectNear(ours.blob_by_name("f")->cpu_data()[j],
          others[i]->blob_by_name("f")->cpu_data()[j], 1, "f", j);
    }
  }
}

}  // namespace caffe
